"""What a request may ask for: names, numbers and words, each checked once. Reads no data."""

import re
from collections.abc import Iterable
from decimal import Decimal

from werkzeug.datastructures import MultiDict

from app.api.problems import Problem, nearest
from app.exchanges import EXCHANGES, SOURCES
from app.market import ticks
from app.market.coverage import ALL, ALL_NAME
from app.market.ticks import Rejected
from app.market.windows import DAY, HOUR, MINUTE, WEEK, interval_text, parse_length

MAX_LIMIT = 1_000

_MEANT = {
    "interval": ("timeframe", "granularity", "resolution", "period", "periodicity"),
    "start": ("since", "from", "starttime", "start_time"),
    "end": ("to", "until", "endtime", "end_time"),
    "symbol": ("pair", "market", "currencypair", "instid", "ticker"),
    "symbols": ("pairs", "markets", "tickers", "pair", "market", "symbol"),
    "order": ("sort", "direction"),
    "cursor": ("page", "offset"),
    "limit": ("per_page", "count", "size"),
}
"""What other services call our parameters, in lower case."""


EXAMPLES = (15 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, DAY, WEEK)
"""Longer intervals to choose from, among many."""

_UNIT = re.compile(r"([0-9]+) ?(s|m|h|d|w)[a-z]*", re.ASCII)


class Parameters:
    """The query of one request: every name is known and comes once, every value is ASCII."""

    def __init__(self, query: MultiDict[str, str], known: tuple[str, ...]) -> None:
        check_names(query, known)
        for name, values in query.lists():
            if len(values) > 1:
                detail = f"{name} is given {len(values)} times; commas separate several values."
                raise Problem(400, detail, parameter=name)
        self._given = {name: _plain_text(name, value) for name, value in query.items()}

    def get(self, name: str) -> str | None:
        """The value as it came, None where it was left out."""
        return self._given.get(name)

    def one_of(self, name: str, allowed: Iterable[str], default: str, status: int = 400) -> str:
        """One of a few words."""
        return one_of(name, self._given.get(name, default), allowed, status)

    def limit(self, default: int | None) -> int | None:
        """How many rows."""
        text = self._given.get("limit")
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
            detail = f"limit={text[:40]} is not a whole number from 1 to {MAX_LIMIT}."
            raise Problem(400, detail, parameter="limit", allowed=f"1 to {MAX_LIMIT}")
        return int(text)

    def intervals(self, stored: tuple[int, ...], most: int) -> tuple[int, ...]:
        """Intervals (ms), several of them with commas between; the shortest by default. Each is
        stored or merged, from at most `most` stored candles for all of them together."""
        text = self._given.get("interval")
        if text is None:
            return stored[:1]
        found = tuple(sorted({_interval(word, stored, most) for word in text.split(",")}))
        for length in found:
            base = _base(length, stored)
            if length // base * len(found) > most:
                detail = (
                    f"A candle of {interval_text(length)} would be merged from {length // base} of"
                    f" {interval_text(base)}: that is too many. INTERVALS can store longer ones."
                )
                raise Problem(400, detail, parameter="interval")
        return found

    def coverage(self, name: str) -> Decimal:
        """A number from 0 to 1, 0 by default."""
        text = self._given.get(name, "0")
        if not re.fullmatch(r"0(\.[0-9]{1,9})?|1(\.0{1,9})?", text):
            detail = f"{name}={text[:40]} is not a share such as 0.95."
            raise Problem(400, detail, parameter=name, allowed="0 to 1")
        return Decimal(text)

    def flag(self, name: str) -> bool:
        """Yes or no, no by default."""
        return self.one_of(name, ("0", "1", "false", "true"), "0") in ("1", "true")

    def symbols(self) -> tuple[str, ...] | None:
        """Canonical symbols, with commas between them; None for all and by default."""
        text = self._given.get("symbol", ALL_NAME)
        found = {canonical_symbol(word, "symbol") for word in text.split(",")}
        return None if ALL in found else tuple(sorted(found))


def check_names(given: Iterable[str], known: tuple[str, ...]) -> None:
    """Problem for the first name that is not known, with what may have been meant."""
    for name in given:
        if name not in known:
            detail = f"There is no parameter {name[:40]!a} here."
            meant = _meant(name.lower(), known)
            raise Problem(400, detail, parameter=name[:40], did_you_mean=meant, allowed=list(known))


def _meant(name: str, known: tuple[str, ...]) -> str | None:
    for ours, theirs in _MEANT.items():
        if ours in known and (name == ours or name in theirs):
            return ours
    return next(iter(nearest(name, known, 1)), None)


def _plain_text(name: str, value: str) -> str:
    if not value:
        raise Problem(400, f"{name} is empty. Leave it out for its default.", parameter=name)
    if not value.isascii() or not value.isprintable():
        raise Problem(400, f"{name} holds characters that are not plain ASCII.", parameter=name)
    return value


def one_of(name: str, value: str, allowed: Iterable[str], status: int = 400) -> str:
    """`value` if it is allowed."""
    choice = list(allowed)
    if value not in choice:
        raise Problem(
            status,
            f"{name}={value[:40]!a} is not known here.",
            parameter=name,
            allowed=choice,
            did_you_mean=next(iter(nearest(value.lower(), choice, 1)), None),
        )
    return value


def known_exchange(value: str) -> str:
    """An exchange that we can speak to."""
    return one_of("exchange", value, EXCHANGES, 422)


def known_source(value: str) -> str:
    """Something candles are made of."""
    return one_of("source", value, SOURCES, 422)


def canonical_symbol(text: str, name: str) -> str:
    """`btc_usdt`, `BTC/USDT` and `BTC-USDT` are `BTC_USDT`; `all` is ALL. `name` is the parameter
    that is to blame if it is none of these."""
    if text == ALL_NAME:
        return ALL
    try:
        return ticks.canonical_symbol(text)
    except Rejected:
        allowed = f"1 to 32 of A-Z, 0-9 and _, such as BTC_USDT, or {ALL_NAME}"
        detail = f"{text[:40]!a} is not a symbol such as BTC_USDT."
        raise Problem(400, detail, parameter=name, allowed=allowed) from None


def _base(length: int, stored: tuple[int, ...]) -> int:
    """The longest stored interval that candles of this length can be merged from."""
    return max(one for one in stored if length % one == 0)


def _interval(word: str, stored: tuple[int, ...], most: int) -> int:
    length = _length(word)
    if length is not None and length % stored[0] == 0:
        return length
    shortest = interval_text(stored[0])
    possible = [
        one
        for one in dict.fromkeys((*stored, *EXAMPLES))
        if one % stored[0] == 0 and one // _base(one, stored) <= most
    ]
    raise Problem(
        400,
        f"interval={word[:40]!a} is neither a multiple of {shortest} that divides a day, nor 1w.",
        parameter="interval",
        allowed=[interval_text(one) for one in possible],
        did_you_mean=_same_length(word.lower(), stored),
    )


def _length(word: str) -> int | None:
    try:
        return parse_length(word)
    except ValueError:
        return None


def _same_length(word: str, stored: tuple[int, ...]) -> str | None:
    """The interval that `60`, `1min`, `1hour` or `1M` mean."""
    word = f"{word}s" if word.isdigit() else _UNIT.sub(r"\1\2", word.strip())
    length = _length(word)
    return interval_text(length) if length and length % stored[0] == 0 else None
