"""What an exchange lists and the last prices there, asked seldom: a hundred requests here are one
request there."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.exchanges.base import ExchangeError, Market, Quote, TickerAdapter

KEEP_SECONDS = 60.0
KEEP_QUOTES_SECONDS = 2.0
KEEP_FAILURE_SECONDS = 5.0
WAIT_SECONDS = 3.0
"""Longer than one request to the exchange may take, shorter than a person waits."""

FORGOTTEN = 1_000
"""So many symbols may vanish before all last prices are asked for anew."""

T = TypeVar("T")


@dataclass(slots=True)
class _Known(Generic[T]):
    """An answer, None where there was none, and until when it is good."""

    value: T | None = None
    until: float = float("-inf")


@dataclass(slots=True)
class _Listing:
    lock: threading.Lock = field(default_factory=threading.Lock)
    adapter: TickerAdapter | None = None
    markets: _Known[dict[str, Market]] = field(default_factory=_Known)
    quotes: _Known[dict[str, Quote]] = field(default_factory=_Known)

    def opened(self, make: Callable[[], TickerAdapter]) -> TickerAdapter:
        """The adapter. A new one tells all prices anew: what was known goes."""
        if self.adapter is None:
            self.adapter = make()
            self.quotes.value, self.quotes.until = None, float("-inf")
        return self.adapter

    def drop_adapter(self) -> None:
        """An adapter tells what has changed since its last answer, and that may be lost."""
        if self.adapter is not None:
            self.adapter.close()
        self.adapter = None


class Listings:
    """make: opens an adapter of its own for an exchange; monotonic: seconds."""

    def __init__(
        self, make: Callable[[str], TickerAdapter], monotonic: Callable[[], float]
    ) -> None:
        self._make, self._monotonic = make, monotonic
        self._listings: dict[str, _Listing] = {}

    def markets(self, exchange: str) -> dict[str, Market] | None:
        """What `exchange` lists, by symbol; None where it cannot be asked now."""
        listing = self._listings.setdefault(exchange, _Listing())
        return self._known(exchange, listing, listing.markets, KEEP_SECONDS, _markets)

    def quotes(self, exchange: str) -> dict[str, Quote] | None:
        """The last prices there, by symbol; None where it cannot be asked now."""
        listing = self._listings.setdefault(exchange, _Listing())
        return self._known(exchange, listing, listing.quotes, KEEP_QUOTES_SECONDS, _quotes)

    def _known(
        self,
        exchange: str,
        listing: _Listing,
        known: _Known[T],
        keep: float,
        ask: Callable[[_Listing, TickerAdapter], T],
    ) -> T | None:
        if self._monotonic() < known.until:
            return known.value
        # An adapter serves one thread at a time.
        if not listing.lock.acquire(timeout=WAIT_SECONDS):
            return None
        try:
            if self._monotonic() >= known.until:
                known.value = self._ask(exchange, listing, ask)
                keep = KEEP_FAILURE_SECONDS if known.value is None else keep
                known.until = self._monotonic() + keep
            return known.value
        finally:
            listing.lock.release()

    def _ask(
        self, exchange: str, listing: _Listing, ask: Callable[[_Listing, TickerAdapter], T]
    ) -> T | None:
        adapter = listing.opened(lambda: self._make(exchange))
        try:
            return ask(listing, adapter)
        except ExchangeError:
            listing.drop_adapter()
            return None


def _markets(_listing: _Listing, adapter: TickerAdapter) -> dict[str, Market]:
    return {market.symbol: market for market in adapter.markets()}


def _quotes(listing: _Listing, adapter: TickerAdapter) -> dict[str, Quote]:
    """Adapters tell at least what has changed since they were last asked."""
    answer = adapter.quotes()
    found = {**(listing.quotes.value or {}), **{quote.symbol: quote for quote in answer.quotes}}
    if len(found) > answer.listed + FORGOTTEN:
        listing.drop_adapter()
    return found
