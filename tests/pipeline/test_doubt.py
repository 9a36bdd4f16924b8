"""A stream of which we are not sure yet: what its collector writes leaves nothing unobserved that
was observed, and doubt comes to an end. So does asking for what is refused."""

from app.exchanges.base import Heard
from app.market.coverage import uncovered
from app.market.observation import Pace, StreamObservation
from tests.pipeline.test_streaming import START, World, trade


def unseen(world, closed_through):
    """What the log leaves unobserved of BTC_USDT, for a builder that goes on from there (ms)."""
    observation = StreamObservation(Pace(200, 2_000), 1_000)
    observation.resume(closed_through, closed_through)
    for batch in world.batches:
        observation.note(batch)
    covers = [cover for batch in world.batches for cover in batch.covers]
    periods = [(one.start, one.end) for one in covers if one.symbol == "BTC_USDT"]
    return list(uncovered(observation.take_spans(), periods))


def test_a_restart_leaves_nothing_unobserved_between_what_is_fetched_and_what_is_told():
    world = World(lost=START - 3_000)
    world.past = {name: [trade(1, -60_000, name)] for name in ("BTC_USDT", "ETH_USDT")}
    world.run(5)
    assert world.good()
    assert unseen(world, START - 3_000) == []


def test_a_pause_of_ours_leaves_nothing_unobserved_however_long_a_pong_takes():
    world = World(["BTC_USDT"]).run(5)
    known = world.good()[-1].answered
    world.mute = True
    before, resumed = len(world.batches), world.now + 6_000
    world.now = resumed
    world.run(0.3)
    world.sent.append((world.now - START, Heard(messages=1, pongs=1)))
    world.run(1)
    assert world.good()[-1].answered >= resumed
    world.batches[:before] = world.good()[:1]
    assert unseen(world, known) == []


def test_who_talks_but_never_answers_is_left_after_a_pause():
    world = World(["BTC_USDT"]).run(5)
    world.mute, world.past = True, {"BTC_USDT": [trade(0, 5_000)]}
    world.now += 6_000
    for number in range(100):
        moment = world.now - START + 100 * number
        world.tell(moment, trade(number, moment))
    world.run(5)
    assert world.state.errors == {"no_pong": 1}
    assert world.good()[-1].answered > START + 11_000, "the next connection counts"


def test_symbols_that_are_refused_are_asked_for_singly_once():
    world = World(["BTC_USDT", "GONE_USDT", "LOST_USDT"], joins=False)

    def follow(symbols):
        world.calls.append(("follow", *sorted(symbols)))
        good = set(symbols) == {"BTC_USDT"}
        answer = {"joined": ["BTC_USDT"]} if good else {"refused": ["no such symbols"]}
        world.sent.append((world.now - START + 10, Heard(messages=1, **answer)))

    world.follow = follow
    world.run(10)
    asked = [call[1:] for call in world.calls if call[0] == "follow"]
    assert asked[0] == ("BTC_USDT", "GONE_USDT", "LOST_USDT")
    assert sorted(asked[1:]) == [("BTC_USDT",), ("GONE_USDT",), ("LOST_USDT",)]
    assert all(batch.away == ["GONE_USDT", "LOST_USDT"] for batch in world.good())
