"""The collector of a streamed feed: keeps one connection, and writes every trade that it brings, or
why none come, to the tick log. Decides nothing about candles."""

import random
from collections.abc import Callable

from app.exchanges.base import ExchangeError, Heard, TradesAdapter, Unavailable
from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.ticks import IDLE, IN_FUTURE, OK, Batch
from app.pipeline.clock import LEAP_MS, ExchangeClock
from app.pipeline.fetching import LOOK_BACK_MS, Fetching, Known, symbols_of
from app.pipeline.inbox import Inbox
from app.pipeline.link import Held, Link, Wanted
from app.pipeline.trouble import Trouble, demanded, doubled, outcome_of
from app.ticklog import FeedLog

DRAIN_SECONDS = 0.25
JOINING_SECONDS = 0.05
SILENCE_MS = 1_000
"""After so long without a message the other side is asked for a sign of life."""

DEAD_MS = 3_000
"""After so long without one the connection is given up."""

PING_MS = 15_000
"""A talkative exchange wants to hear from us as well: Poloniex every 30 s."""

STRANGE_MS = 5_000
"""Trades are pushed sooner, or else the exchange's clock is not what it was."""

STALL_MS = 2_000
"""After such a pause of ours, what the socket holds may be old: only a pong tells."""

JOIN_MS = 2_000
"""A new connection has so long to tell what it follows, and to fetch what was missed, before it
counts."""

IDLE_MS = 1_000
SETTLED_MS = 10_000
"""A connection that lasted so long was a good one."""

BACKOFF_MS = (500, 5_000)
POLL_MS = 1_000
"""Stands for the cadence, which decides how long a window waits: that of the pings."""


class StreamCollector:
    """Follows one feed. `step` is to be called again and again; it waits for what the socket
    brings, and no longer than that.

    clock: our time, epoch ms, on which `now` is read too. wanted: what to follow now.
    known_until: up to when (exchange time, ms) the log knows everything; None for a new one.
    jitter: 0 to 1. inbox: what others want written down too.
    """

    def __init__(
        self,
        adapter: TradesAdapter,
        ticklog: FeedLog,
        clock: Callable[[], int],
        state: FeedState,
        wanted: Callable[[], Wanted],
        known_until: int | None = None,
        jitter: Callable[[], float] = random.random,
        inbox: Inbox | None = None,
    ) -> None:
        self._adapter, self._log, self._clock, self._state = adapter, ticklog, clock, state
        self._wanted, self._known_until, self._jitter = wanted, known_until, jitter
        self._inbox = inbox or Inbox()
        self._theirs = ExchangeClock(adapter, clock, state)
        self._fetching, self._known = Fetching(adapter.recent, adapter.markets), Known()
        self._link: Link | None = None
        self._held = Held()
        self._observed = 0
        self._trouble = Trouble(adapter.name, state)
        self._due = self._logged = 0
        self._start = True

    def step(self, now: int) -> int:
        """Connect if it is time to, write what comes, and keep the log's clock going. Returns when
        the next step is due, at the latest. OSError where the log cannot be written."""
        wanted = self._wanted()
        try:
            if self._link is not None:
                self._follow(self._link, wanted)
            elif wanted.symbols and now >= self._due:
                self._connect(now, wanted)
            if self._link is not None:
                self._drain(self._link, wanted)
        except ExchangeError as error:
            self._failed(self._clock(), error)
        now = self._clock()
        due = self._inbox.waiting or now - self._logged >= IDLE_MS
        if due and not (self._link and self._link.doubtful):
            offset = self._theirs.offset
            self._append(IDLE, now + (offset or 0), now + (offset or 0), offset)
        if self._link is not None:
            return now
        return min(self._due, self._logged + IDLE_MS) if wanted.symbols else self._logged + IDLE_MS

    def _connect(self, now: int, wanted: Wanted) -> None:
        self._state.state = "connecting"
        self._theirs.measure(now)
        if self._theirs.offset is None:
            raise Unavailable("no_clock", "the exchange does not tell its time")
        self._adapter.connect()
        self._adapter.follow(wanted.symbols)
        now = self._clock()
        self._link = Link(now, now, now, now, now, wanted.symbols)
        if self._known_until is not None:
            self._fetching.lost(self._lost_symbols(wanted.symbols), self._known_until)

    def _lost_symbols(self, symbols: frozenset[str]) -> list[str]:
        """Those that have traded first: there may be a thousand others."""
        if ALL not in symbols:
            return sorted(symbols)
        try:
            listed = symbols_of(self._adapter.markets())
        except ExchangeError:
            # It is asked again while the connection tells already.
            listed = [ALL]
        return list(dict.fromkeys([*self._known.symbols, *listed]))

    def _follow(self, link: Link, wanted: Wanted) -> None:
        """Tell the exchange what is wanted now."""
        more, less = wanted.symbols - link.following, link.following - wanted.symbols
        if not wanted.symbols or ALL in more | less:
            # Whatever follows is another connection.
            self._hang_up()
            return
        if less:
            self._adapter.unfollow(less)
        if more:
            self._adapter.follow(more)
        link.following = wanted.symbols
        link.joined -= less
        link.singly -= less

    def _hang_up(self) -> None:
        self._adapter.hang_up()
        self._link = None
        self._state.state = "idle"

    def _drain(self, link: Link, wanted: Wanted) -> None:
        if link.sure and self._clock() - link.drained > STALL_MS:
            link.sure, link.doubted = False, self._clock()
            self._adapter.ping()
        heard = self._adapter.receive(DRAIN_SECONDS if link.sure else JOINING_SECONDS)
        now = link.drained = self._clock()
        asked_for = [trade for trade in heard.trades if link.follows(trade.symbol)]
        self._held.rejected.update(heard.rejected)
        self._held.rejected["not_asked_for"] += len(heard.trades) - len(asked_for)
        self._held.take(asked_for, now + (self._theirs.offset or 0), self._known)
        if any(trade.time < now + (self._theirs.offset or 0) - STRANGE_MS for trade in asked_for):
            # It may have set its clock back.
            self._theirs.doubt()
        if heard.messages:
            link.heard = now
        if heard.joined:
            link.acknowledged = now
            link.joined.update(heard.joined)
            self._held.joined.update(heard.joined)
        self._hear_refusal(link, heard)
        self._fetch(link, now)
        self._make_sure(link, heard, now)
        if link.sure and heard.messages:
            self._tell(link, wanted)
        self._keep_alive(link, self._clock())

    def _hear_refusal(self, link: Link, heard: Heard) -> None:
        """One symbol that is not listed any more must not keep the others from being followed."""
        for text in heard.refused:
            refused = Unavailable("refused", text)
            self._trouble.note_aside(self._clock(), self._theirs.offset, refused)
        if heard.refused:
            for symbol in link.single():
                self._adapter.follow([symbol])

    def _fetch(self, link: Link, now: int) -> None:
        """Ask for what is missing, a symbol at a time."""
        offset = self._theirs.offset or 0
        for symbol, since in self._known.with_holes().items():
            self._fetching.missing(symbol, now, max(since, now + offset - LOOK_BACK_MS))
        if not link.told and link.tells(link.following) < link.following:
            # What is fetched has to reach up to where the connection begins to tell.
            return
        found = self._fetching.step(now, offset, lambda name: bool(link.tells(frozenset((name,)))))
        for error in self._fetching.errors:
            self._trouble.note_aside(now, self._theirs.offset, error)
        self._fetching.errors.clear()
        if found is not None:
            self._held.take(found.trades, now + offset, self._known, again=True)
            cover = found.cover
            # A market that has traded does not become one that never did.
            if cover is not None and not (found.never and self._known.has(cover.symbol)):
                self._held.covers.append(cover)

    def _make_sure(self, link: Link, heard: Heard, now: int) -> None:
        """Whether what came can be written down as all there was."""
        if link.sure:
            return
        if link.told:
            link.sure = heard.pongs > 0
            if not link.sure and now - link.doubted >= DEAD_MS:
                raise Unavailable("no_pong", "the exchange does not answer a ping")
            return
        late = now - link.opened >= JOIN_MS
        if late and not link.joined:
            raise Unavailable("not_joined", "the exchange does not confirm the subscription")
        ready = link.tells(link.following) == link.following
        link.sure = late or (ready and not self._fetching.waiting())

    def _tell(self, link: Link, wanted: Wanted) -> None:
        """Write down what was observed."""
        offset = self._theirs.offset or 0
        since = self._observed if link.told else link.acknowledged + offset
        if since - link.heard - offset > LEAP_MS:
            # The exchange's clock went back.
            since = link.heard + offset
        until = max(link.heard + offset, since)
        away = sorted(link.following - link.tells(link.following))
        self._held.joined |= link.tells(wanted.pending)
        self._append(OK, since, until, offset, blind=not link.told, away=away)
        self._observed = self._known_until = until
        link.told = True
        if self._clock() - link.opened >= SETTLED_MS:
            self._trouble.over()
        state = self._state
        state.state, state.retry_at = "streaming", None
        state.last_good_poll, state.symbols = until, len(link.joined)

    def _keep_alive(self, link: Link, now: int) -> None:
        # While we paused, nothing was asked either.
        if now - max(link.heard, link.doubted) >= DEAD_MS:
            raise Unavailable("silent", f"nothing came for {(now - link.heard) / 1000:.0f} s")
        quiet = now - link.heard >= SILENCE_MS and now - link.pinged >= SILENCE_MS
        if quiet or now - link.pinged >= PING_MS:
            link.pinged = now
            self._adapter.ping()
        self._theirs.measure(now)

    def _failed(self, now: int, error: ExchangeError) -> None:
        """What came before is written down with the failure."""
        offset = self._theirs.offset
        moment = now + (offset or 0)
        self._append(outcome_of(error), moment, moment, offset, error=error.reason)
        self._adapter.hang_up()
        self._link = None
        self._trouble.errors += 1
        self._due = now + self._wait(error)
        state = self._state
        state.state = "backing_off"
        state.retry_at = self._due + (offset or 0)
        self._trouble.note(now, self._theirs.offset, error)

    def _wait(self, error: ExchangeError) -> int:
        """How long (ms) the exchange is left alone."""
        return demanded(error) or doubled(*BACKOFF_MS, self._trouble.errors, self._jitter())

    def _append(
        self,
        outcome: str,
        asked: int,
        answered: int,
        offset: int | None,
        *,
        error: str = "",
        blind: bool = False,
        away: list[str] | None = None,
    ) -> None:
        """Write a batch; all but an idle one with what is held."""
        held, self._held = (Held(), self._held) if outcome == IDLE else (self._held, Held())
        batch = Batch(
            asked,
            answered,
            outcome,
            offset,
            POLL_MS,
            error,
            self._start,
            blind or self._start,
            away=away or [],
            owed=self._fetching.owed(),
        )
        try:
            self._state.log_end = self._inbox.write(held.into(batch), self._log.append)
        except OSError:
            self._held = held if outcome != IDLE else self._held
            raise
        self._state.rejected.update(+held.rejected)
        if held.rejected[IN_FUTURE]:
            self._theirs.doubt()
        self._state.last_poll = answered
        # A batch without the exchange's clock decides nothing, so it does not count as the first.
        self._start = self._start and offset is None
        self._logged = self._clock()
