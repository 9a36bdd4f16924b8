"""Which candles there must be, worked out from what the exchange served and from what reached the
disk. Shares no code with the fold."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from app.market.coverage import ALL, FOREVER
from app.market.ticks import OK, Batch
from app.storage import subscriptions
from tests.simulation.exchange import RATES
from tests.simulation.life import INTERVALS
from tests.simulation.shown import Key
from tests.simulation.world import World

SHORTEST, GRACE, PATIENCE = INTERVALS[0], 2_000, 2_000 + 2_500 + 2_000
AHEAD = 5_000
APART = 2_500
"""Good polls that were asked so far apart (ms) still observe the time between them."""


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


def log(world: World) -> list[Batch]:
    """What can be read of what a builder has read."""
    places = sorted(place for place, batch in world.batches.items() if batch is not None)
    return [world.batches[place] for place in places if place[0] or place[1] >= world.begin]


def tape(world: World) -> Iterator[tuple[str, Seen]]:
    for deal in world.exchange.deals:
        if not deal.spoiled:
            side = deal.side.upper()
            yield deal.symbol, Seen(deal.time, deal.id, deal.price, deal.size, side)


def knowable(world: World) -> Iterator[tuple[str, Seen]]:
    """All that happened, but for trades that were never told and precede the first that was: their
    ids show nothing."""
    first: dict[str, int] = {}
    for symbol, number in world.told:
        first[symbol] = min(first.get(symbol, number), number)
    for symbol, seen in tape(world):
        if seen.order >= first.get(symbol, 0):
            yield symbol, seen


def periods(world: World) -> dict[str, tuple[int, int]]:
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


def first_window(world: World) -> int:
    """What opened before building began cannot be known."""
    first = next(batch for batch in log(world) if batch.offset is not None)
    return first.asked - first.asked % SHORTEST


def of_trades(world: World) -> Iterator[tuple[str, Seen]]:
    """Those that are in the log."""
    came: dict[tuple[str, int], bool] = {}
    closed = 0
    for batch in log(world):
        for tick in batch.ticks:
            came.setdefault((tick.symbol, tick.id), tick.time - tick.time % SHORTEST < closed)
        if batch.offset is not None:
            decided = batch.answered - (GRACE if batch.outcome == OK else PATIENCE)
            closed = max(closed, decided - decided % SHORTEST)
    first, built = first_window(world), periods(world)
    for symbol, seen in tape(world):
        since, until = built[symbol]
        late = came.get((symbol, seen.order))
        if late is not None and max(first, since) <= seen.time < until:
            yield symbol, seen._replace(late=late)


def of_polls(world: World) -> Iterator[tuple[str, Seen]]:
    """The last prices that were news (rule 12), of the answers that are in the log."""
    last: dict[str, tuple[int, Decimal]] = {}
    order, closed, first = 0, 0, first_window(world)
    built = periods(world)
    for batch, baseline, symbol, time, price in _changed(world):
        if symbol:
            before = last.get(symbol)
            if batch.asked < built[symbol][0]:
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
    for batch in log(world):
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


def windows(seen: Iterator[tuple[str, Seen]]) -> Windows:
    found: Windows = {}
    for symbol, one in seen:
        for interval in INTERVALS:
            found.setdefault((symbol, interval, one.time - one.time % interval), []).append(one)
    for window in found.values():
        window.sort(key=lambda one: (one.time, one.order))
    return found


def bar(window: list[Seen]) -> tuple:
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
