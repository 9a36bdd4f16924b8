"""What the candles of a run must be, worked out from what the exchange served and from what reached
the disk. Shares no code with the fold."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from app.market.coverage import ALL, FOREVER
from app.market.ticks import OK, TICKER, TRADES, Batch
from app.storage import subscriptions
from tests.simulation.exchange import RATES
from tests.simulation.life import INTERVALS, POLL
from tests.simulation.world import Key, World, every_revision

SHORTEST, GRACE, PATIENCE = INTERVALS[0], 2_000, 2_000 + 2_500 + 2_000
AHEAD = 5_000
APART = 2_500
"""Good polls that were asked so far apart (ms) still observe the time between them."""

CLEAR = 13_000
"""So far (ms) from any trouble a candle has to be whole: long enough for what was missed to be
fetched."""


class Seen(NamedTuple):
    """A price at a time; order tells those of one time apart. Without a size for the ticker."""

    time: int
    order: int
    price: Decimal
    size: Decimal | None = None
    side: str = ""
    late: bool = False
    """Whether its window had closed when it came."""


Windows = dict[Key, list[Seen]]


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
    truth = _windows(_knowable(world)) if world.source == TRADES else None
    if truth is not None:
        yield from _whole(world, rows, truth)
        if not (world.twins or world.torn or world.pruned or world.exchange.step):
            yield from _undisturbed(world, rows, truth)
    if not world.twins:
        expected = _windows(_of_trades(world) if world.source == TRADES else _of_polls(world))
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


def _log(world: World) -> list[Batch]:
    """What can be read of what a builder has read."""
    places = sorted(place for place, batch in world.batches.items() if batch is not None)
    return [world.batches[place] for place in places if place[0] or place[1] >= world.begin]


def _tape(world: World) -> Iterator[tuple[str, Seen]]:
    for deal in world.exchange.deals:
        if not deal.spoiled:
            side = deal.side.upper()
            yield deal.symbol, Seen(deal.time, deal.id, deal.price, deal.size, side)


def _knowable(world: World) -> Iterator[tuple[str, Seen]]:
    """All that happened, but for trades that were never told and precede the first that was: their
    ids show nothing."""
    first: dict[str, int] = {}
    for symbol, number in world.told:
        first[symbol] = min(first.get(symbol, number), number)
    for symbol, seen in _tape(world):
        if seen.order >= first.get(symbol, 0):
            yield symbol, seen


def _periods(world: World) -> dict[str, tuple[int, int]]:
    """Since and until when (ms) each symbol is built."""
    rows = subscriptions.all_of(world.database.readers)
    return {
        symbol: next(
            (
                (row.since, row.until)
                for row in rows
                if row.symbol in (symbol, ALL) and not row.pending
            ),
            (FOREVER, FOREVER),
        )
        for symbol in RATES
    }


def _first_window(world: World) -> int:
    """What opened before building began cannot be known."""
    first = next(batch for batch in _log(world) if batch.offset is not None)
    return first.asked - first.asked % SHORTEST


def _of_trades(world: World) -> Iterator[tuple[str, Seen]]:
    """Those that are in the log."""
    came: dict[tuple[str, int], bool] = {}
    closed = 0
    for batch in _log(world):
        for tick in batch.ticks:
            came.setdefault((tick.symbol, tick.id), tick.time - tick.time % SHORTEST < closed)
        if batch.offset is not None:
            decided = batch.answered - (GRACE if batch.outcome == OK else PATIENCE)
            closed = max(closed, decided - decided % SHORTEST)
    first, periods = _first_window(world), _periods(world)
    for symbol, seen in _tape(world):
        since, until = periods[symbol]
        late = came.get((symbol, seen.order))
        if late is not None and max(first, since) <= seen.time < until:
            yield symbol, seen._replace(late=late)


def _of_polls(world: World) -> Iterator[tuple[str, Seen]]:
    """The last prices that were news (rule 12), of the answers that are in the log."""
    last: dict[str, tuple[int, Decimal]] = {}
    order, closed, first = 0, 0, _first_window(world)
    periods = _periods(world)
    for batch, baseline, symbol, time, price in _changed(world):
        if symbol:
            before = last.get(symbol)
            if batch.asked < periods[symbol][0]:
                continue
            if before is not None and (time < before[0] or (time, price) == before):
                continue
            last[symbol] = time, price
            window = time - time % SHORTEST
            order += 1
            if window >= first and not (baseline and window < closed):
                yield symbol, Seen(time, order, price, late=window < closed)
        else:
            closed = max(closed or batch.asked - batch.asked % SHORTEST, _decided(batch))


Row = tuple[Batch, bool, str, int, Decimal]


def _changed(world: World) -> Iterator[Row]:
    """The rows that a collector writes down: (batch, whether it is the first of its symbol, symbol,
    time, price), and after those of each batch one without a symbol."""
    told: dict[str, Decimal] = {}
    ahead: dict[str, tuple[int, Decimal]] = {}
    for batch in _log(world):
        if batch.start:
            told, ahead = {}, {}
        if batch.offset is None:
            continue
        rows = world.polls[batch.asked].rows if batch.outcome == OK else {}
        for symbol, row in rows.items():
            for time, price in (*([ahead[symbol]] if symbol in ahead else ()), row):
                ahead.pop(symbol, None)
                baseline, same = symbol not in told, told.get(symbol) == price
                if world.timed and time > batch.answered + AHEAD:
                    # It may be in time for the next poll.
                    ahead[symbol] = time, price
                    continue
                told[symbol] = price
                if world.timed:
                    yield batch, baseline, symbol, time, price
                elif not baseline and not same:
                    yield batch, False, symbol, (batch.asked + batch.answered) // 2, price
        yield batch, False, "", 0, Decimal(0)


def _decided(batch: Batch) -> int:
    given_up = batch.answered - PATIENCE
    asked = batch.asked if batch.outcome == OK else given_up
    return max(asked - asked % SHORTEST, given_up - given_up % SHORTEST)


def _windows(seen: Iterator[tuple[str, Seen]]) -> Windows:
    found: Windows = {}
    for symbol, one in seen:
        for interval in INTERVALS:
            found.setdefault((symbol, interval, one.time - one.time % interval), []).append(one)
    for window in found.values():
        window.sort(key=lambda one: (one.time, one.order))
    return found


def _bar(window: list[Seen]) -> tuple:
    prices = [one.price for one in window]
    volumes: tuple = (None, None, None)
    if window[0].size is not None:
        bought = [one.size for one in window if one.side == "BUY"]
        volumes = (
            sum(one.size for one in window),
            sum(one.price * one.size for one in window),
            sum(bought, Decimal(0)),
        )
    return (
        *(prices[0], max(prices), min(prices), prices[-1]),
        *volumes,
        *(len(window), window[0].time, window[-1].time),
    )


def _equal(rows: dict, expected: Windows, lossy: bool) -> Iterator[str]:
    """Each candle holds what is in the log, and each window with a tick has one. lossy: part of the
    log cannot be read any more, so nothing that comes late can be folded in."""
    for key in sorted(expected.keys() | rows.keys()):
        if lossy and any(one.late for one in expected.get(key, ())):
            continue
        if key not in rows:
            yield f"missing: {key} {_bar(expected[key])}"
        elif key not in expected:
            yield f"invented: {key} {rows[key]}"
        elif rows[key][:10] != _bar(expected[key]):
            yield f"wrong: {key} {rows[key]} instead of {_bar(expected[key])}"


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
        elif row.coverage == 1 and not _comes_twice(world, key) and row[:10] != _bar(truth[key]):
            yield f"not whole: {key} {row} instead of {_bar(truth[key])}"


def _comes_twice(world: World, key: Key) -> bool:
    """The collector measures the clock once a minute: so long it may log the old one."""
    exchange = world.exchange
    begin, end = exchange.stepped + min(exchange.step, 0), exchange.stepped + 65_000
    return exchange.step < 0 and key[2] < end and key[2] + key[1] > begin


def _undisturbed(world: World, rows: dict, truth: Windows) -> Iterator[str]:
    """Where nothing was wrong a candle is whole."""
    begin = max(_first_window(world), *(since for since, _ in _periods(world).values()))
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
    periods = _periods(world)
    for (symbol, interval, start), row in rows.items():
        since, until = periods[symbol]
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
