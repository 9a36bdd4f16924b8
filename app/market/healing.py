"""Which closed windows lack something that the exchange may still know. Pure."""

from collections.abc import Iterable, Sequence

from app.market.coverage import Period, Seen
from app.market.windows import window_open, window_up


def to_repair(seen: Seen, shortest: int, start: int, end: int) -> list[Period]:
    """The windows of `shortest` ms in `[start, end)` that were to be observed, at least in part,
    were not wholly, and that the exchange's own candles have not told of; neighbors as one."""
    found: list[Period] = []
    for since, until in seen.missed(start, end):
        window = max(window_open(since, shortest), window_up(start, shortest))
        last = min(until, window_open(end, shortest))
        while window < last:
            close = window + shortest
            if (not found or found[-1][1] <= window) and seen.is_asked_for(window, close):
                if found and found[-1][1] == window:
                    found[-1] = found[-1][0], close
                else:
                    found.append((window, close))
            window = close
    return found


def pages(periods: Iterable[Period], length: int) -> list[Period]:
    """As few pieces of `length` ms at most as hold all of the periods: what lies between them is
    asked for too, so that longer candles change once for all that is found."""
    found: list[Period] = []
    for start, end in sorted(periods):
        if found and end - found[-1][0] <= length:
            start, end = found[-1][0], max(found[-1][1], end)
            found.pop()
        found += [(begin, min(begin + length, end)) for begin in range(start, end, length)]
    return found


def untold(told: Sequence[Period], start: int, end: int) -> list[Period]:
    """What is left of `[start, end)` without what has been told of."""
    left, reached = [], start
    for since, until in sorted(told):
        if since > reached and reached < end:
            left.append((reached, min(since, end)))
        reached = max(reached, until)
    if reached < end:
        left.append((reached, end))
    return [(since, until) for since, until in left if since < until]
