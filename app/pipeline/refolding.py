"""Reads closed windows out of the tick log again. Knows positions; the fold is the market's."""

from collections.abc import Iterable
from typing import NamedTuple

from app.market.candles import Bar
from app.market.closing import Official, Place
from app.market.feed import FeedFold
from app.market.refold import Refold, Sought
from app.market.subscriptions import Subscriptions
from app.market.ticks import AHEAD_MS, Cover
from app.market.windows import window_open, window_up
from app.pipeline.loops import beat
from app.ticklog import FeedLog
from app.ticklog.reading import reach_of


class Refolded(NamedTuple):
    """What closed windows hold by all that is in the log: those of `looked` that are not among
    `bars` hold nothing. told: what the exchange's own candles tell of them; looked: the windows of
    which the log has all."""

    bars: dict[Place, Bar]
    told: list[Official]
    looked: list[Cover]


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
    refolding = _read(log, Sought(found), end, fold, subscriptions)
    return refolding.bars()


def refold_ranges(
    log: FeedLog,
    covers: Iterable[Cover],
    end: int,
    fold: FeedFold,
    subscriptions: Subscriptions,
) -> Refolded:
    """The same of all closed windows that touch ranges of a symbol or of ALL. Late ticks come at
    any time, so the log is read to `end`, however short the ranges are: D days that are asked for
    day by day have some D * D / 2 days of it read. What is in memory grows with the windows that
    have ticks, so callers take long ranges in pieces."""
    shortest = fold.shortest
    reach = max(fold.reach, reach_of(log, shortest))
    through = fold.observation.closed_through
    wide = [
        one._replace(start=window_open(one.start, shortest), end=window_up(one.end, shortest))
        for one in covers
    ]
    found = _within(wide, reach, through)
    if not found:
        return Refolded({}, [], [])
    refolding = _read(log, Sought((), found), end, fold, subscriptions)
    looked = _within(found, refolding.reach, through)
    return Refolded(refolding.bars(), refolding.officials(), looked)


def _within(covers: Iterable[Cover], start: int, end: int) -> list[Cover]:
    """What of them lies in `[start, end)` (ms)."""
    cut = [one._replace(start=max(one.start, start), end=min(one.end, end)) for one in covers]
    return [one for one in cut if one.start < one.end]


def _read(
    log: FeedLog, sought: Sought, end: int, fold: FeedFold, subscriptions: Subscriptions
) -> Refold:
    observation = type(fold.observation)(fold.observation.pace, fold.shortest)
    refolding = Refold(sought, observation, fold.source, subscriptions)
    for entry in log.read(log.find(sought.start - AHEAD_MS)):
        # A trade that is hours late has hours of the log read.
        beat()
        if entry.position >= end:
            break
        if entry.batch is None:
            refolding.lost()
        else:
            refolding.take(entry.batch)
    return refolding
