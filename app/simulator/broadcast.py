"""Who hears which trades when: everything that is pushed passes here once, whoever listens.

Knows the clock and the faults, but neither sockets nor threads: whoever listens calls `step`.
"""

import threading
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count

import msgspec
from wsproto.frame_protocol import FrameProtocol

from app.simulator.conversation import Message, Subscription, trades_message
from app.simulator.fates import pushes, silent
from app.simulator.outbox import Outbox
from app.simulator.plan import Plan
from app.simulator.planned import Planned
from app.simulator.tape import HOUR, Tape, Trade
from app.simulator.upcoming import Upcoming

MOST_LEAP = HOUR
"""A host that was suspended for longer (ms) does not push what it missed: it cuts everyone off."""

MOST_IN_FRAME = 20


def frame(message: Message) -> bytes:
    """A whole text frame. A server masks nothing, so one serves all who listen."""
    text = msgspec.json.encode(message).decode()
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(text, fin=True))


class Subscriber:
    """One who listens, and to what. `cut` says how the connection is to end, once it must;
    `survived` which cuts (by number) were before its time."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription, self.outbox = subscription, Outbox()
        self.cut = ""
        self.survived: set[int] = set()
        self.follows: set[str] = set()


class Broadcast:
    """The trades of a tape as they happen, to whoever subscribed, as the faults let them."""

    def __init__(self, tape: Tape, faults: Plan, now: Callable[[], int]) -> None:
        self._tape, self._faults, self._now = tape, faults, now
        self._lock = threading.Lock()
        self._at = 0
        self._subscribers: set[Subscriber] = set()
        self._listeners: dict[str, set[Subscriber]] = {}
        self._markets: dict[str, Upcoming] = {}
        self._serial = count()
        self._wakes: list[tuple[int, int, Upcoming]] = []
        self._pending: list[tuple[int, int, str, Trade]] = []

    def join(self) -> tuple[Subscriber | None, str]:
        """A new one who listens to nothing yet; or None, and the form in which it is refused."""
        with self._lock:
            now, plan = self._now(), self._faults.of_stream()
            begun = [one for one in plan if one.fault.kind == "disconnect" and now >= one.begins]
            for planned in begun:
                if planned.acts_at(now):
                    planned.hits += 1
                    return None, planned.fault.form
            if not self._subscribers:
                self._restart(now)
            subscriber = Subscriber(Subscription(self._tape.markets))
            subscriber.survived = {planned.id for planned in begun}
            self._subscribers.add(subscriber)
            return subscriber, ""

    def leave(self, subscriber: Subscriber) -> None:
        """It listens to nothing any more; may be said twice."""
        with self._lock:
            self._subscribers.discard(subscriber)
            subscriber.subscription.since.clear()
            self._follow(subscriber)

    def hear(self, subscriber: Subscriber, text: str) -> None:
        """What a client says; the answers go into its outbox."""
        with self._lock:
            # What happened before it asked is none of its business, and is through before.
            plan = self._step()
            for message in subscriber.subscription.answer(text, self._at):
                if not self._withheld(plan, self._at):
                    subscriber.outbox.put(frame(message))
            self._follow(subscriber)

    def mute(self) -> bool:
        """Whether nothing at all may be sent."""
        with self._lock:
            return self._withheld(self._faults.of_stream(), self._now())

    def step(self) -> None:
        """Push what happened since the last step."""
        with self._lock:
            self._step()

    def _step(self) -> list[Planned]:
        now, plan = self._now(), self._faults.of_stream()
        self._disconnect(plan, now)
        if now - self._at > MOST_LEAP:
            for subscriber in self._subscribers:
                subscriber.cut = "reset"
        if not self._at <= now <= self._at + MOST_LEAP:
            self._restart(now)
        self._at = now
        self._look(plan, now)
        for symbol, trades in self._due(plan, now):
            self._push(symbol, trades)
        return plan

    def _disconnect(self, plan: list[Planned], now: int) -> None:
        for planned in plan:
            if planned.fault.kind == "disconnect" and now >= planned.begins:
                for subscriber in self._subscribers:
                    if planned.id not in subscriber.survived:
                        subscriber.survived.add(planned.id)
                        subscriber.cut = subscriber.cut or planned.fault.form
                        planned.hits += 1

    def _restart(self, now: int) -> None:
        """Forget where we were, after a leap of the clock."""
        self._at, self._pending, self._wakes = now, [], []
        for symbol in self._markets:
            self._watch(symbol)

    def _watch(self, symbol: str) -> None:
        market = self._markets[symbol] = Upcoming(self._tape, symbol, self._at)
        heappush(self._wakes, (market.wake, next(self._serial), market))

    def _follow(self, subscriber: Subscriber) -> None:
        """Listen for it to what it wants now, and no longer to what nobody wants."""
        wanted = set(subscriber.subscription.since)
        for symbol in wanted - subscriber.follows:
            if symbol not in self._markets:
                self._watch(symbol)
            self._listeners.setdefault(symbol, set()).add(subscriber)
        for symbol in subscriber.follows - wanted:
            self._listeners[symbol].discard(subscriber)
            if not self._listeners[symbol]:
                del self._listeners[symbol]
                self._markets.pop(symbol).dropped = True
        subscriber.follows = wanted
        if len(self._wakes) > 2 * len(self._markets) + 100:
            self._wakes = [entry for entry in self._wakes if not entry[2].dropped]
            heapify(self._wakes)

    def _look(self, plan: list[Planned], now: int) -> None:
        """What happened up to now, put where it waits for its time."""
        while self._wakes and self._wakes[0][0] <= now:
            market = heappop(self._wakes)[2]
            if market.dropped:
                continue
            for trade in market.until(now):
                for due in pushes(plan, market.symbol, trade, self._faults.seed):
                    entry = (due, next(self._serial), market.symbol, trade)
                    heappush(self._pending, entry)
            heappush(self._wakes, (market.wake, next(self._serial), market))

    def _due(self, plan: list[Planned], now: int) -> Iterator[tuple[str, list[Trade]]]:
        """What is pushed now, by market."""
        rows: dict[str, list[Trade]] = {}
        while self._pending and self._pending[0][0] <= now:
            due, _, symbol, trade = heappop(self._pending)
            if not self._withheld(plan, due, symbol):
                rows.setdefault(symbol, []).append(trade)
        for symbol, trades in rows.items():
            for place in range(0, len(trades), MOST_IN_FRAME):
                yield symbol, trades[place : place + MOST_IN_FRAME]

    def _withheld(self, plan: list[Planned], time: int, symbol: str = "") -> bool:
        planned = silent(plan, time, symbol)
        if planned:
            planned.hits += 1
        return bool(planned)

    def _push(self, symbol: str, trades: list[Trade]) -> None:
        """To each what happened since it subscribed: for nearly all that is the same frame."""
        shared: bytes | None = None
        for subscriber in self._listeners.get(symbol, ()):
            since = subscriber.subscription.since[symbol]
            mine = [trade for trade in trades if trade.time > since]
            if mine == trades:
                shared = shared or frame(trades_message(symbol, trades, self._at))
                subscriber.outbox.put(shared)
            elif mine:
                subscriber.outbox.put(frame(trades_message(symbol, mine, self._at)))
