"""Whatever text stands in a table of trades: rows, rows with a reason, or BadInput."""

import json
from contextlib import suppress
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.folding.reading import BadInput, read_rows
from app.market.rows import parse_moment, parse_received, parse_trade, spoiled
from app.market.ticks import (
    Rejected,
    canonical_symbol,
    check_amount,
    parse_id,
    parse_price,
    parse_size,
)

ODD = [
    "",
    " ",
    "NaN",
    "sNaN",
    "-Infinity",
    "1e5",
    "1e-30",
    "1E+99",
    "0x1",
    "１２",
    "1_0",
    "-0",
    "+1",
]
ODD += ["9" * 19, "9" * 400, "0." + "0" * 39 + "1", "1760000000000", "1760000000.5", "2025-01-01"]
ODD += ["1_0", "2025-02-30", "2025-01-01T25:00", "9999-12-31T23:59:59.9Z", "0001-01-01", "a/b", "İ"]
texts = st.sampled_from(ODD) | st.text(st.characters(codec=None), max_size=12)
fields = st.tuples(texts, texts, texts, texts, texts, texts, texts)


@given(texts)
def test_any_text_is_what_it_should_be_or_rejected(text):
    with suppress(Rejected):
        price = parse_price(text)
        assert price.is_finite() and 0 < price < 10**18
        with suppress(Rejected):
            size = parse_size(text)
            assert size.is_finite() and 0 <= size < 10**18
            check_amount(price, size)
            assert price * size < Decimal(10) ** 18
    with suppress(Rejected):
        assert 0 < parse_moment(text) < 2**63
    with suppress(Rejected):
        assert 0 < parse_received(text) < 2**53
    with suppress(Rejected):
        assert canonical_symbol(text).isascii()
    number = parse_id(text)
    assert number is None or number == text or 0 <= number < 10**18


@given(fields, st.integers(0, 2**45))
def test_any_row_is_a_trade_or_rejected(row, received):
    with suppress(Rejected):
        trade = parse_trade(row)
        assert trade.tick.symbol and trade.tick.price > 0 and 0 <= trade.beyond < 10**6
    found = spoiled(row, received)
    assert found is None or found.time <= received


HEADS = [
    "time,symbol,price",
    "time,symbol,price,size,id,received",
    '"time",symbol,price\r',
    "{",
    "[",
]
GOOD = '{"time": 1, "symbol": "A_B", "price": 1}'
lines = st.lists(
    texts | st.sampled_from([*HEADS, GOOD, '"', '"a', ",,", "1,A_B,2", "{}", "[" * 9_999])
)
values = texts | st.floats() | st.none() | st.integers()
objects = st.dictionaries(texts | st.just("time"), values)


@given(st.sampled_from([*HEADS, GOOD]), lines, st.lists(objects, max_size=3), st.booleans())
def test_any_table_is_rows_or_bad_input(head, rest, rows, live):
    told = [head, *rest, *map(json.dumps, rows)]
    with suppress(BadInput):
        for row in read_rows((line + "\n" for line in told), live):
            assert isinstance(row, Rejected) or all(isinstance(cell, str) for cell in row)
