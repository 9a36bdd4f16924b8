"""The historian beside a real builder, log and database; the exchange is a table of its candles."""

from decimal import Decimal

import pytest
from sqlalchemy import select

from app.exchanges.base import OwnCandle, OwnCandles, Unavailable, Unknown
from app.market.ticks import IDLE, Batch, History, Minute
from app.pipeline.historian import Historian
from app.pipeline.inbox import Inbox
from app.storage import tasks
from app.storage.database import reading
from app.storage.rows import count_candles
from app.storage.tables import candle_revisions, candles, histories, late_candles
from tests.pipeline.test_trades import FEED, MINUTE, START, House, drain, trade
from tests.support import often

ONE = Decimal(1)
HOUR = 60 * MINUTE


def minute(number, price="5", trades=3):
    """The exchange's candle of a minute, counted from the start."""
    time = START + number * MINUTE
    return OwnCandle(time, price, price, price, price, "2", "10", "1", trades)


class Exchange:
    """candles: by open time; asked: the ranges that were; errors: raised one after the other."""

    name, lengths, most = "poloniex", (MINUTE,), 500

    def __init__(self, *told):
        self.candles_of = {one.open_time: one for one in told}
        self.asked, self.errors = [], []
        self.rejected = {}

    def candles(self, symbol, length, start, end):
        self.asked.append(((start - START) // MINUTE, (end - START) // MINUTE))
        if self.errors:
            raise self.errors.pop(0)
        found = [one for time, one in sorted(self.candles_of.items()) if start <= time < end]
        return OwnCandles(found, self.rejected)


class Home(House):
    """A house with a historian in it, who has a clock of his own."""

    def __init__(self, engine, folder, exchange, warm=0, quiet=False):
        self.clock = 0
        self.exchange, self.warm, self.quiet = exchange, warm, quiet
        super().__init__(engine, folder)

    def restart(self):
        super().restart()
        self.inbox = Inbox()
        self.decided = self.settled = 0
        self.historian = Historian(
            FEED,
            self.engine,
            self.exchange,
            self.inbox,
            self.state,
            self,
            self.intervals,
            self.warm,
            quiet=self.quiet,
            jitter=lambda: 0.0,
        )

    def ask(self, steps=200, seconds=5):
        """Let the historian take so many steps in so many seconds of his clock."""
        for _ in range(steps):
            self.historian.step(self.clock)
            self.clock += seconds * 1000 // steps + 1
            if self.inbox.waiting:
                batch = Batch(self.now, self.now, IDLE)
                self.inbox.write(batch, self.log.append)
            while self.builder.step(self.now):
                pass
            self.decided, self.settled = self.builder.decided, self.builder.settled
        return self

    def origins(self, interval=MINUTE):
        rows = self.table(candles, "open_time", "interval_ms", "origin")
        return {(row[0] - START) // MINUTE: row[2] for row in rows if row[1] == interval}

    def revised(self):
        """Windows before the start that have a second revision."""
        return [row for row in self.table(candle_revisions, "open_time") if row[0] < START]

    def told(self):
        rows = self.table(histories, "start_time", "end_time")
        return [((start - START) // MINUTE, (end - START) // MINUTE) for start, end in rows]


@pytest.fixture
def home(engine, tmp_path):
    """Makes a house, whose stream lost the third minute (120 to 150 s) for ever."""
    made = []

    def make(*told, lost=True, until=420, **options):
        house = Home(engine, tmp_path / "log", Exchange(*told), **options)
        made.append(house)
        house.seconds(0, 120, trade(1, 61_000, 7))
        if lost:
            house.live(
                drain(120_000, 120_000, outcome="exchange_down", error="cut"),
                drain(150_000, 151_000, trade(2, 150_500, 8), blind=True),
            )
        house.seconds(151 if lost else 120, until, trade(3 if lost else 2, 200_000, 9))
        return house

    yield make
    for house in made:
        house.log.close()


def test_a_window_that_missed_something_becomes_that_of_the_exchange(home):
    house = home(minute(1, "70"), minute(2, "80"), minute(3, "90"))
    assert house.rows()[1] == (120, 1, 8, 1, Decimal("0.5"), None)
    house.ask()
    assert house.rows()[1] == (120, 2, 80, 3, ONE, "repair")
    assert house.rows(table=candle_revisions) == [(120, 1, 8, 1, Decimal("0.5"), None)]
    assert house.origins() == {1: "live", 2: "exchange", 3: "live"}, "ours that saw all stay"
    assert house.rows()[0] == (60, 1, 7, 1, ONE, None)
    # From the first window on, which is that in which the subscription began.
    assert house.exchange.asked == [(0, 3)]


def test_longer_candles_follow_and_say_whose_they_are(home):
    house = home(minute(2, "80"))
    house.ask()
    rows = house.table(candles, "open_time", "interval_ms", "high", "revision", "cause", "origin")
    assert (START, 5 * MINUTE, 80, 2, "repair", "exchange") in rows
    house.seconds(430, 603)
    (ten,) = [row for row in house.table(candles, "interval_ms", *SHORT) if row[0] == 10 * MINUTE]
    # The first minute had no trades, which only the exchange could tell.
    assert ten == (10 * MINUTE, 1, 80, 5, ONE, "exchange", None)


SHORT = ("revision", "high", "tick_count", "coverage", "origin", "cause")


def test_a_window_in_which_the_exchange_had_no_trades_counts_as_watched(home):
    house = home()
    house.ask()
    assert house.rows()[1] == (120, 2, 8, 1, ONE, "repair"), "what we saw ourselves stays"
    assert house.told() == [(0, 1), (2, 3)], "of what we saw ourselves nothing is taken over"


def test_nothing_is_asked_for_twice_not_even_after_a_restart(home):
    house = home(minute(2))
    house.ask()
    before, asked = house.everything(), list(house.exchange.asked)
    house.ask().restart()
    house.seconds(425, 430).ask()
    assert (house.everything(), house.exchange.asked) == (before, asked)


def test_a_window_is_left_alone_for_some_minutes(home):
    house = home(minute(2), until=290)
    house.ask(seconds=9)
    assert house.exchange.asked == [(0, 1)]
    house.seconds(290, 304).ask(seconds=9)
    assert house.exchange.asked == [(0, 1), (2, 3)]


def test_an_exchange_that_fails_is_asked_again_and_not_at_once(home):
    house = home(minute(2))
    house.exchange.errors = [Unavailable("http_503"), Unavailable("http_429", retry_after=150.0)]
    house.ask(seconds=50)
    assert len(house.exchange.asked) == 1 and house.state.history_error.startswith("http_503")
    house.ask(seconds=60)
    assert len(house.exchange.asked) == 2 and house.state.history_error.startswith("http_429")
    house.ask(seconds=70)
    assert len(house.exchange.asked) == 2
    house.ask(seconds=150)
    assert house.origins()[2] == "exchange" and house.state.history_error == ""


def test_a_page_that_always_fails_holds_up_nothing_else(home):
    house = home(minute(2), *(minute(number) for number in range(-100, 0)))
    bad = house.exchange.candles

    def candles(symbol, length, start, end):
        if start >= START:
            house.exchange.asked.append("bad")
            raise Unavailable("unexpected_answer")
        return bad(symbol, length, start, end)

    house.exchange.candles = candles
    wanted = START - 100 * MINUTE, START
    task = tasks.ask(house.engine, tasks.BACKFILL, FEED, "BTC_USDT", *wanted, house.now)
    house.ask(seconds=30)
    assert tasks.task(house.engine, task.id).state == tasks.DONE
    assert house.exchange.asked.count("bad") == 1


def test_a_task_that_fails_lets_others_pass(home):
    house = home(*(minute(number) for number in range(-100, 0)), lost=False)
    house.ask()
    house.exchange.errors = [Unavailable("http_500")]
    first = tasks.ask(house.engine, tasks.BACKFILL, FEED, "A_B", START - HOUR, START, house.now)
    second = tasks.ask(house.engine, tasks.BACKFILL, FEED, "C_D", START - HOUR, START, house.now)
    house.ask(seconds=20)
    assert tasks.task(house.engine, second.id).state == tasks.DONE
    assert tasks.task(house.engine, first.id).state == tasks.OPEN
    house.ask(seconds=60)
    assert tasks.task(house.engine, first.id).state == tasks.DONE


def test_what_is_lost_later_of_a_window_that_looked_whole_is_asked_for(home):
    house = home(*(minute(number, "6") for number in range(7)), lost=False)
    tasks.ask(house.engine, tasks.BACKFILL, FEED, "BTC_USDT", START, START + 5 * MINUTE, 0)
    house.ask()
    assert house.origins() == {0: "exchange", 1: "live", 3: "live"}
    # The next id tells that two trades are missing, between 200 s and 421 s.
    house.seconds(421, 423, trade(5, 421_500, 9))
    assert [row[4] for row in house.rows()][2] < 1
    house.seconds(423, 560).ask(seconds=700)
    assert set(house.origins().values()) == {"exchange", "live"}
    assert house.origins()[3] == house.origins()[4] == "exchange"
    assert {row[4] for row in house.rows() if row[0] < 420} == {ONE}


def test_what_had_no_trades_may_make_a_longer_candle_whole(home):
    house = home(*(minute(number, "6") for number in range(-60, -53)), lost=False)
    whole = START - 60 * MINUTE, START - 50 * MINUTE
    for start, end in ((whole[0], whole[0] + 7 * MINUTE), (whole[0] + 7 * MINUTE, whole[1])):
        tasks.ask(house.engine, tasks.BACKFILL, FEED, "BTC_USDT", start, end, house.now)
        house.ask()
    assert (-3600, 1, 6, 21, ONE, None) in house.rows(10 * MINUTE)


def test_a_symbol_that_the_exchange_does_not_know_is_given_up_for_a_while(home):
    house = home(minute(2))
    house.exchange.errors = [Unknown("unknown_symbol")]
    house.ask(seconds=30)
    assert len(house.exchange.asked) == 1
    house.ask(seconds=3600)
    assert house.origins()[2] == "exchange"


def test_what_cannot_be_read_of_an_answer_is_not_taken_for_no_trade(home):
    house = home(minute(2, "80"), minute(3))
    house.exchange.rejected = {"row_malformed": 1}
    house.ask()
    assert house.told() == [(2, 3)]
    assert house.origins()[2] == "exchange"


def test_a_series_begins_with_what_was_before_it(home):
    past = [minute(number, "6") for number in range(-12, 0)]
    house = home(*past, minute(0, "6"), lost=False, warm=10 * MINUTE)
    house.ask()
    assert house.exchange.asked == [(-10, 1)]
    rows = house.rows()
    assert rows[0] == (-600, 1, 6, 3, ONE, None), "nobody had been told that there was none"
    assert (0, 1, 6, 3, ONE, "repair") in rows, "this one was watched in part"
    assert house.rows(10 * MINUTE) == [(-600, 1, 6, 30, ONE, None)]
    assert house.table(late_candles, "open_time") == [(START,)]
    assert house.rows(table=candle_revisions) == []


def test_a_task_fetches_what_it_asks_for_and_ends(home):
    told = [minute(number, "6") for number in range(-1200, 0) if number % 7]
    house = home(*told, lost=False)
    task = tasks.ask(
        house.engine, tasks.BACKFILL, FEED, "BTC_USDT", START - 20 * HOUR, START, house.now
    )
    house.ask()
    ended = tasks.task(house.engine, task.id)
    assert (ended.state, ended.reached) == (tasks.DONE, START)
    count = count_candles(house.engine, FEED, "BTC_USDT", MINUTE, START - 20 * HOUR, START)
    assert count == len(told)
    assert house.told() == [(-1200, 1)], "one stretch"
    tens = [row for row in house.rows(10 * MINUTE) if row[0] < 0]
    assert len(tens) == 120 and {row[1:] for row in tens} == {
        (1, 6, 24, ONE, None),
        (1, 6, 27, ONE, None),
    }, "each is put together once, of what had trades"
    assert house.revised() == []


@pytest.mark.parametrize("kill_after", [4, often(1), often(9)])
def test_a_task_that_is_interrupted_anywhere_ends_the_same(home, kill_after):
    told = [minute(number, "6") for number in range(-1200, 0) if number % 7]
    house = home(*told, lost=False)
    wanted = START - 20 * HOUR, START
    tasks.ask(house.engine, tasks.BACKFILL, FEED, "BTC_USDT", *wanted, house.now)
    for _ in range(10):
        house.ask(steps=kill_after, seconds=1)
        house.restart()
    house.seconds(425, 430).ask()
    assert tasks.open_tasks(house.engine) == []
    assert count_candles(house.engine, FEED, "BTC_USDT", MINUTE, *wanted) == len(told)
    assert house.revised() == []


def test_what_the_exchange_has_forgotten_is_not_taken_for_no_trade(home):
    house = home(*(minute(number) for number in range(-3000, -2990)), lost=False)
    long_ago = START - 60 * HOUR, START - 10 * HOUR
    tasks.ask(house.engine, tasks.BACKFILL, FEED, "BTC_USDT", *long_ago, house.now)
    house.ask()
    first, second = house.told()
    assert first == (-3000, -600) and second == (0, 1)


def test_a_task_for_what_is_not_listed_fails_with_a_reason(home):
    house = home(lost=False)
    house.ask()
    house.exchange.errors = [Unknown("unknown_symbol")]
    task = tasks.ask(house.engine, tasks.BACKFILL, FEED, "FOO_BAR", START - HOUR, START, house.now)
    house.ask()
    ended = tasks.task(house.engine, task.id)
    assert (ended.state, ended.message) == (tasks.FAILED, "poloniex does not list FOO_BAR")


def test_history_overlaps_live_candles_and_changes_only_what_missed_something(home):
    house = home(*(minute(number, "6") for number in range(-30, 7)))
    tasks.ask(
        house.engine, tasks.BACKFILL, FEED, "BTC_USDT", START - 10 * MINUTE, START + 5 * MINUTE, 0
    )
    house.ask()
    assert {at: origin for at, origin in house.origins().items() if at >= 0} == {
        0: "exchange",
        1: "live",
        2: "exchange",
        3: "live",
    }


def test_the_same_task_is_not_put_down_twice(engine):
    asked = [tasks.ask(engine, tasks.BACKFILL, FEED, "A_B", 0, end, 1) for end in (60_000, 90_000)]
    assert asked[0].id == asked[1].id and asked[1].end == 90_000, "it only goes on for longer"
    tasks.finish(engine, asked[0].id, tasks.DONE)
    assert tasks.ask(engine, tasks.BACKFILL, FEED, "A_B", 0, 60_000, 2).id != asked[0].id
    with reading(engine) as connection:
        assert len(connection.execute(select(tasks.table.c.id)).all()) == 2


def test_what_tells_nothing_is_not_asked_again_at_once(home):
    house = home()
    house.exchange.rejected = {"row_malformed": 1}
    house.ask(seconds=300)
    assert len(house.exchange.asked) == 1 and house.told() == []
    house.exchange.rejected = {}
    house.ask(seconds=400)
    assert len(house.exchange.asked) == 2 and house.told() == [(0, 1), (2, 3)]


def test_a_task_that_is_asked_to_go_further_while_it_runs_does(home):
    house = home(*(minute(number) for number in range(-120, 0)), lost=False)
    house.ask()
    wanted = tasks.BACKFILL, FEED, "BTC_USDT", START - 120 * MINUTE
    task = tasks.ask(house.engine, *wanted, START - 60 * MINUTE, house.now)
    while house.exchange.asked[-1][0] != -120:
        house.ask(steps=1)
    assert tasks.ask(house.engine, *wanted, START, house.now).id == task.id
    house.ask(steps=400)
    ended = tasks.task(house.engine, task.id)
    assert (ended.state, ended.reached) == (tasks.DONE, START)
    assert house.told()[0] == (-120, 1)


def test_what_is_heard_of_one_symbol_says_nothing_of_another(home):
    house = home(lost=False)
    house.ask()
    historian, old = house.historian, START - 60 * HOUR
    told = History("A_B", old, old + HOUR, [Minute(old, *[ONE] * 7, 1)])
    assert historian._since_it_was_listed("A_B", [told], old) == [told]
    nothing = History("C_D", old, old + HOUR, [])
    assert historian._since_it_was_listed("C_D", [nothing], old) == []
