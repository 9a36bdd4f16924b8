"""What went wrong with an exchange: whose fault it is, how long to wait, and who is told."""

import logging

from app.exchanges.base import ExchangeError, Refused, Unreachable
from app.live.hub import FeedState
from app.market.ticks import EXCHANGE_DOWN, OUTAGE

SAY_AGAIN_MS = 60_000
REFUSED_MS = 120_000
"""An exchange that refuses us is left alone for so long at least."""

log = logging.getLogger(__name__)


def outcome_of(error: ExchangeError) -> str:
    """Whose fault it was, as batches say it."""
    return OUTAGE if isinstance(error, Unreachable) else EXCHANGE_DOWN


def demanded(error: ExchangeError) -> int:
    """How long (ms) the exchange has to be left alone at least; 0 where it does not say."""
    wait = int((error.retry_after or 0) * 1000)
    return max(wait, REFUSED_MS) if isinstance(error, Refused) else wait


def doubled(least: int, most: int, errors: int, jitter: float) -> int:
    """The wait (ms) after so many errors in a row: from `least` to `most`, and up to a quarter less
    by `jitter` (0 to 1), so that many who lost it together do not come back together."""
    return int(min(least * 2.0 ** min(errors - 1, 16), most) * (0.75 + 0.25 * jitter))


class Trouble:
    """Of one feed. errors: polls or connections that failed in a row; the collector counts them,
    `over` sets them back."""

    def __init__(self, name: str, state: FeedState) -> None:
        self._name, self._state = name, state
        self._said = self._said_aside = -SAY_AGAIN_MS
        self.errors = 0

    def note(self, now: int, offset: int | None, error: ExchangeError) -> None:
        """Count an error by its reason at `now` (our time, ms); log the first of a row, then one a
        minute."""
        self._count(now, offset, error)
        if self.errors <= 1 or now - self._said >= SAY_AGAIN_MS:
            self._said = now
            log.warning(
                "%s: no answer (%s: %s), %d in a row; it will be asked again",
                self._name,
                error.reason,
                error,
                self.errors,
            )

    def note_aside(self, now: int, offset: int | None, error: ExchangeError) -> None:
        """The same of one that the feed as a whole survives, and that may come many times a second:
        one a minute is logged."""
        self._count(now, offset, error)
        if now - self._said_aside >= SAY_AGAIN_MS:
            self._said_aside = now
            log.warning("%s: %s: %s; it goes on without", self._name, error.reason, error)

    def _count(self, now: int, offset: int | None, error: ExchangeError) -> None:
        state = self._state
        state.last_error = f"{error.reason}: {error}"
        state.last_error_time = now + (offset or 0)
        state.errors[error.reason] += 1

    def over(self) -> None:
        """The exchange answers."""
        if self.errors:
            log.info("%s answers again after %d errors", self._name, self.errors)
        self.errors = 0
