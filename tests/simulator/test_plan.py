"""Which requests faults strike, by a clock that stands where it is put."""

import msgspec
import pytest

from app.simulator.faults import KINDS, BadFault, Fault, read, split
from app.simulator.plan import MOST_FAULTS, Plan, TooMany

PRICES, LEGACY = "/markets/price", "/public?command=returnTicker"
SYMBOLS = ("BTC_USDT", "ETH_USDT")


class Clock:
    time = 1_760_000_000_000

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def plan(clock):
    return Plan(SYMBOLS, clock, seed=3)


def kind(plan, target=PRICES):
    struck = plan.strike(target)[0]
    return struck and struck.fault.kind


def test_without_faults_nothing_happens(plan):
    planned, twist = plan.strike(PRICES)
    assert planned is None
    assert (twist.vanished, dict(twist.prices), dict(twist.frozen)) == (set(), {}, {})


def test_a_fault_begins_and_ends_by_the_exchanges_clock(clock, plan):
    plan.add("500", after=10, lasting=5)
    fates = []
    for second in (0, 9.999, 10, 14.999, 15, 100):
        clock.time = Clock.time + round(second * 1_000)
        fates.append(kind(plan))
    assert fates == [None, None, "500", "500", None, None]
    assert plan.rows() == []


def test_a_counted_fault_is_gone_after_as_many_requests(plan):
    plan.add("500", count=2)
    assert [kind(plan) for _ in range(4)] == ["500", "500", None, None]
    assert plan.rows() == []


def test_only_paths_that_begin_so_are_struck(plan):
    plan.add("500", path="/markets/price")
    plan.add("429", path="/public?command=returnTicker")
    assert (kind(plan), kind(plan, LEGACY)) == ("500", "429")
    assert kind(plan, "/timestamp") is kind(plan, "/markets") is kind(plan, "/public") is None


def test_the_first_planned_fault_of_a_whole_answer_acts_and_the_other_waits(plan):
    plan.add("500", count=1)
    plan.add("429", count=1)
    assert [row["hits"] for row in plan.rows()] == [0, 0]
    assert [kind(plan) for _ in range(3)] == ["500", "429", None]


def test_faults_of_single_markets_come_together_and_beside_others(plan, clock):
    plan.add("zero", symbol="BTC_USDT")
    plan.add("frozen", symbol="BTC_USDT")
    plan.add("vanished", symbol="ETH_USDT")
    plan.add("delay")
    planned, twist = plan.strike(PRICES)
    assert planned.fault.kind == "delay"
    assert twist.prices == {"BTC_USDT": "0"}
    assert twist.frozen == {"BTC_USDT": clock.time}
    assert twist.vanished == {"ETH_USDT"}


def test_a_fault_of_a_market_waits_while_nothing_of_the_answer_shows(plan):
    plan.add("zero", symbol="BTC_USDT", count=1)
    plan.add("500", count=1)
    assert not plan.strike(PRICES)[1].prices
    assert plan.strike(PRICES)[1].prices == {"BTC_USDT": "0"}
    assert not plan.strike(PRICES)[1].prices


def test_nan_is_bare_or_text(plan):
    plan.add("nan", symbol="BTC_USDT")
    plan.add("nan", symbol="ETH_USDT", form="text")
    twist = plan.strike(PRICES)[1]
    written = [msgspec.json.encode(twist.prices[symbol]) for symbol in SYMBOLS]
    assert written == [b"NaN", b'"NaN"']


@pytest.mark.parametrize(
    ("target", "hits"),
    [
        (PRICES, 1),
        (LEGACY, 1),
        ("/markets/ticker24h", 1),
        ("/markets/BTC_USDT/price", 1),
        ("/markets/ETH_USDT/price", 0),
        ("/markets/BTC_USDT_X/price", 0),
        ("/markets", 0),
        ("/timestamp", 0),
    ],
)
def test_a_price_is_struck_only_where_it_shows(plan, target, hits):
    plan.add("zero", symbol="BTC_USDT")
    plan.strike(target)
    assert plan.rows()[0]["hits"] == hits


def test_a_share_strikes_about_so_many_and_always_the_same(clock):
    fates = []
    for _ in range(2):
        plan = Plan(SYMBOLS, clock, seed=3)
        plan.add("500", share=0.3)
        fates.append([kind(plan) for _ in range(300)])
    assert fates[0] == fates[1]
    assert 60 < fates[0].count("500") < 120
    other = Plan(SYMBOLS, clock, seed=4)
    other.add("500", share=0.3)
    assert [kind(other) for _ in range(300)] != fates[0]


def test_a_share_of_nothing_never_strikes(plan):
    plan.add("500", share=0)
    assert {kind(plan) for _ in range(50)} == {None}


def test_what_is_planned_is_listed_as_it_was_written(plan, clock):
    plan.add("hang", after=10, lasting=30, path="/markets")
    plan.add("zero", symbol="BTC_USDT", count=3)
    plan.strike(PRICES)
    assert plan.rows() == [
        {"id": 1, "kind": "hang", "path": "/markets", "after": 10.0, "for": 30.0}
        | {"state": "planned", "hits": 0},
        {"id": 2, "kind": "zero", "symbol": "BTC_USDT", "count": 3, "state": "active", "hits": 1},
    ]
    clock.time += 10_000
    assert plan.rows()[0]["state"] == "active"


def test_a_fault_that_is_called_off_lets_go(plan):
    first, second = plan.add("hang", path=PRICES), plan.add("hang")
    held, other = plan.strike(PRICES)[0], plan.strike(LEGACY)[0]
    assert plan.holds(held) and plan.holds(other)
    plan.clear(first["id"])
    assert plan.holds(other) and not plan.holds(held)
    plan.clear(second["id"])
    assert not plan.holds(other)


def test_one_that_struck_its_last_request_holds_it_until_all_are_called_off(plan):
    plan.add("hang", count=1)
    spent = plan.strike(PRICES)[0]
    assert plan.rows() == [] and plan.holds(spent)
    plan.clear()
    assert not plan.holds(spent)


def test_one_fault_is_called_off_by_its_number(plan):
    first, second = plan.add("500"), plan.add("429")
    assert plan.clear(second["id"]) == 1
    assert plan.clear(second["id"]) == plan.clear(99) == 0
    assert [row["id"] for row in plan.rows()] == [first["id"]]


def test_a_number_is_never_given_twice(plan):
    assert plan.add("500")["id"] == 1
    plan.clear()
    assert plan.add("500")["id"] == 2


def test_there_are_at_most_100_faults_and_those_that_are_over_do_not_count(plan, clock):
    plan.add("500", lasting=1)
    for _ in range(MOST_FAULTS - 1):
        plan.add("429")
    with pytest.raises(TooMany, match="100"):
        plan.add("500")
    clock.time += 1_000
    plan.add("500")
    assert len(plan.rows()) == MOST_FAULTS


def test_a_written_fault_is_what_its_keys_say():
    text = "hang, seconds=2.5,path=/markets,after=10,for=30,count=2,share=0.5"
    assert read(split(text), SYMBOLS) == Fault(
        "hang", 2.5, path="/markets", after=10, lasting=30, count=2, share=0.5
    )
    assert read(split("zero,symbol=BTC_USDT"), SYMBOLS) == Fault("zero", symbol="BTC_USDT")


def test_a_kind_has_its_usual_seconds_and_form():
    assert read(split("429"), SYMBOLS).seconds == 10
    assert read(split("418"), SYMBOLS).seconds is None
    assert read(split("drip"), SYMBOLS).form == "body"
    assert read(split("drip,form=headers,seconds=0"), SYMBOLS).seconds == 0


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "kind: ''"),
        ("slow", "kind: 'slow'"),
        ("hang,for", "'for' is not key=value"),
        ("hang,for=3,for=4", "'for=4'"),
        ("hang,kind=500", "'kind=500'"),
        ("hang,colour=red", "`colour`"),
        ("hang,lasting=3", "`lasting`"),
        ("hang,after=-1", "after: "),
        ("hang,after=nan", "after: "),
        ("hang,after=soon", "after: "),
        ("hang,for=0", "for: "),
        ("hang,for=inf", "for: "),
        ("hang,count=0", "count: "),
        ("hang,count=1.5", "count: "),
        ("hang,share=1.1", "share: "),
        ("hang,path=markets", "path: "),
        ("hang,symbol=BTC_USDT", "symbol: "),
        ("500,seconds=1", "seconds: "),
        ("drip,form=tail", "form: drip takes body or headers"),
        ("500,form=x", "form: 500 takes none"),
        ("zero", "symbol: "),
        ("zero,symbol=NO_SUCH", "symbol: "),
    ],
)
def test_a_fault_that_is_none_is_told_by_its_key(text, key):
    with pytest.raises(BadFault) as found:
        read(split(text), SYMBOLS)
    assert key in str(found.value)
    if not text.startswith(("500", "zero", "drip")) and "symbol" not in text:
        assert all(f"{name}," in str(found.value) for name in list(KINDS)[:-1])
        assert str(found.value).endswith("after, for, count, share")
