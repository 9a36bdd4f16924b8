"""Poloniex's own candles (api-docs.poloniex.com, spot, public endpoints).

    GET /markets/BTC_USDT/candles?interval=MINUTE_5&startTime=..&endTime=..&limit=500

earliest first, 100 unless `limit` says otherwise, at most 500; 200 requests a second. The times
(ms) are those between which windows open, and both count. A row begins with low, high, open and
close; what follows is amount (quote currency), quantity (base currency), both once more of the
trades whose taker bought, the number of trades, when the row was pushed (or 0, or its startTime),
the average price, the interval, and when the window opens and closes:

    [["0.000004964","0.000005001","0.000004964","0.000004997","225.870214421","45238739",
      "183.254931443","36708858.5",14,1720121097116,"0.000004992","MINUTE_5",1720120800000,
      1720121099999], ...]

Whether a minute without trades has a row is not documented: there may be one with 0 trades. The
last row may be that of an open window. Errors are as in `poloniex`.
"""

from typing import Any
from urllib.parse import quote

import msgspec

from app.exchanges.base import OwnCandle, OwnCandles, Unavailable, Unknown, Word
from app.exchanges.decode import Rows, lenient, split_list, unexpected
from app.exchanges.http import Http
from app.exchanges.poloniex import Poloniex
from app.market.windows import MINUTE

INTERVALS = {count * MINUTE: f"MINUTE_{count}" for count in (1, 5, 10)}
MOST = 500

WINDOW_MALFORMED = "window_malformed"
"""Why a row is rejected that is not of a window of the length that was asked for."""

NOT_LISTED = (24101, 10040)
"""Codes of errors that mean an invalid symbol."""

MISSPELLED = "Invalid path variable"
"""How the message begins where a symbol is spelled as none can be; its code is 400."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    low: Word
    high: Word
    open: Word
    close: Word
    amount: Word
    quantity: Word
    buyTakerAmount: Word
    buyTakerQuantity: Word
    tradeCount: int
    ts: Any
    weightedAverage: Any
    interval: Word
    startTime: int
    closeTime: int

    def spans(self, length: int) -> bool:
        """Whether it says of itself that it is of a window of `length` ms."""
        aligned = self.startTime % length == 0
        named = self.interval == INTERVALS[length]
        return aligned and named and self.closeTime == self.startTime + length - 1

    def candle(self) -> OwnCandle:
        return OwnCandle(
            open_time=self.startTime,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.quantity,
            quote_volume=self.amount,
            taker_buy_volume=self.buyTakerQuantity,
            count=self.tradeCount,
        )


class _Complaint(msgspec.Struct):
    code: int = 0
    message: str = ""


_rows = Rows(_Row)


def parse_candles(body: bytes, length: int, start: int, end: int) -> OwnCandles:
    """The candles of windows that open in `[start, end)`, of one that comes twice the last.
    Unavailable if there are rows and none can be read."""
    # Poloniex spreads its JSON with spaces.
    if b"".join(body.split()) == b"[]":
        return OwnCandles()
    rows, rejected = _rows.decode(split_list(body))
    if not rows:
        raise unexpected(body)
    sound = [row for row in rows if row.spans(length)]
    if len(sound) < len(rows):
        rejected[WINDOW_MALFORMED] = len(rows) - len(sound)
    asked = {row.startTime: row for row in sound if start <= row.startTime < end}
    return OwnCandles([asked[time].candle() for time in sorted(asked)], rejected)


class PoloniexCandles:
    """The current API's candles, as a HistoryAdapter."""

    name = "poloniex"
    lengths = tuple(INTERVALS)
    most = MOST

    def __init__(self, http: Http) -> None:
        self._http, self._rest = http, Poloniex(http)

    def candles(self, symbol: str, length: int, start: int, end: int) -> OwnCandles:
        """GET /markets/{symbol}/candles"""
        # A startTime of 0 asks for the newest.
        if length not in INTERVALS or not 0 < start < end <= start + MOST * length:
            raise ValueError(f"no one answer has {length} ms candles of [{start}, {end})")
        params = {
            "interval": INTERVALS[length],
            "startTime": str(start),
            "endTime": str(end - 1),
            "limit": str(MOST),
        }
        try:
            body = self._http.get(f"/markets/{quote(symbol, safe='')}/candles", params).body
            return parse_candles(body, length, start, end)
        except Unavailable as error:
            if _is_of_no_symbol(error.body):
                raise Unknown("unknown_symbol", str(error)) from error
            raise

    def server_time(self) -> tuple[int, int] | None:
        """GET /timestamp"""
        return self._rest.server_time()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()


def _is_of_no_symbol(body: bytes) -> bool:
    """Whether an error says that there is no such symbol."""
    try:
        said = msgspec.convert(lenient(body), _Complaint, strict=False)
    except (msgspec.ValidationError, UnicodeError, Unavailable):
        return False
    return said.code in NOT_LISTED or said.message.startswith(MISSPELLED)
