"""What the log tells of a window, driven by batches as collectors would log them, and compared with
the fold that builders use."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.market.candles import EXCHANGE, merge
from app.market.coverage import ALL, FOREVER
from app.market.explaining import AFTER_MS, MOST, Failure, Trace
from app.market.observation import Observation, Pace, StreamObservation
from app.market.refold import Refold, Sought
from app.market.subscriptions import Subscriptions
from app.market.ticks import TICKER, TRADES, Batch, History, Minute, Spoiled, Tick

PACE = Pace(grace=2_000, deadline=2_000)
MINUTE = 60_000
NOON = 1_700_000_400_000
ALWAYS = Subscriptions([(ALL, 0, FOREVER)])
KINDS = {TICKER: Observation, TRADES: StreamObservation}


def trade(offset, price, number=None, symbol="X", size="1", first=False):
    time = NOON + offset
    return Tick(symbol, time, Decimal(price), first, Decimal(size), number, "BUY")


def row(offset, price, first=False):
    return Tick("X", NOON + offset, Decimal(price), first)


def batch(offset, *ticks, outcome="ok", **options):
    return Batch(NOON + offset, NOON + offset + 20, outcome, ticks=list(ticks), **options)


def trace(*batches, source=TRADES, length=MINUTE, subscriptions=ALWAYS, symbol="X"):
    one = Trace(symbol, NOON, NOON + length, source, KINDS[source](PACE, MINUTE), subscriptions)
    for found in batches:
        one.take(found)
    return one.found()


def refolded(batches, source, length):
    """The builder's own."""
    places = [("X", NOON + start) for start in range(0, length, MINUTE)]
    fold = Refold(Sought(places), KINDS[source](PACE, MINUTE), source, ALWAYS)
    for found in batches:
        fold.take(found)
    bars, merged = fold.bars(), None
    for place in places:
        merged = merge(merged, bars.get(place))
    return merged


def beats(start, end, step=1_000):
    return [batch(offset) for offset in range(start, end, step)]


def test_the_ticks_that_make_the_prices_are_named():
    told = trace(
        batch(-1_000, trade(-500, "9", 1)),
        batch(2_000, trade(1_500, "5", 3), trade(1_000, "4", 2), trade(100, "6", 9, "Y")),
        batch(3_000, trade(2_500, "7", 4), trade(2_600, "7", 5), trade(2_700, "4", 6)),
        batch(61_000, trade(60_000, "1", 7)),
    )
    assert [tick.id for tick in told.edges] == [2, 6, 4, 2]
    assert (told.bar.tick_count, told.late, told.repeated) == (5, 0, 0)
    assert told.bar[:4] == (4, 7, 4, 4)


def test_of_one_moment_the_id_decides():
    told = trace(batch(2_000, trade(1_000, "5", 3)), batch(3_000, trade(1_000, "4", 2)))
    assert [tick.id for tick in told.edges] == [2, 3, 3, 2]


def test_a_late_trade_counts_and_is_told():
    told = trace(
        *beats(0, 64_000),
        batch(64_000, trade(59_000, "3", 2), trade(59_500, "4", 2)),
        batch(65_000),
    )
    assert (told.late, told.repeated, told.bar.tick_count) == (1, 1, 1)
    # By the frame that came two seconds after its end.
    assert told.closed_at == NOON + 62_020


def test_a_window_that_is_still_open_has_not_closed():
    assert trace(*beats(0, 61_000)).closed_at is None


def test_rows_that_repeat_are_nothing_and_old_first_rows_are_baselines():
    told = trace(
        batch(1_000, row(500, "5", first=True)),
        batch(2_000, row(500, "5")),
        batch(3_000, row(400, "4")),
        *beats(3_000, 63_000),
        batch(64_000, row(59_000, "6", first=True), start=True),
        batch(65_000, row(59_500, "7")),
        source=TICKER,
    )
    assert (told.bar.tick_count, told.late, told.baselines) == (2, 1, 1)
    assert told.repeated is None


def test_what_was_not_subscribed_is_counted_apart():
    some = Subscriptions([("X", NOON + 30_000, FOREVER)])
    ticks = trade(1_000, "5", 1), trade(40_000, "6", 2)
    told = trace(batch(41_000, *ticks), subscriptions=some)
    assert (told.unsubscribed, told.bar.tick_count) == (1, 1)


def test_what_was_rejected_is_told_of_all_symbols_and_what_was_spoiled_of_this_one():
    spoiled = [Spoiled("X", NOON + 1, 5), Spoiled("Y", NOON + 1, 6), Spoiled("X", NOON - 1, 7)]
    told = trace(
        batch(-3_000, rejected={"price_malformed": 5}),
        batch(1_000, rejected={"price_malformed": 2}, spoiled=spoiled),
        batch(2_000, rejected={"price_malformed": 1, "time_in_future": 1}),
        batch(60_000, rejected={"price_malformed": 7}),
    )
    assert told.rejected == {"price_malformed": 3, "time_in_future": 1}
    assert told.spoiled == 1


def test_failures_of_one_reason_are_one_stretch():
    down = {"outcome": "exchange_down", "error": "timeout"}
    told = trace(
        batch(-5_000, **down),
        batch(1_000, **down),
        batch(2_000, outcome="idle"),
        batch(3_000, **down),
        batch(4_000, outcome="outage", error="dns"),
        batch(5_000),
        batch(6_000, outcome="outage", error="dns"),
        batch(60_000, outcome="outage", error="dns"),
    )
    assert [
        (one.outcome, one.start - NOON, one.end - NOON, one.batches) for one in told.failures
    ] == [
        ("exchange_down", 1_000, 3_020, 2),
        ("outage", 4_000, 4_020, 1),
        ("outage", 6_000, 6_020, 1),
    ]


def test_more_failures_than_anybody_reads_are_counted():
    turns = [
        batch(at * 100, outcome="outage" if at % 2 else "exchange_down") for at in range(MOST + 7)
    ]
    told = trace(*turns)
    assert (len(told.failures), told.left_out) == (MOST, 7)
    assert isinstance(told.failures[0], Failure)


def minute(offset, price, trades=2):
    prices = (Decimal(price),) * 4
    return Minute(NOON + offset, *prices, Decimal(3), Decimal(6), Decimal(1), trades)


def test_the_exchanges_own_candles_that_were_logged_are_told():
    told = History(
        "X", NOON - MINUTE, NOON + 3 * MINUTE, [minute(-MINUTE, "1"), minute(MINUTE, "2")]
    )
    other = replace(batch(186_000), history=[told._replace(symbol="Y")])
    found = trace(
        *beats(0, 185_000), other, replace(batch(187_000), history=[told]), length=3 * MINUTE
    ).told
    (one,) = found
    assert (one.start, one.end, one.logged_at) == (NOON, NOON + 3 * MINUTE, NOON + 187_020)
    assert (one.bar.open, one.bar.tick_count, one.bar.origin) == (2, 2, EXCHANGE)


def test_a_history_of_a_window_without_trades_tells_none():
    told = History("X", NOON, NOON + MINUTE, [])
    (one,) = trace(*beats(0, 65_000), replace(batch(66_000), history=[told])).told
    assert one.bar is None


def test_batches_without_a_clock_are_in_no_time():
    told = trace(replace(batch(1_000, trade(500, "5", 1)), offset=None))
    assert (told.bar, told.since, told.until) == (None, None, None)


def test_it_is_done_an_hour_after_the_window():
    one = Trace("X", NOON, NOON + MINUTE, TRADES, StreamObservation(PACE, MINUTE), ALWAYS)
    assert not one.is_done(batch(MINUTE + AFTER_MS - 1))
    assert one.is_done(batch(MINUTE + AFTER_MS))
    assert not one.is_done(replace(batch(MINUTE + AFTER_MS), offset=None))


offsets = st.integers(-5_000, 5 * 60_000 + 5_000)
ids = st.one_of(st.none(), st.integers(1, 20), st.sampled_from(["a", "b"]))
sizes = st.sampled_from(["1", "0.000000000000000001", "3.333333333333333333"])
prices = st.sampled_from(["1", "2", "3", "0.333333333333333333"])
trades = st.builds(trade, offsets, prices, ids, st.sampled_from("XY"), sizes)
rows = st.builds(row, offsets, st.sampled_from("123"), st.booleans())


@st.composite
def logs(draw, ticks):
    moments = sorted(draw(st.lists(st.integers(-5, 400), min_size=1, max_size=40)))
    outcomes = st.sampled_from(["ok", "ok", "ok", "idle", "outage"])
    found = []
    for at in moments:
        outcome = draw(outcomes)
        brought = draw(st.lists(ticks, max_size=4)) if outcome == "ok" else []
        found.append(batch(at * 1_000, *brought, outcome=outcome))
    return found


@given(logs(trades), st.sampled_from([1, 5]))
def test_the_candle_is_that_of_the_builders_fold_of_trades(log, minutes):
    expected = refolded(log, TRADES, minutes * MINUTE)
    told = trace(*log, length=minutes * MINUTE)
    assert told.bar == expected
    check_edges(told)


@given(logs(rows), st.sampled_from([1, 5]))
def test_the_candle_is_that_of_the_builders_fold_of_prices(log, minutes):
    told = trace(*log, source=TICKER, length=minutes * MINUTE)
    assert told.bar == refolded(log, TICKER, minutes * MINUTE)
    check_edges(told)


def check_edges(told):
    bar, edges = told.bar, told.edges
    assert (bar is None) == (edges is None)
    if bar is not None:
        assert [tick.price for tick in edges] == [bar.open, bar.close, bar.high, bar.low]
        assert (edges.first.time, edges.last.time) == (bar.first_tick_time, bar.last_tick_time)
