"""Tables of trades, CSV or NDJSON, as rows of texts. Knows how they are written, not what they
say."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from app.market.rows import NAMES, Fields
from app.market.ticks import Rejected

NEEDED = "time", "symbol", "price"
RECEIVED = "received"

FORM = (
    "CSV needs a first line such as time,symbol,price,size,id (and received for --live);"
    " NDJSON needs lines such as"
    ' {"time": 1735689600000, "symbol": "BTC_USDT", "price": "93500.1"}'
)


class BadInput(Exception):
    """Not a table of trades; the text says why, and what to do."""


def read_rows(lines: Iterable[str], live: bool) -> Iterator[Fields | Rejected]:
    """The rows of a table, each of them as texts or with the reason why it is none. BadInput
    before the first row, if it is not a table of trades. live: `received` is needed too."""
    rest = iter(lines)
    first = next((line for line in rest if line.strip(" \t\r\n\ufeff")), None)
    if first is None:
        raise BadInput(f"there is nothing to fold: the input is empty. {FORM}")
    first = first.lstrip(" \t\ufeff")
    needed = (*NEEDED, RECEIVED) if live else NEEDED
    if first.startswith("["):
        raise BadInput("JSON is read one object per line: turn a list into lines (jq -c '.[]')")
    rows = _objects if first.startswith("{") else _records
    return rows(chain([first], rest), needed)


def _records(lines: Iterable[str], needed: Iterable[str]) -> Iterator[Fields | Rejected]:
    """Of CSV."""
    records = csv.reader(map(_alone, lines))
    try:
        header = [name.strip().lower() for name in next(records)]
    except csv.Error as error:
        raise BadInput(f"the first line is no header: {error}. {FORM}") from error
    _check(header, needed)
    return _chosen(records, header)


def _alone(line: str) -> str:
    """A quote that nobody closes would make all that follows a part of one cell. No column of ours
    holds more than one line, so such a line is left without its cells."""
    return "?\n" if line.count('"') % 2 else line


def _check(names: list[str], needed: Iterable[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        hint = " (without --live it is not needed)" if missing == [RECEIVED] else ""
        found = ", ".join(names)[:200]
        raise BadInput(f"no column {', '.join(missing)}{hint}; found: {found}. {FORM}")
    twice = sorted({name for name in names if names.count(name) > 1 and name in NAMES})
    if twice:
        raise BadInput(f"more than one column is named {', '.join(twice)}: rename the others")


def _chosen(records: Iterator[list[str]], header: list[str]) -> Iterator[Fields | Rejected]:
    width = len(header)
    # What is not there is found in a last column that is always empty.
    choose = itemgetter(*(header.index(name) if name in header else width for name in NAMES))
    while True:
        try:
            for record in records:
                if len(record) == width:
                    record.append("")
                    yield cast(Fields, choose(record))
                elif record:
                    yield _crooked(record, width) or cast(Fields, choose([*record[:width], ""]))
            return
        except csv.Error:
            yield Rejected("line_malformed")


def _crooked(record: list[str], width: int) -> Rejected | None:
    """Commas at the end are no further columns."""
    if len(record) < width:
        return Rejected("columns_missing")
    return Rejected("columns_surplus") if any(record[width:]) else None


def _objects(lines: Iterable[str], needed: Iterable[str]) -> Iterator[Fields | Rejected]:
    """Of NDJSON. The first line that is an object tells what there is."""
    rows = _parsed(lines)
    for bad, first in enumerate(rows):
        if not isinstance(first, Rejected):
            _check(list(first), needed)
            return _texts(chain([Rejected("line_malformed")] * bad, [first], rows))
    raise BadInput(f"no line is a JSON object. {FORM}")


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, Any] | Rejected]:
    # Numbers keep every digit as they are written.
    decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode
    for line in lines:
        if not line.strip():
            continue
        try:
            found = decode(line)
        except (ValueError, RecursionError):
            found = None
        yield found if isinstance(found, dict) else Rejected("line_malformed")


def _texts(rows: Iterable[dict[str, Any] | Rejected]) -> Iterator[Fields | Rejected]:
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        values = ["" if (value := row.get(name)) is None else value for name in NAMES]
        if all(isinstance(value, str) for value in values):
            yield cast(Fields, tuple(values))
        else:
            yield Rejected("value_malformed")
