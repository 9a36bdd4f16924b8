"""Ids of trades: what is a repetition, what is missing, and what a restart remembers of it."""

from hypothesis import given
from hypothesis import strategies as st

from app.market.ids import MOST_RUNS, Hole, Ids

MINUTE = 60_000


def taken(ids, *pairs):
    return [ids.take(number, time) for number, time in pairs]


def left(ids):
    """The holes that are open, from what the ids have told."""
    found = [hole for hole in ids.opened if hole not in ids.closed]
    return sorted(hole[:2] for hole in found)


def test_neighbors_are_no_hole_and_repetitions_are_nothing():
    ids = Ids(MINUTE)
    assert taken(ids, (5, 10), (6, 20), (7, 20), (6, 20), (5, 10)) == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert ids.opened == []


def test_a_hole_reaches_from_the_trade_before_it_to_the_one_after_it():
    ids = Ids(MINUTE)
    taken(ids, (5, 10_000), (9, 31_000))
    assert ids.opened == [Hole(5, 9, 10_000, 31_000)]


def test_a_trade_that_comes_after_all_closes_its_hole():
    ids = Ids(MINUTE)
    taken(ids, (5, 10_000), (7, 31_000))
    (hole,) = ids.opened
    ids.opened.clear()
    assert ids.take(6, 20_000)
    assert (ids.opened, ids.closed) == ([], [hole])
    assert not ids.take(6, 20_000)


def test_a_hole_that_is_filled_in_part_is_two():
    ids = Ids(MINUTE)
    taken(ids, (5, 10_000), (9, 31_000), (7, 20_000))
    assert ids.opened == [Hole(5, 7, 10_000, 20_000), Hole(7, 9, 20_000, 31_000)]


def test_what_may_lie_in_the_moment_of_a_trade_that_opens_a_window_is_missing_in_that_window():
    ids = Ids(MINUTE)
    taken(ids, (5, MINUTE - 1), (7, MINUTE))
    assert ids.opened == [Hole(5, 7, MINUTE - 1, MINUTE + 1)]


def test_a_hole_within_one_moment_is_a_millisecond_long():
    ids = Ids(MINUTE)
    taken(ids, (5, 100), (7, 100))
    assert ids.opened == [Hole(5, 7, 100, 101)]


def test_ids_that_follow_one_another_are_taken_at_once_and_others_are_not():
    ids = Ids(MINUTE)
    assert not ids.take_run([1, 2], [0, 0])
    ids.take(1, 0)
    assert ids.take_run([2, 3, 4], [1, 2, 3])
    for others in ([5, 7], [5, 7, 6], [6, 7], [4, 5], [5, 5, 7], [3]):
        assert not ids.take_run(others, [4] * len(others))
    assert ids.take(5, 4) and not ids.take(4, 3)


def test_only_so_many_holes_are_remembered():
    ids = Ids(MINUTE)
    for number in range(0, 4 * MOST_RUNS, 2):
        ids.take(number, number)
    assert len(ids._runs) == MOST_RUNS


@given(st.permutations(list(range(40))), st.sets(st.integers(1, 38)))
def test_in_any_order_each_id_is_new_once_and_what_never_came_is_what_is_missing(order, never):
    ids = Ids(MINUTE)
    came = [number for number in order if number not in never]
    for number in came + came:
        ids.take(number, number * 1_000)
    assert not any(ids.take(number, number * 1_000) for number in came)
    missing = {number for after, before in left(ids) for number in range(after + 1, before)}
    assert missing == never


@given(
    st.permutations(list(range(30))), st.sets(st.integers(1, 28), max_size=6), st.integers(1, 29)
)
def test_a_restart_changes_neither_what_is_new_nor_what_is_missing(order, never, cut):
    """Candles hold all that happened before `through`; later trades come again."""
    came = [number for number in order if number not in never]
    whole = Ids(MINUTE)
    for number in came:
        whole.take(number, number * 1_000)
    first, later = came[:cut], came[cut:]
    before = Ids(MINUTE)
    for number in first:
        before.take(number, number * 1_000)
    through = 15_000
    holes = [hole for hole in before.opened if hole not in before.closed]
    after = Ids(MINUTE, before.line, holes, through)
    again = [number for number in first if number * 1_000 >= through]
    new = [number for number in again + later if after.take(number, number * 1_000)]
    assert new == again + later
    assert not any(after.take(number, number * 1_000) for number in first + later)


def test_what_happened_before_a_symbol_was_watched_is_not_missing():
    ids = Ids(MINUTE)
    ids.take(5, 10_000)
    ids.take(9, 70_000, since=60_000)
    assert ids.opened == []
    # Both of these are of the time that is watched, so what lies between them is missing.
    ids.take(7, 65_000, since=60_000)
    assert ids.opened == [Hole(7, 9, 65_000, 70_000)]
    assert [ids.take(number, 70_000, since=60_000) for number in (5, 9, 7)] == [False] * 3


def test_an_absurd_id_is_another_counting_and_does_not_disturb_for_long():
    ids = Ids(MINUTE)
    for number in range(1, 200):
        ids.take(number, number * 1_000)
        if number == 100:
            ids.take(9 * 10**17, 100_500)
    assert left(ids) == []
    assert ids.line == (1, 199, 199_000)
    for number in range(1, 200):
        assert not ids.take(number, number * 1_000)


def test_a_counting_that_begins_anew_is_no_hole():
    ids = Ids(MINUTE)
    for number in range(5_000, 5_300):
        ids.take(number, number * 1_000)
    for number in range(1, 50):
        assert ids.take(number, (5_300 + number) * 1_000)
    assert ids.opened == [] and ids.line.highest == 49


def test_what_is_missing_before_the_oldest_that_is_remembered_counts_as_known():
    ids = Ids(MINUTE)
    for number in range(0, 4 * MOST_RUNS, 2):
        ids.take(number, number)
    ids.opened.clear()
    assert not any(ids.take(number, number) for number in range(1_000))
    assert ids.opened == []
