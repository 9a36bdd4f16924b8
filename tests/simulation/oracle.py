"""Whether a run kept every promise: its candles against those that there must be, and what readers
saw against what is stored."""

from collections.abc import Iterator
from decimal import Decimal

from app.market.ticks import OK, TICKER, TRADES
from tests.simulation.expected import (
    APART,
    SHORTEST,
    Windows,
    bar,
    first_window,
    knowable,
    of_polls,
    of_trades,
    periods,
    windows,
)
from tests.simulation.life import POLL
from tests.simulation.shown import Key, every_revision
from tests.simulation.world import World

CLEAR = 13_000
"""So far (ms) from any trouble a candle has to be whole: long enough for what was missed to be
fetched."""


def problems(world: World, again: bool = True) -> list[str]:
    """Every promise that was not kept, in words. again: whether to read the whole log anew."""
    return list(_problems(world, again))


def _problems(world: World, again: bool) -> Iterator[str]:
    every = every_revision(world.database)
    rows = {key: every[key, revision] for key, revision in sorted(every)}
    yield from _lost(world)
    yield from _merges(rows)
    yield from _history(world, every)
    if world.conflicts:
        yield f"{world.conflicts} rows were to be written a second time, and differently"
    truth = windows(knowable(world)) if world.source == TRADES else None
    if truth is not None:
        yield from _whole(world, rows, truth)
        if not (world.twins or world.torn or world.pruned or world.exchange.step):
            yield from _undisturbed(world, rows, truth)
    if not world.twins:
        expected = windows(of_trades(world) if world.source == TRADES else of_polls(world))
        through = world.life.state.closed_through or 0
        closed = {key: found for key, found in expected.items() if key[1] + key[2] <= through}
        if world.damaged:
            rows = {key: row for key, row in rows.items() if row.coverage == 1}
            closed = {key: found for key, found in closed.items() if key in rows}
        twice = {key for key in closed.keys() | rows.keys() if _comes_twice(world, key)}
        closed = {key: found for key, found in closed.items() if key not in twice}
        once = {key: row for key, row in rows.items() if key not in twice}
        yield from _equal(once, closed, world.torn or world.pruned)
        if world.source == TICKER and not world.damaged and not world.exchange.step:
            yield from _coverage(world, rows)
        # A restart in the midst of such times does not know that they come again.
        if again and not (world.torn or world.pruned or world.exchange.step < 0):
            yield from _again(world, every)
    through = world.life.state.closed_through or 0
    if through < world.end:
        yield f"nothing closes any more: {through} of {world.end}"


def _lost(world: World) -> Iterator[str]:
    """What had been on disk and is not there any more."""
    if world.twins or world.damaged:
        return
    if world.source == TRADES:
        # What lies in the future by the clock that was measured last is rejected.
        known = not world.exchange.step
        for missing in sorted(world.durable - world.told if known else ()):
            yield f"lost from the log: {missing}"
    else:
        batches = [batch for batch in world.batches.values() if batch is not None]
        asked = {batch.asked for batch in batches if batch.outcome == OK}
        for missing in sorted(world.polls.keys() ^ asked):
            yield f"polls and log differ at {missing}"


def _equal(rows: dict, expected: Windows, lossy: bool) -> Iterator[str]:
    """Each candle holds what is in the log, and each window with a tick has one. lossy: part of the
    log cannot be read any more, so nothing that comes late can be folded in."""
    for key in sorted(expected.keys() | rows.keys()):
        if lossy and any(one.late for one in expected.get(key, ())):
            continue
        if key not in rows:
            yield f"missing: {key} {bar(expected[key])}"
        elif key not in expected:
            yield f"invented: {key} {rows[key]}"
        elif rows[key][:10] != bar(expected[key]):
            yield f"wrong: {key} {rows[key]} instead of {bar(expected[key])}"


def _whole(world: World, rows: dict, truth: Windows) -> Iterator[str]:
    """What says that it is whole is what really happened. Of times that an exchange shows twice,
    having set its clock back, nobody can say that; nor of trades before the first that was told, if
    another host was told of them later."""
    for key, row in rows.items():
        before = [one for one in truth.get(key, ()) if one.order < world.first.get(key[0], 0)]
        if world.twins and before:
            continue
        if key not in truth:
            yield f"never happened: {key} {row}"
        elif row.coverage == 1 and not _comes_twice(world, key) and row[:10] != bar(truth[key]):
            yield f"not whole: {key} {row} instead of {bar(truth[key])}"


def _comes_twice(world: World, key: Key) -> bool:
    """The collector measures the clock once a minute: so long it may log the old one."""
    exchange = world.exchange
    begin, end = exchange.stepped + min(exchange.step, 0), exchange.stepped + 65_000
    return exchange.step < 0 and key[2] < end and key[2] + key[1] > begin


def _undisturbed(world: World, rows: dict, truth: Windows) -> Iterator[str]:
    """Where nothing was wrong a candle is whole."""
    begin = max(first_window(world), *(since for since, _ in periods(world).values()))
    for key in truth:
        _, interval, start = key
        end = start + interval
        if start < begin or end > world.life.state.closed_through - CLEAR:
            continue
        if any(low - CLEAR < end and start < high + CLEAR for low, high in world.troubles):
            continue
        if key not in rows or rows[key].coverage != 1:
            yield f"not whole for no reason: {key} {rows.get(key)}"


def _coverage(world: World, rows: dict) -> Iterator[str]:
    """The share of each window between good polls that are close together."""
    pieces, before = [], None
    for _, batch in sorted(world.batches.items()):
        if batch is None:
            # Nobody can know what it told.
            before = None
            continue
        if batch.outcome != OK:
            continue
        near = before is not None and batch.asked - before.asked <= max(APART, POLL)
        if near and not batch.blind and abs(batch.offset - before.offset) <= 2 * POLL:
            pieces.append((before.asked, batch.asked))
        before = batch
    built = periods(world)
    for (symbol, interval, start), row in rows.items():
        since, until = built[symbol]
        low, high = max(start, since), min(start + interval, until)
        observed = sum(max(0, min(end, high) - max(begin, low)) for begin, end in pieces)
        share = Decimal(observed * 10_000 // interval).scaleb(-4)
        if row.coverage != share:
            yield f"coverage {row.coverage} instead of {share}: {(symbol, interval, start)}"


def _merges(rows: dict) -> Iterator[str]:
    """A long candle is the merge of its parts."""
    for (symbol, interval, start), row in rows.items():
        if interval == SHORTEST:
            continue
        moments = range(start, start + interval, SHORTEST)
        parts = [rows.get((symbol, SHORTEST, moment)) for moment in moments]
        found = [part for part in parts if part is not None]
        if not found:
            yield f"no parts: {(symbol, interval, start)}"
            continue
        merged = (
            *(found[0].open, max(part.high for part in found)),
            *(min(part.low for part in found), found[-1].close),
            sum(part.tick_count for part in found),
            None if row.volume is None else sum(part.volume for part in found),
        )
        mine = (row.open, row.high, row.low, row.close, row.tick_count, row.volume)
        if merged != mine:
            yield f"not the merge of its parts: {(symbol, interval, start)} {mine} {merged}"


def _history(world: World, every: dict) -> Iterator[str]:
    """Whatever a reader has seen can be found, and every change says why."""
    for place, shown in world.shown.items():
        if every.get(place) != shown:
            yield f"shown and gone: {place} {shown}"
    for (key, revision), row in every.items():
        if revision > 1 and (not row.cause or (key, revision - 1) not in every):
            yield f"a change without a past or a cause: {key} {revision}"


def _again(world: World, every: dict) -> Iterator[str]:
    """Candles and their corrections are a function of the log."""
    again = world.replay()
    for place in sorted(again.keys() | every.keys()):
        if again.get(place, ())[:-1] != every.get(place, ())[:-1]:
            yield f"not again: {place} {every.get(place)} but {again.get(place)}"
