"""Reads closed windows out of the tick log again. Knows positions; the fold is the market's."""

from collections.abc import Iterable

from app.market.candles import Bar
from app.market.closing import Place
from app.market.feed import FeedFold
from app.market.refold import Refold
from app.market.subscriptions import Subscriptions
from app.market.ticks import AHEAD_MS
from app.market.windows import window_up
from app.pipeline.loops import beat
from app.ticklog import FeedLog


def refold(
    log: FeedLog,
    places: Iterable[Place],
    end: int,
    fold: FeedFold,
    subscriptions: Subscriptions,
) -> dict[Place, Bar]:
    """What closed windows hold by all that is in the log up to position `end`. Windows of which the
    log may not have all, because it is younger, damaged or was not the one that they were built
    from, are left out."""
    reach = max(fold.reach, reach_of(log, fold.shortest))
    found = [place for place in places if place[1] >= reach]
    if not found:
        return {}
    observation = type(fold.observation)(fold.observation.pace, fold.shortest)
    refolding = Refold(found, observation, fold.source, subscriptions)
    begin = log.find(min(window for _, window in found) - AHEAD_MS)
    for entry in log.read(begin):
        # A trade that is hours late has hours of the log read.
        beat()
        if entry.position >= end:
            break
        if entry.batch is None:
            return {}
        refolding.take(entry.batch)
    return refolding.bars()


def reach_of(log: FeedLog, shortest: int) -> int:
    """The first window (open time, ms) that the log has all of. What it never lost a segment of,
    it has from the first window on that had not ended when it began."""
    first = log.first()
    if first is None:
        return 0
    asked, answered = first
    reach = asked - shortest + 1 if log.begin == 0 else answered + AHEAD_MS
    return window_up(reach, shortest)
