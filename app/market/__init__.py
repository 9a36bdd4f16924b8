"""The rules of a candle, and nothing else: no clock, no I/O, only the standard library.

Times are UTC epoch milliseconds, lengths are milliseconds, prices are `decimal.Decimal`.
"""
