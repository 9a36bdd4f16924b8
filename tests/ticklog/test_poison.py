"""Records that are whole and say what cannot be: they cost themselves and hold nobody up."""

import struct
import zlib
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exchanges.base import Market, Trade
from app.market.coverage import ALL, FOREVER
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.subscriptions import Subscriptions
from app.market.ticks import TICKER, TRADES, Batch, Tick
from app.pipeline.fetching import _fetched, _Task, symbols_of
from app.pipeline.resume import ResumePoint
from app.pipeline.trades import judged
from app.ticklog.files import SegmentLog
from app.ticklog.records import HEADER, MAGIC, encode, entries

T = 1_760_000_040_000
MINUTE = 60_000
ABSURD = 2**62


def said(batch):
    """What a record says, as plain values that can be spoiled."""
    return msgspec.msgpack.decode(encode(batch)[HEADER.size :])


def record(values):
    payload = msgspec.msgpack.encode(values)
    return struct.pack("<4sII", MAGIC, len(payload), zlib.crc32(payload)) + payload


def trade(time, price="2", **changes):
    row = {"symbol": "BTC_USDT", "time": time, "price": price, "first": False}
    row |= {"size": "1", "id": 7, "side": "BUY"} | changes
    return list(row.values())


GOOD = said(Batch(T, T + 20, "ok"))
POISON = {
    "no batch": 5,
    "nothing": {},
    "a time that is text": GOOD | {"asked": "now"},
    "a negative time": GOOD | {"asked": -1},
    "an absurd time": GOOD | {"asked": ABSURD, "answered": ABSURD},
    "an absurd answer": GOOD | {"answered": ABSURD},
    "an absurd offset": GOOD | {"offset": -ABSURD},
    "an absurd cadence": GOOD | {"poll": ABSURD},
    "a negative cadence": GOOD | {"poll": -5},
    "a row that is none": GOOD | {"ticks": [["BTC_USDT"]]},
    "no number": GOOD | {"ticks": [trade(T, "NaN")]},
    "a signaling NaN": GOOD | {"ticks": [trade(T, "sNaN"), trade(T)]},
    "no end": GOOD | {"ticks": [trade(T, "Infinity")]},
    "no text of a number": GOOD | {"ticks": [trade(T, "five")]},
    "a price of 0": GOOD | {"ticks": [trade(T, "0")]},
    "a negative price": GOOD | {"ticks": [trade(T, "-1")]},
    "a price beyond columns": GOOD | {"ticks": [trade(T, "1e18")]},
    "a price of a million digits": GOOD | {"ticks": [trade(T, "1e-999999")]},
    "a size that is no number": GOOD | {"ticks": [trade(T, size="NaN")]},
    "a negative size": GOOD | {"ticks": [trade(T, size="-1")]},
    "an amount beyond columns": GOOD | {"ticks": [trade(T, "1e17", size="1e17")]},
    "a tick before the epoch": GOOD | {"ticks": [trade(-5)]},
    "a tick of the far future": GOOD | {"ticks": [trade(ABSURD)]},
    "an id beyond columns": GOOD | {"ticks": [trade(T, id=2**63)]},
    "a symbol that is none": GOOD | {"ticks": [trade(T, symbol="btc'--")]},
    "a symbol without end": GOOD | {"ticks": [trade(T, symbol="A" * 5_000)]},
    "an absurd spoiled trade": GOOD | {"spoiled": [["BTC_USDT", ABSURD, 5]]},
    "an absurd cover": GOOD | {"covers": [["BTC_USDT", 5, 2**63]]},
    "a cover backwards": GOOD | {"covers": [["BTC_USDT", 5, 5]]},
    "a market away that is none": GOOD | {"away": ["\x00"]},
}


@pytest.mark.parametrize("values", POISON.values(), ids=POISON)
def test_a_record_that_says_what_cannot_be_is_no_batch(values):
    good = encode(Batch(T, T, "ok"))
    found = list(entries(memoryview(good + record(values) + good), 0))
    assert [entry.batch is None for entry in found] == [False, True, False]


def test_what_is_fetched_and_judged_spoils_no_batch():
    past = _Task(T - 60_000, 0, T - 60_000)
    never = _fetched("NEW_USDT", _Task(T, 0, T), [], T - 30_000)
    assert never.never and never.cover is None, "the exchange's clock went back"
    assert symbols_of([Market("stETH_USDT"), Market("A_USDT")]) == ["A_USDT"]
    large, small = (
        judged(Trade("A_USDT", "1", price, size, T), T)[0]
        for price, size in (("100000000000000000", "0.0"), ("60000", "0.5"))
    )
    cover = _fetched("A_USDT", past, [], T).cover
    batch = Batch(T, T + 20, "ok", ticks=[large, small], covers=[cover])
    assert [entry.batch for entry in entries(memoryview(encode(batch)), 0)] == [batch]


def test_what_collectors_write_is_sound():
    most, least = Decimal("999999999999999999"), Decimal("0.000000000000000001")
    ticks = [Tick("A" * 32, T + 5_000, most), Tick("1_X", 1, least, True, Decimal(0), "x", "SELL")]
    batch = Batch(T, T, "ok", None, 100, ticks=ticks, away=[ALL, "A_B"], joined=["whatever it is"])
    early = Batch(1, 1, "ok", None, ticks=[Tick("A_B", T, least)])
    found = list(entries(memoryview(encode(batch) + encode(early)), 0))
    assert [entry.batch for entry in found] == [batch, early]


numbers = st.sampled_from([0, 1, -1, 5, 60_000, T, T + 30_000, 10**12, 10**17, 2**53, 2**63 - 1])
numbers |= st.integers(-(2**63), 2**64 - 1)
texts = st.sampled_from(["", "BTC_USDT", "*", "ok", "idle", "0", "1.5", "NaN", "-0", "1e9", "1e99"])
texts |= st.text(max_size=6)
scalars = numbers | texts | st.none() | st.booleans() | st.floats()
rows = st.lists(scalars, max_size=7) | st.builds(
    trade,
    numbers,
    texts,
    symbol=texts | st.just("BTC_USDT"),
    size=texts | st.none(),
    id=numbers | texts | st.none(),
)
values = scalars | st.lists(rows | texts, max_size=3) | st.dictionaries(texts, numbers, max_size=3)
spoiled = st.dictionaries(st.sampled_from(sorted(GOOD)), values, min_size=1, max_size=4)


def folded(data, source):
    """The batches in some bytes and the candles that they close, the way a builder goes."""
    fold = FeedFold((MINUTE, 5 * MINUTE), Pace(2_000, 2_000), source)
    watched, batches = Subscriptions([(ALL, 0, FOREVER)]), ResumePoint()
    read, closed = [], []
    for entry in entries(memoryview(data), 0):
        if entry.batch is None:
            fold.observation.damaged()
            continue
        read.append(entry.batch)
        fold.apply(entry.batch, watched)
        batches.note(entry.position, entry.batch)
        closing = fold.take_closing(watched)
        if closing is not None:
            closed += closing.candles
            batches.at(closing.closed_through, entry.end)
    return read, closed


THREE = Decimal(3)
LATER = [
    Batch(at, at + 20, "ok", ticks=[Tick("A_B", at, THREE, False, THREE, number)])
    for number, at in enumerate(range(T + 1_000, T + 3 * MINUTE, 1_000), 1)
]


def minutes_of_a_b(closed):
    return [c.open_time for c in closed if c.symbol == "A_B" and c.interval == MINUTE]


@pytest.mark.parametrize("source", [TICKER, TRADES])
@pytest.mark.parametrize("values", POISON.values(), ids=POISON)
def test_after_poison_the_fold_goes_on(values, source):
    read, closed = folded(record(values) + b"".join(map(encode, LATER)), source)
    assert read == LATER
    assert minutes_of_a_b(closed) == [T, T + MINUTE]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(spoiled, st.sampled_from([TICKER, TRADES]))
def test_whatever_a_whole_record_says_the_fold_goes_on_with_those_that_follow(changes, source):
    read, closed = folded(record(GOOD | changes) + b"".join(map(encode, LATER)), source)
    assert read[-len(LATER) :] == LATER
    # A clock that is possible, and still a lie, decides windows.
    if not {"asked", "answered", "ticks"} & changes.keys():
        assert minutes_of_a_b(closed)


def test_poison_is_kept_for_a_person_to_look_at(tmp_path):
    poison = b"".join(record(values) for values in POISON.values())
    good = encode(Batch(T, T, "ok"))
    (tmp_path / f"{0:020d}.seg").write_bytes(good + poison + good)
    found = list(SegmentLog(tmp_path, "id").read(0))
    assert [entry.batch is None for entry in found] == [False, True, False]
    (kept,) = (tmp_path / "unreadable").iterdir()
    assert kept.read_bytes() == poison
