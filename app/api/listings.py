"""Which symbols an exchange lists, asked seldom: a hundred requests here are one request there."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from app.exchanges.base import ExchangeError, TickerAdapter

KEEP_SECONDS = 60.0
KEEP_FAILURE_SECONDS = 5.0
WAIT_SECONDS = 3.0
"""Longer than one request to the exchange may take, shorter than a person waits."""


@dataclass(slots=True)
class _Listing:
    lock: threading.Lock = field(default_factory=threading.Lock)
    adapter: TickerAdapter | None = None
    symbols: frozenset[str] | None = None
    until: float = float("-inf")


class Listings:
    """make: opens an adapter of its own for an exchange; monotonic: seconds."""

    def __init__(
        self, make: Callable[[str], TickerAdapter], monotonic: Callable[[], float]
    ) -> None:
        self._make, self._monotonic = make, monotonic
        self._listings: dict[str, _Listing] = {}

    def symbols(self, exchange: str) -> frozenset[str] | None:
        """What `exchange` lists; None where it cannot be asked now."""
        listing = self._listings.setdefault(exchange, _Listing())
        if self._monotonic() < listing.until:
            return listing.symbols
        # An adapter serves one thread at a time.
        if not listing.lock.acquire(timeout=WAIT_SECONDS):
            return None
        try:
            if self._monotonic() >= listing.until:
                self._ask(exchange, listing)
            return listing.symbols
        finally:
            listing.lock.release()

    def _ask(self, exchange: str, listing: _Listing) -> None:
        try:
            listing.adapter = listing.adapter or self._make(exchange)
            listing.symbols = frozenset(market.symbol for market in listing.adapter.markets())
            keep = KEEP_SECONDS
        except ExchangeError:
            listing.symbols, keep = None, KEEP_FAILURE_SECONDS
        listing.until = self._monotonic() + keep
