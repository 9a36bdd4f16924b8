from app.market.ids import Ids
from app.market.ticks import Cover
from app.market.unseen import Unseen


def taken(unseen, ids, *numbers):
    for number in numbers:
        ids.take(number, number * 1_000)
    unseen.holes("X", ids)


def test_candles_may_have_changed_as_long_as_a_hole_is_not_told_that_began_in_them():
    unseen, ids = Unseen(), Ids(60_000)
    taken(unseen, ids, 10, 20)
    assert unseen.changed(10_001) and not unseen.changed(10_000)
    taken(unseen, ids, 5)
    assert unseen.changed(5_001) and not unseen.changed(5_000)
    taken(unseen, ids, 6, 7, 8, 9)
    assert unseen.changed(10_001) and not unseen.changed(10_000)
    taken(unseen, ids, *range(11, 20))
    assert not unseen.changed(10**9)
    unseen.cover([Cover("X", 3_000, 4_000)])
    assert unseen.changed(3_001) and not unseen.changed(3_000)
