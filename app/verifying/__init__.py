"""Stored candles beside what they were made from. Reads while a service writes, and changes
nothing; what a candle should be, the market says."""
