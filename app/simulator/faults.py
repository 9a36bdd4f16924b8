"""Faults on demand: what kinds there are, and how they are written. Does nothing to anybody."""

from collections.abc import Collection
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

LONGEST = 1_000_000
"""Seconds, eleven days: as long as anything here may last."""

Seconds = Annotated[float, Meta(ge=0, le=LONGEST)]


class BadFault(ValueError):
    """A fault that is none. The message names the key and says what is allowed."""


class Kind(NamedTuple):
    """seconds: what they are if none are given; absent where a kind takes none. forms: what
    `form` may be, the first is meant if none is given. single: it is a market that it strikes.
    instead: nothing of the true answer is sent. shared: it strikes a part of the trades, or one
    market, if that is wanted. of_minutes: it strikes the candles of minutes that are named, or of
    a part of them."""

    text: str
    seconds: tuple[float | None, ...] = ()
    forms: tuple[str, ...] = ()
    single: bool = False
    instead: bool = False
    shared: bool = False
    of_minutes: bool = False


KINDS = {
    "delay": Kind("answer after `seconds`", (1.0,)),
    "hang": Kind("no answer for `seconds`, or until the fault ends", (None,)),
    "drip": Kind("a byte every `seconds`", (0.2,), ("body", "headers")),
    "reset": Kind("the connection breaks in the middle of the body"),
    "429": Kind("too many requests, with Retry-After `seconds`", (10.0,), instead=True),
    "418": Kind("banned, with Retry-After if `seconds` are given", (None,), instead=True),
    "403": Kind("Cloudflare's page of refusal", instead=True),
    "500": Kind("System error", instead=True),
    "html": Kind("a page with status 200", instead=True),
    "truncated": Kind("half a body", forms=("honest", "promised")),
    "wrong": Kind(
        "JSON of another shape with status 200", forms=("error", "null", "list"), instead=True
    ),
    "nan": Kind("NaN for a price", forms=("bare", "text"), single=True),
    "zero": Kind("0 for a price", single=True),
    "vanished": Kind("the market is missing", single=True),
    "frozen": Kind("the market stands still from when the fault begins", single=True),
    "wrong_candles": Kind(
        "candles of minutes differ from their trades by one step",
        forms=("turns", "close", "quantity", "tradeCount", "low", "high"),
        single=True,
        of_minutes=True,
    ),
}
"""What strikes answers over HTTP."""

STREAM_KINDS = {
    "disconnect": Kind(
        "all are cut, and new ones refused for `seconds` or until it ends",
        (None,),
        ("reset", "close"),
    ),
    "repeat": Kind("trades come again, at once or within `seconds`", (5.0,), shared=True),
    "reorder": Kind("trades overtake one another within `seconds`", (1.0,), shared=True),
    "late": Kind("trades come `seconds` after they happened", (5.0,), shared=True),
    "hole": Kind(
        "trades are left out; everywhere: of /trades too, not of candles",
        forms=("stream", "everywhere"),
        shared=True,
    ),
    "silence": Kind("nothing comes, not even a pong; trades: pongs do", forms=("all", "trades")),
}
"""What strikes websockets; one form of `hole` also strikes answers."""

MOST_MINUTES = 4_000
"""Which one fault may name: about as many as fit into a request that plans it."""

OpenTime = Annotated[int, Meta(ge=0, multiple_of=60_000)]
"""When a minute opens, epoch ms."""

LONGEST_HELD = 600
"""Seconds. Trades that are held back are held in memory: 60 a second with 3,000 markets."""


class Fault(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"lasting": "for"},
):
    """What goes wrong. `after` is from when it was planned, `lasting` (`for`) from when it begins,
    both in seconds, by the exchange's clock; it strikes at most `count` requests, each with
    probability `share`, of those whose targets begin with `path`. On a stream it strikes trades
    that happen while it acts, each with probability `share`. Of the candles of `symbol` it strikes
    those of `minutes`, or if none are named each with probability `share`, whoever asks."""

    kind: str
    seconds: Seconds | None = None
    form: str = ""
    symbol: str = ""
    minutes: Annotated[tuple[OpenTime, ...], Meta(max_length=MOST_MINUTES)] = ()
    path: Annotated[str, Meta(pattern="^/", max_length=200)] = "/"
    after: Seconds = 0.0
    lasting: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


KEYS = Fault.__struct_encode_fields__


def allowed() -> str:
    """What a fault may say."""
    return f"kinds: {', '.join([*KINDS, *STREAM_KINDS])}; keys: {', '.join(KEYS[1:])}"


def split(text: str) -> dict[str, object]:
    """The keys of `hang,after=10,for=30`, as text; BadFault."""
    kind, *pairs = (part.strip() for part in text.split(","))
    given: dict[str, object] = {"kind": kind}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in given:
            raise BadFault(f"{pair!r} is not key=value, or comes twice; {allowed()}")
        given[key] = value.split("+") if key == "minutes" else value
    return given


def read(given: object, symbols: Collection[str]) -> Fault:
    """The fault that these keys describe, on an exchange that lists `symbols`; numbers may be
    text. BadFault."""
    try:
        fault = msgspec.convert(given, Fault, strict=False)
    except msgspec.ValidationError as error:
        problem, _, key = str(error).partition(" - at `$.")
        where = f"{key.rstrip('`')}: " if key else ""
        raise BadFault(f"{where}{problem}; {allowed()}") from error
    if fault.kind in KINDS:
        kind = KINDS[fault.kind]
        _check_market(fault, kind, symbols)
        _check_minutes(fault, kind)
    elif fault.kind in STREAM_KINDS:
        kind = STREAM_KINDS[fault.kind]
        _check_stream(fault, kind, symbols)
    else:
        raise BadFault(f"kind: {fault.kind!r} is none; {allowed()}")
    return _completed(fault, kind)


def _check_market(fault: Fault, kind: Kind, symbols: Collection[str]) -> None:
    if kind.single and fault.symbol not in symbols:
        raise BadFault(f"symbol: {fault.kind} needs one that is listed, not {fault.symbol!r}")
    if fault.symbol and not kind.single:
        raise BadFault(f"symbol: {fault.kind} takes none; path=/markets/{fault.symbol} may do")


def _check_minutes(fault: Fault, kind: Kind) -> None:
    if fault.minutes and not kind.of_minutes:
        raise BadFault(f"minutes: {fault.kind} takes none")
    if fault.minutes and fault.share != 1:
        raise BadFault("share: minutes are named already")


def _check_stream(fault: Fault, kind: Kind, symbols: Collection[str]) -> None:
    _check_minutes(fault, kind)
    if fault.path != "/" or fault.count is not None:
        key = "count" if fault.path == "/" else "path"
        raise BadFault(f"{key}: {fault.kind} strikes a stream, not requests, and takes none")
    if fault.share != 1 and not kind.shared:
        raise BadFault(f"share: {fault.kind} takes none")
    if kind.shared and kind.seconds and (fault.seconds or 0) > LONGEST_HELD:
        raise BadFault(f"seconds: {fault.kind} takes up to {LONGEST_HELD}")
    if fault.symbol and fault.symbol not in symbols:
        raise BadFault(f"symbol: {fault.symbol!r} is not listed")
    if fault.symbol and (fault.kind == "disconnect" or fault.form == "all"):
        raise BadFault(f"symbol: {' '.join((fault.kind, fault.form)).strip()} takes none")


def _completed(fault: Fault, kind: Kind) -> Fault:
    """With what its kind means if nothing is said, and nothing that its kind does not know."""
    if fault.seconds is not None and not kind.seconds:
        raise BadFault(f"seconds: {fault.kind} takes none")
    if fault.form not in ("", *kind.forms):
        forms = " or ".join(kind.forms) or "none"
        raise BadFault(f"form: {fault.kind} takes {forms}, not {fault.form!r}")
    seconds = kind.seconds[0] if kind.seconds and fault.seconds is None else fault.seconds
    form = fault.form or _usual_form(fault, kind)
    minutes = tuple(sorted({*fault.minutes}))
    return msgspec.structs.replace(fault, seconds=seconds, form=form, minutes=minutes)


def _usual_form(fault: Fault, kind: Kind) -> str:
    if fault.kind == "silence" and fault.symbol:
        return "trades"  # a pong is of no market
    return kind.forms[0] if kind.forms else ""
