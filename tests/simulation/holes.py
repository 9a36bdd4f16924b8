"""Where in time the trades are that never came, worked out from the tape and from when nothing was
observed. Shares no code with the fold."""

from collections.abc import Iterator

from sqlalchemy import select

from app.market.coverage import ALL, CLOCK_STEP, SEQUENCE_GAP
from app.storage.database import reading
from app.storage.tables import missing_ids, unobserved
from tests.simulation.expected import GRACE, SHORTEST
from tests.simulation.world import World


def wrong_holes(world: World) -> Iterator[str]:
    """Those whose time is another one than that of the outages between the two trades, and as much
    as a trade may be late; or, where there was none, that from the one trade to the other."""
    times = {(deal.symbol, deal.id): deal.time for deal in world.exchange.deals}
    earlier = _told_first(world)
    with reading(world.database.readers) as connection:
        holes = connection.execute(select(missing_ids)).all()
        spans = connection.execute(select(unobserved)).all()
    for hole in holes:
        before, after = times[hole.symbol, hole.after_id], times[hole.symbol, hole.before_id]
        # The next trade may have been the first of its window, and what is missing before it.
        after += after == before or after % SHORTEST == 0
        outages = [
            (span.start_time, span.end_time)
            for span in spans
            if span.symbol in (ALL, hole.symbol) and span.reason not in (SEQUENCE_GAP, CLOCK_STEP)
        ]
        found, expected = (hole.start_time, hole.end_time), _expected(before, after, outages)
        ends = {(hole.symbol, hole.after_id), (hole.symbol, hole.before_id)}
        if ends <= earlier and found == (before, after):
            # There was no outage yet: what the other host had observed is not known any more.
            continue
        if found != expected:
            yield f"a hole in {hole.symbol} after {hole.after_id}: {found} instead of {expected}"


def _told_first(world: World) -> set[tuple[str, object]]:
    """What was in the log of the first of two hosts."""
    batches = (batch for (other, _), batch in world.batches.items() if batch and not other)
    told = (one for batch in batches for one in (*batch.ticks, *batch.spoiled))
    return {(one.symbol, one.id) for one in told} if world.twins else set()


def _expected(before: int, after: int, outages: list[tuple[int, int]]) -> tuple[int, int]:
    inside = [
        one
        for one in _joined(outages)
        # A trade of the first moments came before it, one of the last moments after it.
        if (before < one[0] or before < one[1] - GRACE)
        and (after > one[1] or after > one[0] + GRACE)
    ]
    if not inside:
        return before, after
    return max(before, inside[0][0] - GRACE), min(after, inside[-1][1] + GRACE)


def _joined(outages: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin, end in sorted(outages):
        if found and begin <= found[-1][1]:
            begin, last = found.pop()
            end = max(end, last)
        found.append((begin, end))
    return found
