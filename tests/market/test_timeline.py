from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.market.coverage import ALL, FOREVER, SEQUENCE_GAP, Seen, Span
from app.market.timeline import RECOVERED, TOLD, Piece, timeline

MINUTE = 60_000
ALWAYS = [(0, FOREVER)]


def pieces(spans=(), covers=(), told=(), periods=ALWAYS):
    return timeline("X", MINUTE, 2 * MINUTE, spans, covers, told, periods)


def test_a_window_without_spans_is_one_piece():
    assert pieces() == [Piece(MINUTE, 2 * MINUTE, True)]


def test_what_was_missed_lies_between_what_was_seen():
    spans = [Span(ALL, 70_000, 80_000, "outage"), Span("Y", 75_000, 90_000, "restart")]
    assert pieces(spans) == [
        Piece(60_000, 70_000, True),
        Piece(70_000, 80_000, False, ("outage",)),
        Piece(80_000, 120_000, True),
    ]


def test_what_was_fetched_or_told_afterwards_says_so():
    spans = [Span(ALL, 50_000, 100_000, "restart")]
    assert pieces(spans, covers=[(0, 80_000)], told=[(90_000, 120_000)]) == [
        Piece(60_000, 80_000, True, (RECOVERED,)),
        Piece(80_000, 90_000, False, ("restart",)),
        Piece(90_000, 100_000, True, (TOLD,)),
        Piece(100_000, 120_000, True),
    ]


def test_what_was_not_subscribed_is_a_piece():
    assert pieces(periods=[(75_000, 90_000)]) == [
        Piece(60_000, 75_000, False, ("started",)),
        Piece(75_000, 90_000, True),
        Piece(90_000, 120_000, False, ("not_subscribed",)),
    ]


times = st.integers(40, 140).map(lambda second: second * 1_000)
ranges = st.tuples(times, times).map(lambda pair: (min(pair), max(pair) + 1))
some = st.lists(ranges, max_size=4)
reasons = st.sampled_from(["outage", "restart", SEQUENCE_GAP])
missed = st.lists(
    st.builds(
        lambda range_, reason, symbol: Span(symbol, *range_, reason),
        ranges,
        reasons,
        st.sampled_from(["X", "Y", ALL]),
    ),
    max_size=5,
)


@given(missed, some, some, some)
def test_the_pieces_are_the_window_and_add_up_to_its_coverage(spans, covers, told, periods):
    found = pieces(spans, covers, told, periods)
    assert [found[0].start, *(piece.end for piece in found)] == [
        *(piece.start for piece in found),
        2 * MINUTE,
    ]
    seen = sum(piece.end - piece.start for piece in found if piece.observed)
    share, why = Seen("X", spans, covers, told, periods).share(MINUTE, 2 * MINUTE)
    assert Decimal(seen * 10_000 // MINUTE).scaleb(-4) == share
    lacking = {reason for piece in found if not piece.observed for reason in piece.reasons}
    assert lacking == set(why)
