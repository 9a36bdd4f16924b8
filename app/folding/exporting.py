"""The ticks of a feed's log, as they were logged. Reads while a service writes, and changes
nothing; what a tick is worth is the folds' business."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.folding.writing import Row, spoiled_row, tick_row
from app.market.ticks import AHEAD_MS
from app.ticklog.files import SegmentLog
from app.ticklog.reading import entries_from


class NoLog(Exception):
    """There is nothing to read; the text says where, and what to do."""


@dataclass(slots=True)
class Report:
    """What was met on the way. found: symbols with a tick; lost: bytes that are unreadable; tail:
    those at the end, which may be a batch that is being written; unclocked: ticks from before the
    exchange's clock was seen."""

    rows: int = 0
    lost: int = 0
    tail: int = 0
    unclocked: int = 0
    found: set[str] = field(default_factory=set)


def open_log(ticks: Path, exchange: str, source: str) -> SegmentLog:
    """The log of a feed, for reading. ticks: the folder of all logs; NoLog."""
    folder = ticks / f"{exchange}.{source}"
    try:
        there = any(folder.glob("*.seg"))
        others = sorted(path.name for path in ticks.iterdir() if any(path.glob("*.seg")))
    except OSError:
        there, others = False, []
    if there:
        return SegmentLog(folder, "", read_only=True)
    names = ", ".join(
        f"--exchange {n.partition('.')[0]} --source {n.partition('.')[2]}" for n in others
    )
    advice = (
        f"there is one for {names}"
        if names
        else "check DATA_DIR and this folder, or start the service: candlekeep run"
    )
    raise NoLog(f"no tick log in {folder}: {advice}")


def ticks_of(
    log: SegmentLog, symbols: Collection[str], start: int, end: int, report: Report
) -> Iterator[Row]:
    """The ticks that happened in `[start, end)` (ms), in the order of the log; of all symbols where
    none is named. A late one may be in any later batch, so the log is read to its end."""
    for entry in entries_from(log, log.find(start - AHEAD_MS)):
        batch = entry.batch
        if batch is None:
            report.lost += entry.end - entry.position
            report.tail = entry.end - entry.position if entry.end == log.end else 0
            continue
        if batch.offset is None:
            report.unclocked += len(batch.ticks)
            continue
        for tick in batch.ticks:
            if start <= tick.time < end and (not symbols or tick.symbol in symbols):
                report.found.add(tick.symbol)
                report.rows += 1
                yield tick_row(tick, batch)
        for one in batch.spoiled:
            if start <= one.time < end and (not symbols or one.symbol in symbols):
                report.rows += 1
                yield spoiled_row(one, batch)
