"""Ids of trades that are missing, come again, or make no sense, through builders and restarts."""

import pytest
from sqlalchemy import update

from app.market.coverage import ALL
from app.market.ticks import Cover, Spoiled
from app.storage import subscriptions
from app.storage.database import writing
from app.storage.tables import candle_revisions, missing_ids
from app.storage.tables import subscriptions as subscriptions_table
from tests.pipeline.test_trades import FEED, MINUTE, ONE, START, House, drain, trade


@pytest.fixture
def house(engine, tmp_path):
    house = House(engine, tmp_path / "log")
    yield house
    house.log.close()


def shares(house, interval=MINUTE):
    return [(row[0], row[3], float(row[4])) for row in house.rows(interval)]


def test_holes_within_one_moment_are_told_apart(house):
    one = [trade(number, 105_000) for number in (5, 7, 9)]
    house.seconds(0, 106, trade(4, 90_000), *one)
    house.live(drain(106_000, 106_250, trade(6, 105_000))).seconds(107, 130)
    assert house.table(missing_ids, "after_id") == [(7,)]
    assert shares(house) == [(60, 5, 0.9999)]


def test_the_same_hole_may_open_close_and_open_again_before_anybody_is_told(house):
    house.seconds(0, 72, trade(5, 70_000), trade(7, 71_000))
    house.live(drain(72_000, 72_250, trade(10, 71_500)), drain(72_250, 72_500, trade(8, 71_200)))
    house.live(drain(72_500, 72_750, trade(6, 70_500), trade(9, 71_300))).seconds(73, 130)
    assert shares(house) == [(60, 6, 1.0)]
    assert house.table(missing_ids, "after_id") == []


def start(house, symbol, since):
    """A subscription beside that to all."""
    subscriptions.start(house.engine, *FEED, [symbol], START)
    with writing(house.engine) as connection:
        mine = subscriptions_table.c.symbol == symbol
        values = {"since": START + since, "pending": False}
        connection.execute(update(subscriptions_table).where(mine).values(**values))


def test_another_start_of_what_is_watched_hides_no_hole_and_counts_nothing_twice(house):
    house.seconds(0, 62, trade(99, 61_000))
    start(house, "BTC_USDT", 90_000)
    house.seconds(62, 91, trade(100, 80_000))
    house.live(drain(91_000, 91_250, trade(100, 80_000))).seconds(92, 130, trade(102, 100_000))
    ((_, count, share),) = shares(house)
    assert (count, share < 1) == (3, True)
    assert house.table(missing_ids, "after_id") == [(100,)]


def test_what_happened_while_nobody_watched_is_not_missing_and_what_came_is_known(house):
    house.seconds(0, 70, trade(1, 61_000))
    subscriptions.stop(house.engine, *FEED, ALL, START + 75_000)
    house.now = 0
    house.builder._refresh_due = 0
    house.seconds(70, 100)
    subscriptions.start(house.engine, *FEED, [ALL], START + 100_000)
    house.builder._refresh_due = 0
    house.live(drain(100_000, 101_000, joined=[ALL]))
    house.seconds(101, 130, trade(9, 110_000))
    house.restart()
    house.live(drain(130_000, 130_250, trade(1, 61_000), trade(9, 110_000))).seconds(131, 200)
    (row,) = house.rows()
    assert row[3] == 2
    assert house.table(missing_ids, "after_id") == []


def test_a_spoiled_trade_of_an_absurd_time_does_not_blind_the_search_for_holes(house):
    house.seconds(0, 70, trade(100, 61_000))
    house.live(drain(70_000, 71_000, spoiled=[Spoiled("BTC_USDT", 1_000, 101)]))
    house.seconds(71, 130, trade(103, 80_000))
    assert shares(house) == [(60, 2, 0.6833)]


def test_more_holes_than_are_remembered_count_nothing_twice(house):
    trades = [trade(2 * number, 60_000 + 10 * number) for number in range(1_500)]
    house.seconds(0, 76, *trades)
    house.live(drain(76_000, 76_250, *trades[:500])).seconds(77, 130)
    assert [row[3] for row in house.rows()] == [1_500]


def test_an_absurd_id_does_not_disturb_for_long_nor_after_a_restart(house):
    trades = [trade(number, 60_000 + 1_000 * number) for number in range(1, 250)]
    house.seconds(0, 100, *trades)
    absurd = [Spoiled("BTC_USDT", START + 100_100, 9 * 10**16)]
    house.live(drain(100_000, 100_250, trades[39], spoiled=absurd))
    house.seconds(101, 200, *trades)
    house.restart()
    house.seconds(200, 320, *trades)
    assert [row[4] for row in house.rows()][2:] == [ONE, ONE]
    assert house.table(missing_ids, "after_id") == []


def damage(house):
    """Make the middle of the newest segment unreadable."""
    house.log.close()
    path = max(house.folder.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def test_a_trade_that_cannot_be_folded_in_is_missing_in_its_candle(house):
    house.seconds(0, 130, trade(100, 61_000), trade(102, 81_000))
    damage(house)
    house.restart()
    house.seconds(130, 135)
    house.live(drain(135_000, 135_250, trade(101, 70_000)))
    (row,) = house.rows()
    assert row[3] == 2 and row[4] < 1


def test_what_is_older_than_the_log_neither_fills_a_hole_nor_covers(house):
    house.seconds(0, 130, trade(100, 61_000), trade(102, 81_000))
    before = house.everything()
    house.log.close()
    for path in sorted(house.folder.glob("*.seg"))[:-1]:
        path.unlink()
    house.restart()
    cover = Cover("BTC_USDT", START + 61_000, START + 130_000)
    house.live(drain(130_000, 130_250, trade(101, 70_000), covers=[cover])).seconds(131, 135)
    assert house.everything() == before
    assert house.table(missing_ids, "after_id") == [(100,)]
    assert house.state.late_ticks == 1


def restarted_or_not(house, batches, stop):
    house.live(*batches[:stop])
    house.restart()
    house.live(*batches[stop:])
    found = house.everything()
    house.clear()
    house.log.close()
    house.log, house.folder = None, house.folder.with_name("second")
    house.restart()
    house.live(*batches)
    return found, house.everything()


def quiet(start, end):
    return [drain(second * 1000, second * 1000 + 1000) for second in range(start, end)]


FIRST = drain(0, 1000, start=True, blind=True, joined=[ALL])


def test_a_restart_remembers_ids_that_are_in_no_candle(house):
    spoiled = drain(70_000, 71_000, spoiled=[Spoiled("BTC_USDT", START + 70_500, 101)])
    batches = [FIRST, *quiet(1, 61), drain(61_000, 62_000, trade(100, 61_500)), *quiet(62, 70)]
    batches += [spoiled, *quiet(71, 125), drain(125_000, 126_000, trade(102, 125_500))]
    batches += quiet(126, 190)
    found, expected = restarted_or_not(house, batches, 126)
    assert found == expected
    assert house.table(candle_revisions, "revision") == []


def test_a_restart_remembers_where_ids_began(house):
    batches = [FIRST, *quiet(1, 61), drain(61_000, 62_000, trade(100, 61_500)), *quiet(62, 125)]
    batches += [
        drain(125_000, 125_250, trade(99, 61_400)),
        drain(125_250, 125_500, trade(98, 61_300)),
    ]
    found, expected = restarted_or_not(house, batches, 124)
    assert found == expected
    assert [row[3] for row in house.rows()] == [3]


def in_fives(house, start, end, trades):
    """Drains of five seconds each."""
    for second in range(start, end, 5):
        inside = [one for one in trades if 0 <= one.time - START - second * 1000 < 5_000]
        first = {"start": True, "blind": True, "joined": [ALL]} if second == 0 else {}
        house.live(drain(second * 1000, second * 1000 + 5_000, *inside, **first))


def test_other_intervals_make_no_holes(house):
    trades = [trade(number, 1_000 + 7_000 * number) for number in range(1, 220)]
    house.intervals = (MINUTE, 5 * MINUTE)
    house.restart()
    in_fives(house, 0, 420, trades)
    house.intervals = (5 * MINUTE,)
    house.restart()
    in_fives(house, 420, 960, trades)
    house.intervals = (MINUTE, 5 * MINUTE)
    house.restart()
    in_fives(house, 960, 1_500, trades)
    assert house.table(missing_ids, "after_id") == []
    assert house.rows()[-1][4] == ONE


def with_log(house, name):
    """Go on with another DATA_DIR."""
    house.log.close()
    house.log, house.identity, house.folder = None, name, house.folder.with_name(name)
    house.restart()


def test_a_window_is_not_put_together_from_a_log_that_it_was_not_built_from(house):
    house.seconds(0, 70, trade(1, 61_000))
    with_log(house, "two")
    house.live(drain(75_000, 76_000, start=True, blind=True, joined=[ALL]))
    house.seconds(76, 130, trade(3, 80_000))
    ((_, count, share),) = shares(house)
    before = house.everything()
    assert (count, share < 1) == (1, True)
    with_log(house, "log")
    cover = Cover("BTC_USDT", START + 60_000, START + 130_000)
    house.live(drain(130_000, 131_000, trade(1, 61_000), trade(2, 72_000), covers=[cover]))
    house.seconds(131, 135)
    assert house.everything() == before, "trade 3 is in the other log only"
    assert house.state.late_ticks == 2
    house.restart()
    house.live(drain(135_000, 136_000, trade(2, 72_000), covers=[cover])).seconds(136, 140)
    assert house.everything() == before
