"""What a POST asks to be built: its body, checked, and its symbols, compared with what the
exchange lists. Changes nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec
from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.listings import Listings
from app.api.parameters import (
    canonical_symbol,
    check_names,
    known_exchange,
    known_source,
)
from app.api.problems import Problem, nearest
from app.market.coverage import ALL, ALL_NAME

MAX_SYMBOLS = 2_000
FIELDS = ("exchange", "symbols", "source")
SHOWN = 10


class StartRequest(msgspec.Struct, frozen=True):
    """Symbols (or ALL) of one feed. symbols: None for those of the configuration."""

    exchange: str
    source: str
    symbols: tuple[str, ...] | None


def read_start_request(request: Request, exchange: str, source: str) -> StartRequest:
    """What the body asks for; an empty one leaves all to the defaults, `exchange` and `source`."""
    if request.args:
        detail = "POST takes no parameters in the address: put them into a JSON body."
        raise Problem(400, detail, parameter=next(iter(request.args))[:40])
    given = _fields(request)
    return StartRequest(
        known_exchange(_value(given, "exchange", str, exchange)),
        known_source(_value(given, "source", str, source)),
        _symbols(_value(given, "symbols", list[str] | str | None, None)),
    )


def _fields(request: Request) -> dict[str, msgspec.Raw]:
    body = _body(request)
    if not body:
        return {}
    if request.mimetype != "application/json":
        # Foreign web pages can send forms and plain text to this machine, but no JSON.
        detail = "The body has to be JSON, sent with `Content-Type: application/json`, not a form."
        raise Problem(415, detail, parameter="Content-Type", allowed=["application/json"])
    try:
        given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        detail = 'The body is not a JSON object such as {"symbols": ["BTC_USDT"]}.'
        raise Problem(400, detail, allowed=list(FIELDS)) from None
    check_names(given, FIELDS)
    return given


def _body(request: Request) -> bytes:
    body = request.get_data()
    # A body without a Content-Length is cut off at the limit, and nobody says so.
    limit = request.max_content_length
    if limit is not None and request.content_length is None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body


def _value(given: dict[str, msgspec.Raw], name: str, kind: Any, default: Any) -> Any:
    if name not in given:
        return default
    try:
        return msgspec.json.decode(given[name], type=kind)
    except (msgspec.DecodeError, RecursionError):
        allowed = f'a list of symbols, one symbol or "{ALL_NAME}"'
        raise Problem(
            400,
            f"{name} has the wrong type.",
            parameter=name,
            allowed=allowed if name == "symbols" else "a string",
        ) from None


def _symbols(given: list[str] | str | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    words = [given] if isinstance(given, str) else given
    if not 1 <= len(words) <= MAX_SYMBOLS:
        detail = f"{len(words)} symbols are given."
        raise Problem(400, detail, parameter="symbols", allowed=f"1 to {MAX_SYMBOLS}")
    return tuple(dict.fromkeys(canonical_symbol(word, "symbols") for word in words))


def configured(symbols: Iterable[tuple[str, str]], exchange: str) -> tuple[str, ...]:
    """The configuration's symbols of `exchange`, for a request that names none."""
    found = tuple(dict.fromkeys(symbol for where, symbol in symbols if where == exchange))
    if not found:
        detail = f"No symbols are configured for {exchange}: name some, or all."
        allowed = f'a list of symbols, or "{ALL_NAME}"'
        raise Problem(422, detail, parameter="symbols", allowed=allowed)
    return found


def verify(exchange: str, symbols: Iterable[str], listings: Listings) -> bool:
    """Whether the exchange could be asked. Problem if it does not list one of `symbols`."""
    markets = listings.markets(exchange)
    if markets is None:
        return False
    listed = frozenset(markets)
    unknown = [symbol for symbol in symbols if symbol != ALL and symbol not in listed]
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise Problem(
            422,
            f"{exchange} does not list {', '.join(unknown[:SHOWN])}{more}. Nothing was started.",
            parameter="symbols",
            did_you_mean=_suggestions(unknown[:SHOWN], listed),
        )
    return True


def _suggestions(unknown: list[str], listed: frozenset[str]) -> dict[str, list[str]]:
    """Listed symbols that may have been meant; often base and quote are the wrong way round."""
    found = {}
    for symbol in unknown:
        swapped = "_".join(reversed(symbol.split("_")))
        known = [swapped] if swapped in listed else nearest(symbol, listed)
        if known:
            found[symbol] = known
    return found
