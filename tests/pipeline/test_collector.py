"""The collector against a source that answers as told; the log is a list, the clock is ours."""

import itertools

import pytest

from app.exchanges.base import Answer, Quote, Refused, Unavailable, Unreachable
from app.live.hub import FeedState
from app.market.ticks import Tick
from app.pipeline.collector import Collector

START = 1_700_000_000_000


class World:
    """Source, log and clock in one: time passes only where a test lets it."""

    name = "poloniex"
    log_id = "list"

    def __init__(self, offset=0, poll_ms=1_000):
        self.now, self.offset = START, offset
        self.batches, self.answers, self.latency = [], [], 50
        self.measures = 0
        self.clockless = False
        self.date = None
        self.state = FeedState()
        self.collector = Collector(self, self, lambda: self.now, self.state, poll_ms, lambda: 1.0)

    def quotes(self):
        self.now += self.latency
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer, listed=3, rejected={}, clock=self.date and self.date(self.now))

    def server_time(self):
        self.measures += 1
        self.now += 10
        if self.clockless:
            return None
        return (self.now + self.offset, self.now + self.offset)

    def append(self, batch):
        self.batches.append(batch)
        return len(self.batches)

    def run(self, seconds):
        """Step as the runner would: whenever the next step is due."""
        end = self.now + int(seconds * 1000)
        while True:
            due = self.collector.step(self.now)
            if due > end:
                self.now = max(self.now, end)
                return self
            self.now = max(self.now, due)

    def outcomes(self):
        return [batch.outcome for batch in self.batches]


def quote(symbol="BTC_USDT", price="1", time=START):
    return Quote(symbol, price, time)


def test_polls_keep_their_cadence_whatever_an_answer_takes():
    world = World().run(10)
    asked = [batch.asked - world.batches[0].asked for batch in world.batches]
    assert all(abs(moment - 1_000 * number) <= 10 for number, moment in enumerate(asked))
    assert set(world.outcomes()) == {"ok"}


def test_what_was_missed_is_skipped_and_never_made_up_in_a_burst():
    world = World().run(3)
    world.now += 5_300
    polls = len(world.batches)
    world.run(1.5)
    assert len(world.batches) - polls == 2
    assert (world.batches[-1].asked - START) % 1_000 == 0


def test_a_batch_carries_the_exchanges_time_and_the_offset():
    world = World(offset=-3_000).run(0)
    (batch,) = world.batches
    assert batch.offset == -3_000 and world.state.offset == -3_000
    assert (batch.asked, batch.answered) == (START + 10 - 3_000, START + 60 - 3_000)


def test_the_clock_is_measured_once_a_minute():
    assert World().run(185).measures == 4


def test_without_a_clock_of_its_own_the_date_of_an_answer_serves():
    world = World()
    world.clockless = True
    world.date = lambda now: (
        ((now - 60_000) // 1000) * 1000,
        ((now - 60_000) // 1000) * 1000 + 999,
    )
    world.run(0)
    assert -61_100 <= world.batches[0].offset <= -59_900


def test_only_the_first_batch_of_a_life_says_so():
    world = World().run(3)
    assert [batch.start for batch in world.batches] == [True, False, False, False]


def test_changed_rows_become_ticks_and_the_first_of_a_symbol_is_marked():
    world = World()
    world.answers = [[quote(), quote("ETH_USDT")], [quote(price="2")], [quote(price="2")]]
    world.run(2)
    ticks = [[(t.symbol, str(t.price), t.first) for t in batch.ticks] for batch in world.batches]
    assert ticks == [
        [("BTC_USDT", "1", True), ("ETH_USDT", "1", True)],
        [("BTC_USDT", "2", False)],
        [],
    ]


def test_bad_rows_are_counted_by_reason_and_hurt_no_other():
    world = World()
    world.answers = [
        [
            quote(price="NaN"),
            quote("A_B", "0"),
            quote("C_D", time=START + 60_000),
            quote("e_f"),
            quote("G_H", "7"),
        ]
    ]
    world.run(0)
    (batch,) = world.batches
    assert [tick.symbol for tick in batch.ticks] == ["G_H"]
    assert batch.rejected == {
        "price_malformed": 1,
        "price_not_positive": 1,
        "time_in_future": 1,
        "symbol_malformed": 1,
    }
    assert dict(world.state.rejected) == batch.rejected


def test_without_times_a_changed_price_counts_at_the_middle_of_its_poll():
    world = World()
    world.clockless, world.latency = True, 100
    world.answers = [[quote(time=0)], [], [quote(price="2", time=0)], [quote(price="2", time=0)]]
    world.run(4)
    (tick,) = [tick for batch in world.batches for tick in batch.ticks]
    third = world.batches[2]
    assert tick == Tick("BTC_USDT", (third.asked + third.answered) // 2, tick.price)
    assert str(tick.price) == "2"


def test_a_failed_poll_is_a_batch_too():
    world = World()
    world.answers = [Unavailable("timeout"), Unreachable("unreachable"), []]
    world.run(2)
    assert world.outcomes() == ["exchange_down", "outage", "ok"]
    assert [batch.error for batch in world.batches] == ["timeout", "unreachable", ""]
    assert dict(world.state.errors) == {"timeout": 1, "unreachable": 1}


def test_the_third_error_begins_a_back_off_of_five_seconds_at_most():
    world = World()
    world.answers = [Unavailable("timeout")] * 20
    world.run(40)
    failed = [batch for batch in world.batches if batch.outcome == "exchange_down"]
    waits = [b.asked - a.answered for a, b in itertools.pairwise(failed)]
    assert waits[:2] == [940, 950]
    assert waits[2:6] == [2_000, 4_000, 5_000, 5_000]
    assert world.state.state == "backing_off"


def test_the_logs_clock_goes_on_every_second_while_nothing_is_asked():
    world = World()
    world.answers = [Unavailable("timeout")] * 9
    world.run(30)
    clock = [batch.answered for batch in world.batches]
    assert max(b - a for a, b in itertools.pairwise(clock)) <= 1_050
    assert "idle" in world.outcomes()


def test_one_success_ends_the_back_off():
    world = World()
    world.answers = [Unavailable("timeout")] * 5
    world.run(30)
    last = [batch.asked for batch in world.batches if batch.outcome == "ok"][-5:]
    assert [b - a for a, b in itertools.pairwise(last)] == [1_000] * 4
    assert world.state.state == "polling" and world.state.retry_at is None


@pytest.mark.parametrize(
    "error, wait",
    [
        (Unavailable("http_429", retry_after=7), 7_000),
        (Unavailable("http_503", retry_after=900), 900_000),
        (Refused("http_418", retry_after=10), 120_000),
        (Refused("http_418", retry_after=300), 300_000),
        (Refused("http_403"), 120_000),
    ],
)
def test_an_exchange_that_says_how_long_is_left_alone_so_long(error, wait):
    world = World()
    world.answers = [error]
    world.run(0)
    begin = world.now
    world.run(wait / 1000 + 5)
    (first, *_) = [batch for batch in world.batches[1:] if batch.outcome == "ok"]
    assert wait <= first.asked - begin <= wait + 60


def test_errors_are_said_once_and_then_once_a_minute(caplog):
    world = World()
    world.answers = [Unavailable("timeout")] * 60
    world.run(150)
    assert len([r for r in caplog.records if "no answer" in r.message]) == 3


def test_a_rejected_price_is_forgotten_when_the_old_one_returns():
    world = World()
    world.clockless = True
    five, bad = quote(price="5", time=0), quote(price="NaN", time=0)
    world.answers = [[five], [bad], [], [five], [five]]
    world.run(4)
    assert [tick for batch in world.batches for tick in batch.ticks] == []
    assert dict(world.state.rejected) == {"price_malformed": 1}


def test_a_row_ahead_of_its_time_is_a_tick_when_its_time_has_come():
    world = World()
    world.answers = [[quote(time=START + 8_000)]]
    world.run(5)
    ticks = [(batch.asked, tick.time) for batch in world.batches for tick in batch.ticks]
    assert len(ticks) == 1 and ticks[0][1] == START + 8_000
    assert START + 2_900 <= ticks[0][0] <= START + 4_100
    assert dict(world.state.rejected) == {"time_in_future": 1}


def test_a_clock_that_hangs_does_not_keep_polls_apart(monkeypatch):
    world = World().run(58)

    def hangs():
        world.measures += 1
        world.now += 2_000
        raise Unavailable("timeout")

    monkeypatch.setattr(world, "server_time", hangs)
    world.measures = 0
    world.run(60)
    asked = [batch.asked for batch in world.batches if batch.outcome == "ok"]
    assert max(b - a for a, b in itertools.pairwise(asked)) <= 2_500
    assert 5 <= world.measures <= 7


def test_one_wrong_answer_of_the_clock_changes_nothing_and_two_alike_do():
    world = World().run(30)
    world.offset = 3_600_000
    world.run(30.5)
    assert world.state.offset == 0 or abs(world.state.offset) < 1_000
    world.offset = 0
    world.run(60)
    assert abs(world.state.offset) < 1_000
    world.offset = 3_600_000
    world.run(65)
    assert abs(world.state.offset - 3_600_000) < 1_000


def test_until_the_exchanges_clock_was_seen_batches_say_so():
    world = World()
    world.clockless = True
    world.answers = [Unreachable("unreachable")] * 2
    world.run(3)
    assert [(batch.offset, batch.start) for batch in world.batches] == [
        (None, True),
        (None, True),
        (0, True),
        (0, False),
    ]


def test_symbols_that_an_exchange_makes_up_do_not_fill_memory():
    world = World()
    world.answers = [[quote(f"S{n}_{poll}") for n in range(100)] for poll in range(50)]
    world.run(50)
    assert len(world.collector._changes._known) < 1_300
