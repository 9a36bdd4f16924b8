from decimal import Decimal

import pytest
from sqlalchemy import delete, func, select, update

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.market.coverage import ALL, FOREVER, Span
from app.storage import observed
from app.storage.database import reading, writing
from app.storage.feeds import FeedStore, NotOwner
from app.storage.tables import candles, feed_positions, series, unobserved

MINUTE = 60_000
TINY, LARGE = Decimal("0.00000000000015"), Decimal("106301.01")


def candle(minute=0, symbol="BTC_USDT", close=LARGE, interval=MINUTE, **options):
    start = minute * MINUTE
    bar = Bar(TINY, LARGE, TINY, close, 3, start, start + 59_999)
    return Candle(symbol, start, interval, bar, Decimal("0.9833"), ("restart",), **options)


def closing(*found, spans=(), through=MINUTE):
    return Closing(through, list(found), list(spans), (MINUTE, 5 * MINUTE))


@pytest.fixture
def store(engine):
    return FeedStore(engine, "poloniex", "ticker")


@pytest.fixture
def owner(store):
    store.take_over("log", 100)
    return store


def rows(engine, *columns):
    with reading(engine) as connection:
        return connection.execute(select(*columns).order_by(candles.c.sequence)).all()


def stored_spans(engine, since=0):
    with reading(engine) as connection:
        return observed.spans(connection, ("poloniex", "ticker"), since, FOREVER)


def commit(store, found, applied=200, epoch=1, resume=150):
    return store.commit(found, resume, applied, epoch, stored_at=123)


def test_candles_keep_every_digit_and_come_with_their_position(engine, owner):
    written = commit(owner, closing(candle(), candle(symbol="SHIB_USDT", close=TINY)))
    assert (written.rows, written.conflicts) == (2, 0)
    columns = [candles.c[name] for name in ("open", "high", "low", "close", "coverage", "reasons")]
    assert rows(engine, *columns) == [
        (TINY, LARGE, TINY, LARGE, Decimal("0.9833"), "restart"),
        (TINY, LARGE, TINY, TINY, Decimal("0.9833"), "restart"),
    ]
    assert rows(engine, candles.c.sequence, candles.c.revision, candles.c.origin) == [
        (1, 1, "live"),
        (2, 1, "live"),
    ]
    position = owner.take_over("log", 500)
    assert position[:5] == ("log", 150, 200, MINUTE, 2)


def test_a_commit_that_had_happened_may_be_repeated(engine, owner):
    commit(owner, closing(candle()))
    again = commit(FeedStore(engine, "poloniex", "ticker"), closing(candle()))
    assert (again.rows, again.conflicts) == (0, 0)
    assert rows(engine, candles.c.sequence) == [(1,)]


def test_a_stored_candle_is_never_overwritten_and_a_different_one_is_counted(engine, owner):
    commit(owner, closing(candle()))
    written = commit(owner, closing(candle(close=TINY), candle(1), through=2 * MINUTE), applied=300)
    assert (written.rows, written.conflicts) == (1, 1)
    assert rows(engine, candles.c.close) == [(LARGE,), (LARGE,)]


def test_an_identical_candle_is_no_conflict(engine, owner):
    commit(owner, closing(candle()))
    written = commit(owner, closing(candle()), applied=300)
    assert (written.rows, written.conflicts) == (0, 0)


def test_a_former_owner_can_commit_nothing(engine, owner):
    new = FeedStore(engine, "poloniex", "ticker").take_over("log", 100)
    assert new.epoch == 2
    with pytest.raises(NotOwner):
        commit(owner, closing(candle()), epoch=1)
    assert rows(engine, candles.c.sequence) == []
    assert new.sequence == 0


def test_a_failure_in_the_middle_leaves_nothing_behind(engine, owner):
    broken = candle(symbol=None)
    with pytest.raises(Exception):  # noqa: B017 -- which one differs by database
        commit(owner, closing(candle(), broken, spans=[Span(ALL, 0, 5, "outage")]))
    with reading(engine) as connection:
        for table in (candles, series, unobserved):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    assert owner.take_over("log", 500).applied == 100
    assert commit(owner, closing(candle()), epoch=2).rows == 1


def test_a_feed_without_a_position_begins_at_the_logs_end(store):
    assert store.take_over("log", 77)[:4] == ("log", 77, 77, 0)


@pytest.mark.parametrize("identity, end", [("another", 5_000), ("log", 199)])
def test_a_position_in_a_log_that_is_gone_begins_at_the_end_of_the_new_one(owner, identity, end):
    commit(owner, closing(candle()))
    position = owner.take_over(identity, end)
    assert position[:4] == (identity, end, end, MINUTE)


def test_a_span_that_goes_on_for_the_same_reason_is_one_row(engine, owner):
    spans = [Span(ALL, 0, 10, "outage"), Span(ALL, 10, 20, "outage"), Span(ALL, 20, 30, "restart")]
    commit(owner, closing(spans=spans))
    commit(owner, closing(spans=[Span(ALL, 30, 40, "restart")]), applied=300)
    assert sorted(stored_spans(engine)) == [
        Span(ALL, 0, 20, "outage"),
        Span(ALL, 20, 40, "restart"),
    ]
    assert stored_spans(engine, 20) == [Span(ALL, 20, 40, "restart")]


def test_parts_of_open_longer_windows_come_back_as_they_were(owner):
    commit(owner, closing(candle(0), candle(1), candle(2), candle(0, interval=5 * MINUTE)))
    parts = owner.resume(3 * MINUTE, (MINUTE, 5 * MINUTE)).parts
    assert [(part.symbol, part.open_time, part.bar) for part in parts] == [
        ("BTC_USDT", 0, candle(0).bar),
        ("BTC_USDT", MINUTE, candle(1).bar),
        ("BTC_USDT", 2 * MINUTE, candle(2).bar),
    ]


def test_feeds_do_not_see_one_another(engine, owner):
    commit(owner, closing(candle(), spans=[Span(ALL, 0, 5, "outage")]))
    other = FeedStore(engine, "poloniex", "trades")
    assert other.take_over("log", 9)[:4] == ("log", 9, 9, 0)
    found = other.resume(MINUTE, (MINUTE,))
    assert (found.parts, found.spans) == ([], [])
    assert commit(other, closing(candle())).rows == 1


def test_a_thousand_rows_go_in_at_once(engine, owner):
    found = [candle(symbol=f"S{number}_USDT") for number in range(1_500)]
    assert commit(owner, closing(*found)).rows == 1_500
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(candles)) == 1_500


def test_lower_and_upper_case_are_different_symbols(engine, owner):
    commit(owner, closing(candle(symbol="BTC_USDT"), candle(symbol="btc_usdt")))
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(series)) == 2


def test_position_of_a_feed_that_was_deleted_is_a_lost_ownership(engine, owner):
    with writing(engine) as connection:
        connection.execute(delete(feed_positions))
    with pytest.raises(NotOwner):
        commit(owner, closing(candle()))


def test_reads_see_committed_rows_only(engine, owner):
    with writing(engine) as connection:
        connection.execute(update(feed_positions).values(sequence=99))
        with reading(engine) as other:
            assert other.scalar(select(feed_positions.c.sequence)) == 0


def kept(engine):
    with reading(engine) as connection:
        return sorted(observed.intervals(connection, ("poloniex", "ticker")))


def test_it_is_known_from_when_and_until_when_an_interval_was_stored(engine, owner):
    def close(minute, *intervals):
        commit(owner, Closing(minute * MINUTE, [], [], intervals))

    close(1, MINUTE)
    close(7, MINUTE)
    close(8, MINUTE, 5 * MINUTE)
    assert kept(engine) == [(MINUTE, 0, FOREVER), (5 * MINUTE, 5 * MINUTE, FOREVER)]
    close(23, MINUTE)
    assert kept(engine)[1] == (5 * MINUTE, 5 * MINUTE, 8 * MINUTE)
    close(29, MINUTE, 5 * MINUTE)
    assert kept(engine)[1:] == [
        (5 * MINUTE, 5 * MINUTE, 8 * MINUTE),
        (5 * MINUTE, 20 * MINUTE, FOREVER),
    ]


def test_an_interval_that_comes_back_within_its_window_was_never_away(engine, owner):
    for minute, intervals in ((1, (MINUTE, 5 * MINUTE)), (2, (MINUTE,))):
        commit(owner, Closing(minute * MINUTE, [], [], intervals))
    commit(owner, Closing(3 * MINUTE, [], [], (MINUTE, 5 * MINUTE)))
    assert kept(engine) == [(MINUTE, 0, FOREVER), (5 * MINUTE, 0, FOREVER)]
