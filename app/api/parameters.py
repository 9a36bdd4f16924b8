"""What a request may ask for: names, numbers and words, each checked once. Reads no data."""

import re
from collections.abc import Iterable, Mapping

from werkzeug.datastructures import MultiDict

from app.api.problems import Problem, nearest
from app.exchanges import EXCHANGES, SOURCES
from app.market import ticks
from app.market.coverage import ALL, ALL_NAME
from app.market.ticks import Rejected
from app.market.windows import interval_text, parse_interval

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


class Parameters:
    """The query of one request: every name is known and comes once, every value is ASCII."""

    def __init__(self, query: MultiDict[str, str], known: tuple[str, ...]) -> None:
        check_names(query, known)
        for name, values in query.lists():
            if len(values) > 1:
                raise Problem(400, f"{name} is given {len(values)} times.", parameter=name)
        self._given = {name: _plain_text(name, value) for name, value in query.items()}

    def get(self, name: str) -> str | None:
        """The value as it came, None where it was left out."""
        return self._given.get(name)

    def one_of(self, name: str, allowed: Iterable[str], default: str, status: int = 400) -> str:
        """One of a few words."""
        return one_of(name, self._given.get(name, default), allowed, status)

    def limit(self, default: int) -> int:
        """How many rows."""
        text = self._given.get("limit")
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
            detail = f"limit={text[:40]} is not a whole number from 1 to {MAX_LIMIT}."
            raise Problem(400, detail, parameter="limit", allowed=f"1 to {MAX_LIMIT}")
        return int(text)

    def intervals(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Stored intervals (ms), several of them with commas between; the shortest by default."""
        text = self._given.get("interval")
        if text is None:
            return stored[:1]
        return tuple(sorted({_interval(word, stored) for word in text.split(",")}))

    def symbols(self, name: str = "symbol") -> tuple[str, ...] | None:
        """Canonical symbols, with commas between them; None for all and by default."""
        text = self._given.get(name, ALL_NAME)
        found = {canonical_symbol(word, name) for word in text.split(",")}
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


def _interval(word: str, stored: tuple[int, ...]) -> int:
    names: Mapping[str, int] = {interval_text(length): length for length in stored}
    if word in names:
        return names[word]
    detail = f"interval={word[:40]!a} is not stored here."
    meant = _same_length(word.lower(), stored)
    raise Problem(400, detail, parameter="interval", allowed=list(names), did_you_mean=meant)


def _same_length(word: str, stored: tuple[int, ...]) -> str | None:
    """The stored interval that `60`, `60s`, `1min` or `1M` mean."""
    word = f"{word}s" if word.isdigit() else re.sub(r"mins?$|minutes?$", "m", word)
    try:
        length = parse_interval(word)
    except ValueError:
        return None
    return interval_text(length) if length in stored else None
