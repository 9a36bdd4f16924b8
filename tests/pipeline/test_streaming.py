"""The collector of a stream against an exchange that does as told; the log is a list, the clock is
ours, and the builder's fold says what it makes of the log."""

import itertools
from collections import Counter

import pytest

from app.exchanges.base import Heard, Market, Refused, Trade, Unavailable, Unreachable
from app.live.hub import FeedState
from app.market.coverage import ALL
from app.pipeline.link import Wanted
from app.pipeline.streaming import StreamCollector

START = 1_700_000_000_000
BOTH = frozenset(("BTC_USDT", "ETH_USDT"))


def trade(number, time, symbol="BTC_USDT", price="5", size="1"):
    return Trade(symbol, str(number), price, size, START + time, "sell")


class World:
    """Exchange, log and clock in one: time passes only where a test lets it.

    sent: what the socket brings, as (time after the start, Heard or an error). past: what the
    exchange tells of a symbol when it is asked. mute: no pongs.
    """

    name = "poloniex"
    log_id = "list"

    def __init__(self, wanted=BOTH, offset=0, lost=None, joins=True):
        self.now, self.offset, self.joins, self.mute = START, offset, joins, False
        self.batches, self.sent, self.past, self.calls = [], [], {}, []
        self.open, self.most_open, self.pings = 0, 0, 0
        self.errors = {}
        self.wanted = Wanted(frozenset(wanted))
        self.state = FeedState()
        self.collector = StreamCollector(
            self, self, lambda: self.now, self.state, lambda: self.wanted, lost, lambda: 1.0
        )

    def fail(self, call):
        error = self.errors.get(call)
        if error is not None:
            raise error

    def connect(self):
        self.calls.append(("connect", self.now - START))
        self.now += 20
        self.fail("connect")
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def hang_up(self):
        self.open = max(0, self.open - 1)

    def follow(self, symbols):
        self.calls.append(("follow", *sorted(symbols)))
        if self.joins:
            self.sent.insert(0, (self.now - START + 10, Heard(messages=1, joined=list(symbols))))

    def unfollow(self, symbols):
        self.calls.append(("unfollow", *sorted(symbols)))

    def ping(self):
        self.pings += 1
        if not self.mute:
            self.sent.insert(0, (self.now - START + 30, Heard(messages=1, pongs=1)))

    def receive(self, seconds):
        end = self.now + int(seconds * 1000)
        found = Heard()
        self.sent.sort(key=lambda one: one[0])
        while self.sent and START + self.sent[0][0] <= end:
            moment, heard = self.sent[0]
            self.now = max(self.now, START + moment)
            if isinstance(heard, Exception):
                if found.messages:
                    return found
                self.sent.pop(0)
                raise heard
            self.sent.pop(0)
            found.trades += heard.trades
            found.messages += heard.messages
            found.pongs += heard.pongs
            found.joined += heard.joined
            found.refused += heard.refused
        self.now = max(self.now, end)
        return found

    def recent(self, symbol):
        self.calls.append(("recent", symbol))
        self.now += 40
        self.fail("recent")
        if symbol not in self.past:
            raise Unavailable("unexpected_answer")
        return self.past[symbol]

    def markets(self):
        self.fail("markets")
        return [Market("BTC_USDT"), Market("LTC_USDT")]

    def server_time(self):
        self.fail("server_time")
        return self.now + self.offset, self.now + self.offset

    def append(self, batch):
        self.batches.append(batch)
        return len(self.batches)

    def tell(self, time, *trades):
        self.sent.append((time, Heard(list(trades), messages=len(trades))))

    def run(self, seconds):
        end = self.now + int(seconds * 1000)
        while self.now < end:
            due = self.collector.step(self.now)
            self.now = max(self.now, min(due, end))
        return self

    def good(self):
        return [batch for batch in self.batches if batch.outcome == "ok"]

    def ids(self):
        return [tick.id for batch in self.batches for tick in batch.ticks]

    def asked_for(self):
        return [call[1] for call in self.calls if call[0] == "recent"]


def test_a_batch_is_what_came_within_a_quarter_of_a_second():
    world = World()
    for number in range(1, 9):
        world.tell(1_000 + 100 * number, trade(number, 1_000 + 100 * number))
    world.run(3)
    assert world.ids() == list(range(1, 9))
    with_ticks = [batch for batch in world.good() if batch.ticks]
    assert 3 <= len(with_ticks) <= 5
    assert all(batch.answered - batch.asked <= 300 for batch in with_ticks[1:])


def test_good_batches_of_one_connection_leave_no_time_between_them():
    world = World().run(30)
    good = world.good()
    assert [batch.blind for batch in good] == [True] + [False] * (len(good) - 1)
    assert all(left.answered == right.asked for left, right in itertools.pairwise(good))
    assert good[0].start or world.batches[0].start
    assert set(good[0].joined) == BOTH


def test_the_log_is_in_the_exchanges_time():
    world = World(offset=-7_000)
    world.tell(2_000, trade(1, -5_000))
    world.run(4)
    assert {batch.offset for batch in world.batches} == {-7_000}
    assert START - 7_000 < world.good()[0].asked < START - 6_500
    assert world.state.last_good_poll < START - 2_000


def test_a_quiet_connection_is_asked_for_a_sign_of_life_every_second():
    world = World().run(20)
    assert 14 <= world.pings <= 20
    assert [call for call in world.calls if call[0] == "connect"] == [("connect", 0)]


def test_a_talkative_exchange_is_still_pinged():
    world = World()
    for number in range(1, 400):
        world.tell(100 * number, trade(number, 100 * number))
    world.run(40)
    assert 2 <= world.pings <= 4


def test_a_silent_connection_is_given_up_and_another_one_opened():
    world = World().run(5)
    world.mute = True
    world.run(3.5)
    assert world.state.errors == Counter(silent=1)
    world.mute = False
    world.run(3)
    assert world.state.state == "streaming"
    assert world.most_open == 1


def test_the_wait_between_connections_doubles_to_five_seconds_and_ends_with_a_good_one():
    world = World()
    world.errors["connect"] = Unavailable("connection_refused")
    world.run(40)
    moments = [call[1] for call in world.calls if call[0] == "connect"]
    gaps = [right - left for left, right in itertools.pairwise(moments)]
    assert gaps[:4] == sorted(gaps[:4]) and 500 <= gaps[0] <= 600
    assert all(4_900 <= gap <= 5_200 for gap in gaps[5:])
    del world.errors["connect"]
    world.run(30)
    world.sent.append((world.now - START + 10, Unavailable("closed")))
    before = len(world.calls)
    world.run(2)
    assert world.calls[before][0] == "connect"


def test_a_connection_that_breaks_at_once_again_and_again_is_not_hammered():
    world = World()

    def breaks():
        world.calls.append(("connect", world.now - START))
        world.sent = [(world.now - START + 50, Unavailable("closed"))]

    world.connect = breaks
    world.joins = False
    world.run(60)
    assert len([call for call in world.calls if call[0] == "connect"]) < 20


@pytest.mark.parametrize(
    "error, outcome", [(Unavailable("reset"), "exchange_down"), (Unreachable("no"), "outage")]
)
def test_a_lost_connection_is_written_down_with_whose_fault_it_was(error, outcome):
    world = World()
    world.tell(3_000, trade(1, 2_990))
    world.sent.append((3_010, error))
    world.run(6)
    (failure,) = [batch for batch in world.batches if batch.outcome not in ("ok", "idle")]
    assert (failure.outcome, failure.error) == (outcome, error.reason)
    assert [batch.blind for batch in world.good()].count(True) == 2
    assert world.ids() == [1], "what came in the last moment is not lost"


def test_an_exchange_that_refuses_us_is_left_alone():
    world = World()
    world.errors["connect"] = Refused("http_403")
    world.run(100)
    assert len([call for call in world.calls if call[0] == "connect"]) == 1


def test_what_was_missed_is_fetched_before_the_new_connection_counts():
    world = World()
    world.tell(2_000, trade(10, 1_990), trade(20, 1_990, "ETH_USDT"))
    world.sent.append((5_000, Unavailable("closed")))
    world.past = {
        "BTC_USDT": [trade(9, -60_000), trade(10, 1_990), trade(11, 5_300)],
        "ETH_USDT": [trade(20, 1_990, "ETH_USDT")],
    }
    world.run(12)
    assert sorted(world.asked_for()) == ["BTC_USDT", "ETH_USDT"]
    (_, again) = [batch for batch in world.good() if batch.blind]
    assert [(tick.symbol, tick.id) for tick in again.ticks] == [("BTC_USDT", 11)]
    covers = {cover.symbol: (cover.start - START, cover.end - START) for cover in again.covers}
    assert set(covers) == BOTH
    lost = [batch for batch in world.good() if batch.answered <= again.asked][-1].answered
    for start, end in covers.values():
        assert start <= lost - START and end >= again.asked - START


def test_of_an_outage_longer_than_what_the_exchange_tells_only_the_end_is_covered():
    world = World(["BTC_USDT"])
    world.sent.append((20_000, Unavailable("closed")))
    world.errors["connect"] = None
    world.past = {"BTC_USDT": [trade(500, 20_400), trade(501, 20_500)]}
    world.run(25)
    (cover,) = [cover for batch in world.batches for cover in batch.covers]
    assert cover.start == START + 20_401


def test_a_restart_fetches_what_happened_since_the_end_of_the_log():
    world = World(["BTC_USDT"], lost=START - 8_000)
    world.past = {"BTC_USDT": [trade(1, -60_000), trade(2, -7_000), trade(3, -100)]}
    world.run(3)
    assert world.ids() == [2, 3]
    (cover,) = [cover for batch in world.batches for cover in batch.covers]
    assert cover.start == START - 18_000


def test_what_cannot_be_fetched_is_tried_again_and_then_left():
    world = World(["BTC_USDT"], lost=START - 8_000)
    world.run(40)
    assert len(world.asked_for()) == 5
    assert world.good()[0].answered < START + 3_000, "it does not keep the stream from counting"
    assert world.state.errors["unexpected_answer"] == 5


def test_what_is_still_to_be_fetched_is_written_down_so_that_a_crash_does_not_forget_it():
    world = World(lost=START - 8_000)
    world.past = {"BTC_USDT": [trade(4, -7_000)]}
    world.run(4)
    assert world.good()[-1].owed == START - 8_000, "ETH_USDT could not be asked for yet"
    world.past["ETH_USDT"] = []
    world.run(3)
    assert world.good()[-1].owed == 0
    world.tell(world.now - START + 100, trade(5, 7_050), trade(7, 7_080))
    world.run(0.3)
    assert world.good()[-1].owed == START + 7_050, "6 may be as old as 5"
    world.past["BTC_USDT"] = [trade(6, 7_060)]
    world.run(2)
    assert world.ids() == [4, 5, 7, 6] and world.good()[-1].owed == 0


def test_which_markets_were_lost_is_asked_again_where_the_exchange_does_not_tell():
    world = World([ALL], lost=START - 5_000)
    world.past = {name: [trade(1, -100, name)] for name in ("BTC_USDT", "LTC_USDT")}
    world.errors["markets"] = Unavailable("timeout")
    world.run(3)
    assert world.asked_for() == [] and world.good()[-1].owed == START - 5_000
    del world.errors["markets"]
    world.run(3)
    assert sorted(world.asked_for()) == ["BTC_USDT", "LTC_USDT"]
    assert world.good()[-1].owed == 0


def test_a_missing_id_is_asked_for_unless_it_comes_by_itself():
    world = World(["BTC_USDT"])
    world.past = {"BTC_USDT": [trade(1, 2_000), trade(2, 2_010), trade(3, 2_020)]}
    world.tell(2_100, trade(1, 2_000), trade(3, 2_020))
    world.run(4)
    assert sorted(world.ids()) == [1, 2, 3]
    assert world.asked_for() == ["BTC_USDT"]
    assert [cover for batch in world.batches for cover in batch.covers] == []


def test_symbols_that_come_and_go_are_followed_on_the_same_connection():
    world = World(["BTC_USDT"]).run(3)
    world.wanted = Wanted(frozenset(("ETH_USDT",)), frozenset(("ETH_USDT",)))
    world.run(3)
    assert ("unfollow", "BTC_USDT") in world.calls and ("follow", "ETH_USDT") in world.calls
    assert len([call for call in world.calls if call[0] == "connect"]) == 1
    assert any("ETH_USDT" in batch.joined for batch in world.good())


def test_who_waits_to_hear_that_he_is_followed_is_told_though_he_always_was():
    world = World(["BTC_USDT"]).run(5)
    before = len(world.batches)
    world.wanted = Wanted(frozenset(("BTC_USDT",)), frozenset(("BTC_USDT",)))
    world.run(3)
    assert any("BTC_USDT" in batch.joined for batch in world.batches[before:])


def test_a_symbol_that_is_not_confirmed_is_away_and_does_not_hold_up_the_others():
    world = World(["BTC_USDT", "GONE_USDT"], joins=False)
    world.sent.append((100, Heard(messages=1, joined=["BTC_USDT"])))
    world.run(6)
    good = world.good()
    assert good and all(batch.away == ["GONE_USDT"] for batch in good)


def test_a_refused_subscription_is_tried_symbol_by_symbol():
    world = World(["BTC_USDT", "GONE_USDT"], joins=False)
    world.sent.append((50, Heard(messages=1, refused=["Invalid symbol"])))
    world.run(1)
    assert ("follow", "BTC_USDT") in world.calls and ("follow", "GONE_USDT") in world.calls


def test_everything_is_one_subscription_and_after_a_loss_all_listed_markets_are_asked_for():
    world = World([ALL, "BTC_USDT"], lost=START - 5_000)
    world.past = {name: [trade(1, -100, name)] for name in ("BTC_USDT", "LTC_USDT")}
    world.run(5)
    assert sorted(world.asked_for()) == ["BTC_USDT", "LTC_USDT"]
    assert all(batch.away == [] for batch in world.good())


def test_nothing_is_followed_where_nothing_is_wanted():
    world = World([])
    world.run(5)
    assert world.calls == [] and len(world.batches) >= 4
    world.wanted = Wanted(frozenset(("BTC_USDT",)))
    world.run(3)
    world.wanted = Wanted()
    world.run(3)
    assert world.open == 0 and world.state.state == "idle"


def test_after_a_pause_of_ours_nothing_counts_before_a_pong():
    world = World(["BTC_USDT"]).run(5)
    world.mute = True
    world.now += 30_000
    world.tell(20_000, trade(1, 20_000))
    before = len(world.batches)
    world.run(1)
    assert [batch.outcome for batch in world.batches[before:] if batch.outcome == "ok"] == []
    world.sent.append((world.now - START + 10, Heard(messages=1, pongs=1)))
    world.run(0.5)
    assert world.good()[-1].ticks and not world.good()[-1].blind


def test_trades_that_cannot_be_ticks_are_counted_and_are_not_missing():
    world = World(["BTC_USDT"])
    world.tell(2_000, trade(1, 1_990), trade(2, 1_991, price="0"), trade(3, 1_992))
    world.tell(2_100, trade(4, 90_000), trade(5, 1_993, size="-1"), trade(6, 1_994))
    world.run(4)
    assert world.ids() == [1, 3, 6]
    reasons = Counter(price_not_positive=1, time_in_future=1, size_negative=1)
    assert world.state.rejected == reasons
    spoiled = [one.id for batch in world.batches for one in batch.spoiled]
    assert spoiled == [2, 5]


def test_without_the_exchanges_time_nothing_is_followed():
    world = World()
    world.errors["server_time"] = Unavailable("timeout")
    world.run(10)
    assert world.good() == [] and world.open == 0
    assert all(batch.offset is None for batch in world.batches)


def test_a_full_disk_loses_nothing_that_came():
    world = World(["BTC_USDT"]).run(2)
    append, failures = world.append, [OSError(28, "full")] * 2

    def full(batch):
        if batch.ticks and failures:
            raise failures.pop()
        return append(batch)

    world.append = full
    world.tell(world.now - START + 100, trade(1, 2_000))
    for _ in range(40):
        try:
            world.run(0.2)
        except OSError:
            continue
    assert failures == [] and world.ids() == [1]


def test_a_market_that_never_traded_is_covered_and_one_that_did_is_not_by_an_empty_answer():
    world = World(lost=START - 5_000)
    world.past = {"BTC_USDT": [], "ETH_USDT": [trade(1, -100, "ETH_USDT")]}
    world.run(5)
    covers = [cover.symbol for batch in world.batches for cover in batch.covers]
    assert sorted(covers) == ["BTC_USDT", "ETH_USDT"] and world.state.errors == Counter()
    world.past = {"BTC_USDT": [], "ETH_USDT": []}
    world.sent.append((world.now - START + 10, Unavailable("closed")))
    world.run(5)
    covers = [cover.symbol for batch in world.batches for cover in batch.covers]
    assert sorted(covers) == ["BTC_USDT", "BTC_USDT", "ETH_USDT"]


def test_trades_that_nobody_asked_for_are_counted_and_not_kept():
    world = World(["BTC_USDT"])
    world.tell(2_000, trade(1, 1_990), trade(1, 1_990, "SPAM_USDT"))
    world.run(4)
    assert [tick.symbol for batch in world.batches for tick in batch.ticks] == ["BTC_USDT"]
    assert world.state.rejected == Counter(not_asked_for=1)
