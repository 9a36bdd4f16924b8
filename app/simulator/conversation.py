"""What Poloniex says on its public websocket: answers to what a client says, and trades.

Knows texts and subscriptions, not connections.
"""

from collections.abc import Iterable, Mapping

import msgspec

from app.market.ticks import plain
from app.simulator.candles import EXACT
from app.simulator.questions import PUSH_MS
from app.simulator.tape import Listing, Trade

CHANNELS = ("trades",)
ALL = "all"

Message = dict[str, object]


class Heard(msgspec.Struct):
    """What a client says. Other keys are left alone."""

    event: str
    channel: list[str] = []
    symbols: list[str] = []


class BadRequest(ValueError):
    """Nothing that is understood; the message is for the client."""


def error(message: str) -> Message:
    # That errors have these two keys is documented; the texts are recorded nowhere.
    return {"event": "error", "message": message}


class Subscription:
    """What one client wants to hear: `since` says from when on (ms), by symbol."""

    def __init__(self, markets: Mapping[str, Listing]) -> None:
        self._markets = markets
        self.since: dict[str, int] = {}
        self._wanted_all = False

    def answer(self, text: str, now: int) -> list[Message]:
        """What is said to `text`; the subscription is changed accordingly."""
        try:
            return self._answer(_read(text), now)
        except BadRequest as problem:
            return [error(str(problem))]

    def _answer(self, heard: Heard, now: int) -> list[Message]:
        match heard.event:
            case "ping":
                return [{"event": "pong"}]
            case "subscribe":
                self._subscribe(self._chosen(heard), now)
                self._wanted_all = self._wanted_all or heard.symbols == [ALL]
            case "unsubscribe":
                for symbol in self._chosen(heard):
                    self.since.pop(symbol, None)
                self._wanted_all = False
            case "unsubscribe_all":
                self.since, self._wanted_all = {}, False
                return [{"event": heard.event}]
            case "list_subscriptions":
                return [{"event": heard.event, "subscriptions": self._listed()}]
            case _:
                raise BadRequest(f"Bad request: unknown event {heard.event[:50]!r}")
        return [
            {"event": heard.event, "channel": channel, "symbols": heard.symbols}
            for channel in heard.channel
        ]

    def _chosen(self, heard: Heard) -> list[str]:
        """The symbols meant; BadRequest, and then of none."""
        strange = [name for name in heard.channel if name not in CHANNELS]
        if strange or not heard.channel:
            raise BadRequest(f"Bad request: channel must be {list(CHANNELS)}, not {strange[:5]}")
        if heard.symbols == [ALL]:
            return list(self._markets)
        unknown = [symbol for symbol in heard.symbols if symbol not in self._markets]
        if unknown or not heard.symbols:
            raise BadRequest(f"Subscription failed: no such symbols {unknown[:5]}")
        return heard.symbols

    def _subscribe(self, symbols: list[str], now: int) -> None:
        new = [symbol for symbol in symbols if symbol not in self.since]
        if not new:
            raise BadRequest("Already subscribed")
        self.since.update(dict.fromkeys(new, now))

    def _listed(self) -> list[Message]:
        symbols = [ALL] if self._wanted_all else list(self.since)
        return [{"channel": "trades", "symbols": symbols}] if symbols else []


def _read(text: str) -> Heard:
    if text.strip().lower() == "ping":
        return Heard("ping")
    try:
        return msgspec.json.decode(text, type=Heard)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise BadRequest(f"Bad request: {problem}") from problem


def trades_message(symbol: str, trades: Iterable[Trade], now: int) -> Message:
    """Trades of one market, pushed at `now`. Unlike over HTTP the side is in lower case."""
    return {"channel": "trades", "data": [_row(symbol, trade, now) for trade in trades]}


def _row(symbol: str, trade: Trade, now: int) -> Message:
    return {
        "symbol": symbol,
        "amount": plain(EXACT.multiply(trade.price, trade.quantity)),
        "quantity": plain(trade.quantity),
        "takerSide": trade.side.lower(),
        "createTime": trade.time,
        "price": plain(trade.price),
        "id": str(trade.id),
        "ts": min(trade.time + PUSH_MS, now),
    }
