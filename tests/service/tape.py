"""What a service has stored beside all that really happened: the tape of the simulated exchange."""

from decimal import Decimal

LENGTHS = {"1s": 1_000, "5s": 5_000, "10s": 10_000}
NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")


def truth(trades, length):
    """open time -> what the candle must hold, digit for digit."""
    windows = {}
    for trade in trades:
        windows.setdefault(trade.time - trade.time % length, []).append(trade)
    return {moment: _content(found) for moment, found in windows.items()}


def _content(trades):
    prices = [trade.price for trade in trades]
    bought = [trade for trade in trades if trade.side == "BUY"]
    return (
        *(prices[0], max(prices), min(prices), prices[-1]),
        sum(trade.quantity for trade in trades),
        sum(trade.price * trade.quantity for trade in trades),
        sum((trade.quantity for trade in bought), Decimal(0)),
        *(len(trades), trades[0].time, trades[-1].time),
    )


def content(row):
    """The same of a candle that was served."""
    numbers = (Decimal(row[name]) for name in NUMBERS)
    return (*numbers, row["tick_count"], row["first_tick_time"], row["last_tick_time"])


def candles(service, symbol, interval, start, source="trades"):
    """open time -> candle, of all pages."""
    found, cursor = {}, ""
    while cursor is not None:
        answer = service.get(
            f"/candlesticks?source={source}&symbol={symbol}&interval={interval}&start={start}"
            f"&limit=1000{cursor and '&cursor=' + cursor}"
        )
        found |= {row["open_time"]: row for row in answer["data"]}
        cursor = answer["meta"]["next_cursor"]
    return found


class Tape:
    """Compares windows of `[start, end)` (ms) with the tape of an exchange. excused: whether a
    candle may say that it is not whole."""

    def __init__(self, exchange, start, end, excused=lambda symbol, moment, length: False):
        self.exchange, self.start, self.end, self.excused = exchange, start, end, excused

    def problems(self, service, symbols):
        """Whatever is not as it was, in words."""
        return [
            problem
            for symbol in symbols
            for interval, length in LENGTHS.items()
            for problem in self._of(service, symbol, interval, length)
        ]

    def _of(self, service, symbol, interval, length):
        first = -(-self.start // length) * length
        trades = self.exchange.trades(symbol, first, self.end - self.end % length)
        wanted = truth(trades, length)
        found = candles(service, symbol, interval, first)
        for moment in sorted(wanted.keys() | found.keys()):
            row = found.get(moment)
            if moment >= self.end - self.end % length:
                continue
            problem = self._problem(row, wanted.get(moment), symbol, moment, length)
            if problem:
                yield f"{symbol} {interval} {moment - self.start}: {problem}"

    def _problem(self, row, wanted, symbol, moment, length):
        if self.excused(symbol, moment, length):
            told = row is None or row["coverage"] == 1
            return "claims to be whole" if told and row and content(row) != wanted else ""
        if row is None:
            return f"missing, {wanted}"
        if row["coverage"] != 1:
            return f"coverage {row['coverage']} because of {row['reasons']}"
        return "" if content(row) == wanted else f"{content(row)} instead of {wanted}"
