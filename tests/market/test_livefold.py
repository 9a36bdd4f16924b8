"""What the live builder tells of batches that are at hand."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.market.arrivals import Arrivals
from app.market.livefold import BEFORE_START, BEYOND_REACH, LiveFold
from app.market.rows import parse_trade
from app.market.ticks import OK, Batch, Tick
from app.market.wholefold import Whole, WholeFold
from app.market.windows import window_open

MINUTE = 60_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
NOON = 1_700_000_400_000
YEAR = 365 * 24 * 60 * MINUTE


def tick(offset, price=1, number=None, size="0.1", symbol="X"):
    return Tick(symbol, NOON + offset, Decimal(price), False, Decimal(size), number)


def batch(moment, *ticks, **options):
    return Batch(NOON + moment, NOON + moment, OK, ticks=list(ticks), **options)


def news(*batches, intervals=INTERVALS, **options):
    return list(LiveFold(intervals, **options).run(batches))


def shown(found):
    return [
        (
            (one.closed_at - NOON) / 1000,
            one.candle.interval // MINUTE,
            (one.candle.open_time - NOON) // MINUTE,
            one.candle.bar.tick_count,
            one.revision,
            one.cause,
            float(one.candle.coverage),
            one.candle.reasons,
        )
        for one in found
    ]


def last_told(found):
    """The candles as they are in the end."""
    last = {(one.candle.symbol, one.candle.interval, one.candle.open_time): one for one in found}
    return [Whole(*place, last[place].candle.bar) for place in sorted(last)]


def test_a_window_closes_with_the_first_pong_or_frame_two_seconds_after_its_end():
    found = news(batch(0), batch(500, tick(400)), batch(90_000), intervals=(MINUTE,))
    assert shown(found) == [(62.5, 1, 0, 1, 1, "", 1.0, ())]
    found = news(batch(0), batch(61_900, tick(400)), batch(62_000), intervals=(MINUTE,))
    assert shown(found) == [(62.0, 1, 0, 1, 1, "", 1.0, ())]


def test_a_tick_of_the_batch_that_closes_its_window_is_not_late():
    found = news(batch(0), batch(62_000, tick(400)), intervals=(MINUTE,))
    assert shown(found) == [(62.0, 1, 0, 1, 1, "", 1.0, ())]


def test_pongs_without_any_candle_close_windows_too():
    fold = LiveFold((MINUTE,))
    found = list(fold.run([batch(0), batch(180_000, tick(90_000, 2))]))
    assert fold.late == 1
    assert shown(found) == [(180.0, 1, 1, 1, 1, "late_tick", 1.0, ())]


def test_years_of_silence_take_no_time():
    found = news(batch(0, tick(0)), batch(20 * YEAR, tick(20 * YEAR)), batch(20 * YEAR + MINUTE))
    assert [one[:4] for one in shown(found)][:3] == [
        (62, 1, 0, 1),
        (302, 5, 0, 1),
        (602, 10, 0, 1),
    ]
    assert [one[-1] for one in shown(found)[3:]] == [(), ("outage",), ("outage",)]


def test_trades_of_windows_before_the_first_are_counted_and_not_folded():
    fold = LiveFold(INTERVALS)
    found = list(fold.run([batch(5_000, tick(-1), tick(4_000)), batch(6_000, tick(-100))]))
    assert fold.rejected == {BEFORE_START: 2}
    assert {one.candle.bar.tick_count for one in found} == {1}


def test_a_late_tick_beyond_memory_is_only_counted():
    some = [batch(number * MINUTE, tick(number * MINUTE)) for number in range(10)]
    fold = LiveFold((MINUTE,), most_ticks=4)
    found = list(fold.run([*some, batch(9 * MINUTE + 1, tick(0, 5), tick(7 * MINUTE, 6))]))
    assert fold.rejected == {BEYOND_REACH: 1}
    assert [one[2:6] for one in shown(found) if one[4] > 1] == [(7, 2, 2, "late_tick")]


moments = st.integers(0, 15 * 60).map(lambda second: second * 1000)
delays = st.one_of(st.integers(-4_000, 3_000), st.integers(0, 20 * MINUTE))


@st.composite
def arrivals(draw, numbered=True):
    """Trades with ids in the order of their time, and when each was received."""
    times = sorted(draw(st.lists(moments, min_size=1, max_size=25)))
    symbols = st.sampled_from("XY")
    rows = [
        (time + draw(delays), tick(time, draw(st.integers(1, 50)), number, symbol=draw(symbols)))
        for number, time in enumerate(times)
    ]
    return sorted(rows, key=lambda row: row[0])


def batches_of(rows):
    found = {}
    for received, one in rows:
        found.setdefault(max(received, 0), []).append(one)
    return [batch(received, *some) for received, some in sorted(found.items())]


@given(arrivals(), st.randoms())
def test_what_is_told_last_is_what_the_fold_of_all_trades_gives(rows, random):
    again = [(received + random.randint(0, 10 * MINUTE), one) for received, one in rows]
    stream = batches_of(rows + random.sample(again, len(again) // 2))
    start = window_open(stream[0].answered, MINUTE)
    whole = WholeFold(INTERVALS)
    whole.take([(one, 0) for _, one in rows if one.time >= start])
    assert last_told(news(*stream)) == list(whole.candles())


@given(arrivals())
def test_skipping_pongs_that_close_nothing_changes_nothing(rows):
    stream = batches_of(rows)
    every = stream[:1]
    for one in stream[1:]:
        while (pong := every[-1].answered + 1_000) < one.answered:
            every.append(Batch(pong, pong, OK))
        every.append(one)
    told = {(place, one.revision): one for place, one in keyed(news(*stream))}
    assert told == {(place, one.revision): one for place, one in keyed(news(*every))}


def keyed(found):
    return [((one.candle.symbol, one.candle.interval, one.candle.open_time), one) for one in found]


@given(arrivals())
def test_revisions_of_a_candle_grow_by_one_and_the_clock_never_goes_back(rows):
    found = news(*batches_of(rows))
    assert [one.closed_at for one in found] == sorted(one.closed_at for one in found)
    revisions = {}
    for place, one in keyed(found):
        assert one.revision == revisions.get(place, 0) + 1
        revisions[place] = one.revision


def fields(offset, received, price="1", number="", symbol="X"):
    return (str(NOON + offset), symbol, price, "1", number, "", str(NOON + received))


def test_rows_of_one_moment_are_one_batch_and_the_clock_stays_where_a_row_goes_back():
    source = Arrivals()
    rows = [fields(0, 10), fields(1, 10), fields(2, 20), fields(3, 15), fields(4, 30)]
    found = list(source.batches(rows))
    assert [(one.answered - NOON, len(one.ticks)) for one in found] == [(10, 2), (20, 2), (30, 1)]


def test_what_came_together_without_numbers_keeps_the_order_of_its_own_times():
    rows = [
        (f"{NOON // 1000}.0000{rest}", "X", price, "", "", "", str(NOON))
        for rest, price in (("2", "7"), ("1", "8"))
    ]
    (found,) = Arrivals().batches(rows)
    assert [one.price for one in found.ticks] == [8, 7]


def test_a_trade_from_the_future_is_rejected_and_its_number_is_not_missing():
    source = Arrivals()
    rows = [fields(0, 0, number="1"), fields(5_001, 0, number="2"), fields(5_000, 0, number="3")]
    (found,) = source.batches(rows)
    assert source.rejected == {"time_in_future": 1}
    assert [one.id for one in found.ticks] == [1, 3]
    assert [(one.id, one.time - NOON) for one in found.spoiled] == [(2, 0)]
    assert {one.candle.reasons for one in news(found)} == {("outage",)}


def test_rows_without_a_readable_arrival_touch_nothing_but_their_number():
    source = Arrivals()
    rows = [("?",) * 7, fields(0, 0, number="1")]
    rows += [(*fields(1, 1, number="2")[:6], "soon"), fields(2, 2, number="3")]
    found = list(source.batches(rows))
    assert source.rejected == {"received_malformed": 2}
    assert [len(one.ticks) for one in found] == [1, 1]
    assert parse_trade(rows[1]).tick == found[0].ticks[0]
    assert all("sequence_gap" not in one.candle.reasons for one in news(*found))
