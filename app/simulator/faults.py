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
    instead: nothing of the true answer is sent."""

    text: str
    seconds: tuple[float | None, ...] = ()
    forms: tuple[str, ...] = ()
    single: bool = False
    instead: bool = False


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
}


class Fault(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"lasting": "for"},
):
    """What goes wrong. `after` is from when it was planned, `lasting` (`for`) from when it begins,
    both in seconds, by the exchange's clock; it strikes at most `count` requests, each with
    probability `share`, of those whose targets begin with `path`."""

    kind: str
    seconds: Seconds | None = None
    form: str = ""
    symbol: str = ""
    path: Annotated[str, Meta(pattern="^/", max_length=200)] = "/"
    after: Seconds = 0.0
    lasting: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


KEYS = Fault.__struct_encode_fields__


def allowed() -> str:
    """What a fault may say."""
    return f"kinds: {', '.join(KINDS)}; keys: {', '.join(KEYS[1:])}"


def split(text: str) -> dict[str, object]:
    """The keys of `hang,after=10,for=30`, as text; BadFault."""
    kind, *pairs = (part.strip() for part in text.split(","))
    given: dict[str, object] = {"kind": kind}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in given:
            raise BadFault(f"{pair!r} is not key=value, or comes twice; {allowed()}")
        given[key] = value
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
    if fault.kind not in KINDS:
        raise BadFault(f"kind: {fault.kind!r} is none; {allowed()}")
    return _completed(fault, KINDS[fault.kind], symbols)


def _completed(fault: Fault, kind: Kind, symbols: Collection[str]) -> Fault:
    """With what its kind means if nothing is said, and nothing that its kind does not know."""
    if fault.seconds is not None and not kind.seconds:
        raise BadFault(f"seconds: {fault.kind} takes none")
    if fault.form not in ("", *kind.forms):
        forms = " or ".join(kind.forms) or "none"
        raise BadFault(f"form: {fault.kind} takes {forms}, not {fault.form!r}")
    if kind.single and fault.symbol not in symbols:
        raise BadFault(f"symbol: {fault.kind} needs one that is listed, not {fault.symbol!r}")
    if fault.symbol and not kind.single:
        raise BadFault(f"symbol: {fault.kind} takes none; path=/markets/{fault.symbol} may do")
    seconds = kind.seconds[0] if kind.seconds and fault.seconds is None else fault.seconds
    form = fault.form or (kind.forms[0] if kind.forms else "")
    return msgspec.structs.replace(fault, seconds=seconds, form=form)
