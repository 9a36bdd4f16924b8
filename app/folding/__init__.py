"""Trades out of files into candles, and ticks out of the log into files. What a candle is, it
leaves to the market."""
