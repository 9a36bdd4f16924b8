"""Whether a batch out of a log is one that collectors write. Its bytes may be whole and still say
what no fold and no database can take, if another version or another program wrote them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from app.market.coverage import ALL
from app.market.history import MOST_TRADES
from app.market.sifting import AFTER_IDS
from app.market.ticks import (
    DECIMALS,
    WHOLE_DIGITS,
    Batch,
    History,
    Minute,
    Rejected,
    Tick,
    check_amount,
    check_symbol,
)
from app.market.windows import DAY, LATEST, MINUTE

_LEAST, _LIMIT = Decimal(1).scaleb(-DECIMALS), Decimal(1).scaleb(WHOLE_DIGITS)
_MOST_KNOWN = 100_000
_known: set[str] = set()


def is_sound(batch: Batch) -> bool:
    """Whether all of it is possible."""
    clocks = batch.asked, batch.answered
    offset = batch.offset or 0
    possible = min(clocks) >= 0 and max(clocks) <= LATEST and abs(offset) <= LATEST
    if not (possible and 0 <= batch.poll <= DAY and _are_symbols({*batch.away} - {ALL})):
        return False
    ranges = [*batch.covers, *batch.anew]
    if any(not -LATEST <= start < end <= LATEST for _, start, end in ranges):
        return False
    anew = {cover.symbol for cover in batch.anew} - {ALL}
    if not _are_symbols({cover.symbol for cover in batch.covers} | anew):
        return False
    if not all(map(_is_history, batch.history)):
        return False
    spoiled = not batch.spoiled or _are_named(batch, *zip(*batch.spoiled, strict=True))
    return spoiled and (not batch.ticks or _are_ticks(batch))


def _are_ticks(batch: Batch) -> bool:
    # By columns: there may be hundreds of thousands to read after an outage.
    symbols, times, prices, _, sizes, ids, _ = zip(*batch.ticks, strict=True)
    if ids.count(None) < len(ids):
        numbers = [one for one in ids if isinstance(one, int)]
        if numbers and not _are_ids(numbers):
            return False
    return _are_named(batch, symbols, times) and _are_amounts(batch.ticks, prices, sizes)


def _are_named(batch: Batch, symbols: Any, times: Any, ids: Any = (0,)) -> bool:
    """A tick up to a day ahead of its batch is possible: a leap of the clock may lie between. The
    host's own clock, before the exchange's was seen, bounds nothing."""
    latest = LATEST if batch.offset is None else batch.answered + DAY
    possible = min(times) >= 0 and max(times) <= latest
    return possible and _are_ids(ids) and _are_symbols(set(symbols))


def _are_ids(ids: Sequence[int]) -> bool:
    return min(ids) >= 0 and max(ids) < AFTER_IDS


def _is_history(history: History) -> bool:
    if not (0 <= history.start < history.end <= LATEST and _are_symbols({history.symbol})):
        return False
    times = [minute.open_time for minute in history.minutes]
    if any(time % MINUTE or not history.start <= time < history.end for time in times):
        return False
    return len(set(times)) == len(times) and all(map(_is_minute, history.minutes))


def _is_minute(minute: Minute) -> bool:
    prices = minute.open, minute.high, minute.low, minute.close
    sizes = minute.volume, minute.quote_volume, minute.taker_buy_volume
    try:
        in_order = _LEAST <= min(prices) == minute.low and max(prices) == minute.high < _LIMIT
        fits = min(sizes) >= 0 and max(sizes) < _LIMIT
        return in_order and fits and 0 < minute.trades < MOST_TRADES
    except InvalidOperation:
        return False


def _are_symbols(found: set[str]) -> bool:
    new = found - _known
    try:
        for symbol in new:
            check_symbol(symbol)
    except Rejected:
        return False
    if len(_known) > _MOST_KNOWN:
        _known.clear()
    _known.update(new)
    return True


def _are_amounts(
    ticks: Iterable[Tick], prices: Sequence[Decimal], sizes: Sequence[Decimal | None]
) -> bool:
    try:
        # Comparing what is no number raises.
        highest = max(prices)
        if not (min(prices) >= _LEAST and highest < _LIMIT):
            return False
        if sizes.count(None) == len(sizes):
            return True
        known = [size for size in sizes if size is not None]
        largest = max(known)
        if not (min(known) >= 0 and largest < _LIMIT):
            return False
        if highest * largest >= _LIMIT / 100:
            for tick in ticks:
                check_amount(tick.price, Decimal(0) if tick.size is None else tick.size)
    except (InvalidOperation, Rejected, TypeError):
        return False
    return True
