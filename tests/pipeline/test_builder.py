"""The builder over a real log and a real database; only the clock is ours."""

from decimal import Decimal

import pytest

from app.market.coverage import FOREVER
from app.storage import feeds
from app.storage.database import Unavailable
from app.storage.feeds import FeedStore, NotOwner
from app.storage.tables import candles, feed_positions
from app.ticklog.files import SegmentLog
from tests.pipeline.house import FEED, MINUTE, START, prices, second
from tests.support import often


def test_candles_are_readable_right_after_the_poll_that_closes_their_window(house):
    house.live(*prices(0, 60))
    assert house.rows() == []
    house.live(second(60))
    ((interval, open_time, *_, count, coverage, reasons),) = house.rows()
    assert (interval, open_time, count) == (MINUTE, START, 59)
    # The tick of second 0 happened before its window; the subscription began with the first batch.
    assert (coverage, reasons) == (Decimal(1), "")
    assert house.state.closed_through == START + MINUTE


def test_a_subscription_counts_from_the_batch_that_finds_it(house):
    house.live(*prices(0, 1))
    (row,) = house.store.subscriptions()
    assert (row.since, row.until, row.pending) == (START, FOREVER, False)


@pytest.mark.parametrize(
    # Wherever the simulation stops, too.
    "stops",
    [
        *([299, 300], [10, 150, 301, 330, 599]),
        *(often([one]) for one in (30, 59, 60, 61, 361)),
    ],
)
def test_a_restart_at_any_point_gives_the_same_candles(house, engine, tmp_path, stops):
    batches = prices(0, 605)
    for start, end in zip([0, *stops], [*stops, 605], strict=True):
        house.live(*batches[start:end])
        house.restart()
    house.live(second(605))
    assert house.spans() == []
    interrupted = house.rows()
    with feeds.writing(engine) as connection:
        for table in (candles, feed_positions):
            connection.execute(table.delete())
    house.log.close()
    house.log = SegmentLog(tmp_path / "other", "identity")
    for batch in batches:
        house.log.append(batch)
    house.builder = house.new_builder()
    house.builder.load(begin=0)
    while house.builder.step(house.now):
        pass
    assert len(interrupted) == 13 and interrupted == house.rows()
    assert house.state.conflicts == 0


def test_a_restart_in_the_very_first_window_invents_no_outage(house):
    house.live(*prices(1, 30))
    house.restart()
    house.live(*prices(30, 62))
    assert house.spans() == []
    assert house.rows()[0][7:] == (Decimal("0.9833"), "started")


@pytest.mark.parametrize(
    "before, after, stop",
    [
        ((5_000, MINUTE), (MINUTE,), 46),
        often((1_000, 5_000), (MINUTE, 5 * MINUTE), 46),
        ((1_000, 5_000), (MINUTE, 5 * MINUTE), 180),
        ((MINUTE, 10 * MINUTE), (1_000, 5_000, 10 * MINUTE), 180),
        often((MINUTE, 5 * MINUTE), (5_000, MINUTE, 5 * MINUTE), 70),
    ],
)
def test_other_intervals_never_make_a_full_candle_of_half_a_window(house, before, after, stop):
    house.restart(before)
    house.live(*prices(0, stop))
    house.restart(after)
    house.live(*prices(stop, 310))
    house.restart()
    house.live(*prices(310, 605))
    rows = [row for row in house.rows() if row[0] >= 5_000]
    assert len(rows) > 5
    for interval, open_time, *_, count, coverage, reasons in rows:
        assert count == interval // 1_000 or (coverage < 1 and "restart" in reasons), (
            interval,
            open_time,
        )
    assert house.state.conflicts == 0


def test_a_database_that_is_away_loses_nothing_and_holds_nothing_up(house, monkeypatch):
    house.live(*prices(0, 60))
    with monkeypatch.context() as patch:

        def away(*_, **__):
            raise Unavailable("gone")

        patch.setattr(house.store, "commit", away)
        patch.setattr(house.store, "subscriptions", away)
        for batch in prices(60, 400):
            house.log.append(batch)
            house.now = batch.answered
            with pytest.raises(Unavailable):
                house.builder.step(house.now)
        assert house.state.database_error == "gone"
    while house.builder.step(house.now):
        pass
    assert len(house.rows()) == 7
    assert house.spans() == []
    assert house.state.database_error == ""


def test_a_commit_whose_outcome_is_unknown_is_neither_lost_nor_doubled(house, monkeypatch):
    house.live(*prices(0, 60))
    real = house.store.commit

    def broken(*args):
        real(*args)
        raise Unavailable("connection lost after the commit")

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "commit", broken)
        with pytest.raises(Unavailable):
            house.live(second(60))
    house.live(*prices(61, 125))
    assert len(house.rows()) == 2
    assert house.position().sequence == 2
    assert house.state.conflicts == 0


def test_an_owner_that_was_replaced_is_told_so(house):
    house.live(*prices(0, 60))
    FeedStore(house.engine, *FEED).take_over("identity", 0)
    with pytest.raises(NotOwner):
        house.live(second(60))
    assert house.rows() == []


def test_a_log_that_was_lost_leaves_a_span_and_no_invented_candle(house, tmp_path):
    house.live(*prices(0, 130))
    house.log.close()
    house.log = SegmentLog(tmp_path / "new", "another")
    house.builder = house.new_builder()
    house.builder.load()
    house.live(second(400, "5", start=True), *prices(401, 500))
    assert house.spans() == [(120, 400, "restart")]
    assert [(row[1] - START) // 1000 for row in house.rows() if row[0] == MINUTE] == [
        0,
        60,
        360,
        420,
    ]
    assert {row[7] for row in house.rows() if row[1] == START + 360_000} == {Decimal("0.3333")}


def test_a_restart_after_an_outage_repeats_no_span(house):
    house.live(*prices(0, 20))
    house.live(*(second(number, outcome="exchange_down") for number in range(20, 100)))
    house.restart()
    house.live(second(100, "3", start=True), *prices(101, 130))
    house.restart()
    house.live(*prices(130, 200))
    assert house.spans() == [(19, 99, "exchange_down"), (99, 100, "restart")]


def test_unreadable_bytes_in_the_log_become_a_span(house):
    house.live(*prices(0, 30))
    (segment,) = house.folder.glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[-10] ^= 1
    house.restart()
    segment.write_bytes(damaged)
    house.live(*prices(30, 61))
    assert house.state.unreadable >= 1
    assert house.spans() == [(28, 30, "outage")]
    assert house.rows()[0][7] == Decimal("0.9666")


def test_confirmed_log_positions_move_on_with_the_commits(house):
    house.live(*prices(0, 200))
    positions = {entry.position: entry.batch for entry in house.log.read(0)}
    resume = positions[house.position().resume]
    assert resume.asked == START + 179_000
    assert house.builder.resume == house.position().resume
