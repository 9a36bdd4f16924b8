"""What can be said of a window that is still open: how much of it has been observed so far."""

from app.market.closing import Forming, OpenCandle
from app.market.coverage import ALL, FOREVER, Seen, Share, Span

NOT_YET = ""
"""The reason for what has not happened yet; readers never see it."""


class FormingShares:
    """Coverage of the open windows of one feed, as they stood at one moment."""

    def __init__(self, forming: Forming) -> None:
        self._forming = forming
        self._spans = [*forming.spans, Span(ALL, forming.frontier, FOREVER, NOT_YET)]

    def of(self, part: OpenCandle) -> Share:
        """Coverage of the whole window, of which the rest is still to come, and why what has passed
        of it was not all observed."""
        covers = self._forming.covers.get(part.symbol, ())
        told = self._forming.told.get(part.symbol, ())
        periods = self._forming.subscriptions.periods(part.symbol)
        seen = Seen(part.symbol, self._spans, covers, told, periods)
        share, reasons = seen.share(part.open_time, part.open_time + part.interval)
        return share, tuple(reason for reason in reasons if reason)
