"""The builder and what is asked of the past: the exchange's own candles, where something was
missed, and windows that are folded anew out of the log."""

from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import update

from app.market.coverage import ALL
from app.market.ticks import IDLE, Cover, History, Minute
from app.storage.candles import PageQuery
from app.storage.database import writing
from app.storage.gaps import NO_TRADE, NOT_OBSERVED, read_gaps
from app.storage.tables import candle_revisions, candles, histories, late_candles
from tests.pipeline.house import House as Polled
from tests.pipeline.house import prices, second
from tests.pipeline.test_trades import FEED, MINUTE, START, House, drain, storm, trade

ONE = Decimal(1)


@pytest.fixture
def house(engine, tmp_path):
    house = House(engine, tmp_path / "log")
    yield house
    house.log.close()


@pytest.fixture
def polled(engine, tmp_path):
    house = Polled(engine, tmp_path / "polled")
    yield house
    house.log.close()


def theirs(place, close=5, trades=4):
    """The exchange's own candle of the minute at `place` (s)."""
    price, size = Decimal(close), Decimal(trades)
    return Minute(START + place * 1000, price, price, price, price, size, size, size, trades)


def history(moment, start, end, *minutes, symbol="BTC_USDT"):
    """What the exchange has told at a moment; it and the range in s."""
    told = History(symbol, START + start * 1000, START + end * 1000, list(minutes))
    return drain(moment * 1000, moment * 1000 + 1, outcome=IDLE, history=[told])


def asked(moment, start, end, symbol=ALL):
    """A request to fold a range anew; times in s."""
    cover = Cover(symbol, START + start * 1000, START + end * 1000)
    return drain(moment * 1000, moment * 1000 + 1, outcome=IDLE, anew=[cover])


def missed(house, end=310):
    """From the 70th second to the 200th nobody was connected; the first minute and the last have
    trades."""
    house.seconds(0, 70, trade(1, 1_500, 5), trade(2, 61_000, 5))
    house.live(drain(200_000, 200_500, blind=True)).seconds(201, end, trade(3, 250_000, 8))


def flip(house, interval, place, **values):
    """Change a stored row by SQL."""
    mine = candles.c.interval_ms == interval, candles.c.open_time == START + place * 1000
    with writing(house.engine) as connection:
        assert connection.execute(update(candles).where(*mine).values(**values)).rowcount == 1


def origins(house, interval=MINUTE):
    return {
        (row[0] - START) // 1000: row[2]
        for row in house.table(candles, "open_time", "interval_ms", "origin")
        if row[1] == interval
    }


def kinds(house):
    query = PageQuery(*FEED, (MINUTE,), (MINUTE,), ("BTC_USDT",))
    gaps = read_gaps(house.engine, query).rows
    return {(gap.row.open_time - START) // 1000: gap.kind for gap in gaps}


def test_the_exchanges_own_candles_stand_where_something_was_missed(house):
    missed(house)
    assert house.rows() == [
        (0, 1, 5, 1, Decimal("0.9833"), None),
        (60, 1, 5, 1, Decimal("0.1666"), None),
        (240, 1, 8, 1, ONE, None),
    ]
    assert kinds(house)[120] == NOT_OBSERVED
    house.live(history(310, 60, 240, theirs(60, 6), theirs(120, 7)))
    assert house.rows()[1:3] == [(60, 2, 6, 4, ONE, "repair"), (120, 1, 7, 4, ONE, "repair")]
    assert house.rows(table=candle_revisions) == [(60, 1, 5, 1, Decimal("0.1666"), None)]
    assert origins(house) == {0: "live", 60: "exchange", 120: "exchange", 240: "live"}
    # The first second was before the subscription.
    assert house.rows(5 * MINUTE) == [(0, 2, 8, 10, Decimal("0.9966"), "repair")]
    assert origins(house, 5 * MINUTE) == {0: "exchange"}
    assert kinds(house)[180] == NO_TRADE


def test_what_was_seen_whole_is_not_taken_from_the_exchange(house):
    house.seconds(0, 190, trade(1, 61_000, 5))
    before = house.everything()
    house.live(history(190, 60, 180, theirs(60, 9), theirs(120, 9)))
    assert house.everything() == before


def test_what_the_exchange_tells_again_changes_nothing(house):
    missed(house)
    told = [theirs(60, 6), theirs(120, 7)]
    house.live(history(310, 60, 240, *told))
    before = house.everything()
    house.live(history(311, 60, 240, *told), history(312, 120, 180, *told))
    assert house.everything() == before
    house.restart()
    house.live(history(313, 60, 240, *told)).seconds(314, 320)
    assert house.everything() == before
    assert house.table(histories, "start_time", "end_time") == [(START + 60_000, START + 240_000)]


def test_candles_of_a_time_before_the_first_subscription_come_without_a_cause(house):
    house.seconds(0, 130, trade(1, 61_000, 5))
    house.live(history(130, -600, 0, theirs(-600, 3), theirs(-60, 4)))
    assert house.rows()[:2] == [(-600, 1, 3, 4, ONE, None), (-60, 1, 4, 4, ONE, None)]
    assert house.rows(10 * MINUTE) == [(-600, 1, 4, 8, ONE, None)]
    assert house.table(late_candles, "open_time") == []


def test_the_open_longer_window_takes_over_what_was_told(house):
    missed(house, end=250)
    house.live(history(250, 60, 240, theirs(60, 6), theirs(120, 7)))
    forming = {(one.interval, one.open_time): one.bar for one in house.builder.forming().candles}
    assert forming[5 * MINUTE, START].tick_count == 1 + 4 + 4
    house.seconds(251, 310, trade(3, 251_500, 8))
    assert house.rows(5 * MINUTE) == [(0, 1, 8, 10, Decimal("0.9966"), None)]


def test_a_digit_that_was_changed_behind_our_back_is_put_right_and_nothing_else(house):
    house.seconds(0, 622, *(trade(number, number * 9_000, number % 7 + 1) for number in range(68)))
    before = house.everything()
    flip(house, MINUTE, 120, high=Decimal("999"))
    flip(house, 5 * MINUTE, 300, close=Decimal("999"))
    broken = house.everything()
    house.live(asked(622, 0, 600))
    rows, replaced = house.everything()
    # Of what is shown here, revision and cause.
    assert [(*row[:2], *row[3:-1]) for row in rows] == [(*row[:2], *row[3:-1]) for row in before[0]]
    changed = [(row[0], (row[1] - START) // 1000, row[2], row[-1]) for row in rows if row[2] > 1]
    assert changed == [(MINUTE, 120, 2, "rebuild"), (5 * MINUTE, 300, 2, "rebuild")]
    assert replaced == [row for row in broken[0] if Decimal("999") in row[4:7]]
    house.live(asked(623, 0, 600))
    assert house.everything() == [rows, replaced]


def test_only_what_was_asked_for_is_folded_anew(house):
    house.seconds(0, 370, *(trade(number, number * 9_000) for number in range(40)))
    flip(house, MINUTE, 60, high=Decimal("999"))
    house.live(asked(370, 300, 360), asked(371, 0, 300, "ETH_USDT"))
    assert house.table(candle_revisions, "revision") == []
    house.live(asked(372, 119, 120, "BTC_USDT"))
    assert house.table(candle_revisions, "open_time") == [(START + 60_000,)]


def test_what_the_exchange_has_told_stays_when_the_log_is_folded_anew(house):
    missed(house)
    house.live(history(310, 60, 240, theirs(60, 9), theirs(120, 9)))
    house.live(history(311, 60, 180, theirs(60, 6), theirs(120, 7)))
    before = house.everything()
    house.live(asked(312, 0, 300))
    assert house.everything() == before
    flip(house, MINUTE, 120, close=Decimal("999"))
    house.live(asked(313, 0, 300))
    assert house.rows()[2] == (120, 3, 7, 4, ONE, "rebuild")


def test_a_candle_that_the_exchange_does_not_tell_again_stays(house):
    missed(house)
    house.live(history(310, 60, 240, theirs(60, 6), theirs(120, 7)), history(311, 60, 240))
    before = house.everything()
    flip(house, MINUTE, 120, close=Decimal("999"))
    house.live(asked(312, 0, 300))
    assert house.rows()[2] == (120, 2, 7, 4, ONE, "rebuild")
    assert len(house.everything()[0]) == len(before[0])


def test_windows_that_are_open_are_left_alone(house):
    house.seconds(0, 70, trade(1, 1_500), trade(2, 65_000))
    house.live(asked(70, 0, 600)).seconds(71, 73, trade(3, 72_000))
    counts = {one.interval: one.bar.tick_count for one in house.builder.forming().candles}
    assert counts == {MINUTE: 2, 5 * MINUTE: 3, 10 * MINUTE: 3}


def test_a_row_that_was_deleted_behind_our_back_comes_again(house):
    house.seconds(0, 310, trade(1, 61_000, 5), trade(2, 130_000, 6))
    with writing(house.engine) as connection:
        connection.execute(candles.delete().where(candles.c.open_time == START + 60_000))
    house.live(asked(310, 0, 300))
    assert house.rows() == [(60, 1, 5, 1, ONE, "rebuild"), (120, 1, 6, 1, ONE, None)]


def test_what_the_log_has_not_all_of_stays_as_it_is(house):
    house.seconds(0, 200, *(trade(number, number * 9_000) for number in range(22)))
    flip(house, MINUTE, 0, high=Decimal("999"))
    first = min(house.folder.glob("*.seg"))
    first.write_bytes(b"x" * first.stat().st_size)
    house.restart()
    house.live(asked(200, 0, 180))
    assert house.table(candle_revisions, "revision") == []


def test_a_damaged_place_in_the_log_leaves_alone_what_closed_before_it(house):
    house.seconds(0, 250, *(trade(number, number * 3_000) for number in range(80)))
    for place in (0, 60, 180):
        flip(house, MINUTE, place, high=Decimal("999"))
    inside = sorted(house.folder.glob("*.seg"))
    broken = inside[len(inside) // 2]
    broken.write_bytes(b"x" * broken.stat().st_size)
    house.restart()
    house.live(asked(250, 0, 240))
    assert house.table(candle_revisions, "open_time") == [(START + 180_000,)]


def test_late_trades_of_what_closed_after_a_damaged_place_are_folded_in(house):
    house.seconds(0, 250, trade(1, 61_000), trade(2, 62_000), trade(5, 190_000))
    place = house.log.find(START + 100_000)
    broken = [path for path in sorted(house.folder.glob("*.seg")) if int(path.stem) <= place][-1]
    broken.write_bytes(b"x" * broken.stat().st_size)
    house.live(drain(250_000, 250_500, trade(3, 63_000, 9), trade(4, 189_000, 9)))
    gap = Decimal("0.9999")
    assert house.rows() == [(60, 3, 1, 2, gap, "coverage"), (180, 2, 1, 2, ONE, "late_tick")]


def test_a_polled_feed_is_folded_anew_across_a_restart(polled):
    polled.live(second(0, "5", start=True), *prices(1, 70))
    polled.restart()
    # The first row after a start counts in a window that is open, and in none that is over.
    polled.live(second(101, None, start=True), *prices(102, 310))
    before = polled.rows()
    flip(polled, MINUTE, 60, open=Decimal("999"))
    moment = START + 310_000
    polled.live(second(310, anew=[Cover(ALL, START, moment)]), second(311))
    assert polled.rows() == before
    with pytest.raises(AssertionError):
        flip(polled, MINUTE, 61, open=ONE)


def eventful():
    """A storm in which the exchange's own candles are told and ranges are folded anew."""
    batches = storm(Random(3))
    for number, at in enumerate(range(40, len(batches), 29)):
        moment = (batches[at - 1].answered - START) // 1000
        start = 60 * (number % 7)
        minutes = [theirs(place, number + 2) for place in range(start, start + 180, 60)]
        extra = history(moment, start, start + 240, *minutes)
        batches.insert(at, asked(moment, start, start + 200) if number % 3 == 2 else extra)
    return batches


def test_restarts_at_any_point_give_the_same_repairs(house):
    batches = eventful()
    stops = set(Random(3).sample(range(len(batches)), 25))
    for number, batch in enumerate(batches):
        house.log.append(batch)
        house.now = batch.answered
        if number in stops:
            # It is in the log, and nobody has read it yet.
            house.restart()
        while house.builder.step(house.now):
            pass
    interrupted = house.everything()
    causes = {row[-1] for rows in interrupted for row in rows}
    assert "repair" in causes
    house.clear()
    with writing(house.engine) as connection:
        connection.execute(histories.delete())
        connection.execute(late_candles.delete())
    house.log.close()
    house.log, house.folder = None, house.folder.with_name("second")
    house.restart()
    house.live(*batches)
    assert house.everything() == interrupted
