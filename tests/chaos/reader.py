"""A client that reads candles all the time and forgets nothing: whatever it was shown must stay, or
be replaced by a later revision while `/candlesticks/revisions` lists what stood before."""

import threading
from http.client import HTTPException
from typing import Any, Self

from tests.chaos.oracle import SOURCES, Row, Window, pages, window_of
from tests.service.tape import LENGTHS

PAUSE_SECONDS = 0.3
CHANGED_BY_TIME = ("exchange", "source", "symbol", "interval", "open_time", "close_time")
KEPT = ("revision", "closed")

Key = tuple[str, Window]


def said(row: Row) -> Row:
    """What a candle says of its window, as revisions repeat it."""
    return {name: value for name, value in row.items() if name not in (*CHANGED_BY_TIME, *KEPT)}


class Reader:
    """`with Reader(service) as reader`: polls the newest candles of both sources in a thread."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._seen: dict[Key, Row] = {}
        self._decided = dict.fromkeys(SOURCES, 0)
        self._replaced: dict[Key, dict[int, Row | None]] = {}
        self.violations: list[str] = []
        self.reads = self.failures = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            for source in SOURCES:
                try:
                    path = f"/candlesticks?source={source}&interval={','.join(LENGTHS)}&limit=1000"
                    answer = self._service.get(path)
                except (OSError, HTTPException, ValueError):
                    self.failures += 1
                else:
                    self.reads += 1
                    self.take(source, answer["data"], answer["meta"]["closed_through"] or 0)

    def take(self, source: str, rows: list[Row], closed_through: int) -> None:
        """The newest rows of a source, as far as it is decided (ms)."""
        decided = self._decided[source]
        first = min((row["open_time"] for row in rows), default=closed_through)
        for row in rows:
            self._compare((source, window_of(row)), row, decided)
        there = {(source, window_of(row)) for row in rows}
        # A page may begin in the midst of the rows of one moment.
        gone = [key for key in self._seen.keys() - there if key[0] == source and key[1][2] > first]
        self.violations += [f"{key}: vanished" for key in gone]
        if closed_through < decided:
            self.violations.append(f"{source}: decided up to {decided}, then {closed_through}")
        self._decided[source] = max(decided, closed_through)

    def _compare(self, key: Key, row: Row, decided: int) -> None:
        before = self._seen.get(key)
        self._seen[key] = row
        if before is None:
            if row["open_time"] + LENGTHS[row["interval"]] <= decided:
                # Its window was decided, and empty.
                self._replaced.setdefault(key, {})[1] = None
        elif row["revision"] < before["revision"]:
            self.violations.append(f"{key}: revision {before['revision']}, then {row['revision']}")
        elif row["revision"] > before["revision"]:
            self._replaced.setdefault(key, {})[before["revision"] + 1] = said(before)
        elif row != before:
            self.violations.append(f"{key}: changed silently, {before} became {row}")

    @property
    def replaced(self) -> int:
        """How many revisions it met."""
        return sum(map(len, self._replaced.values()))

    def problems(self, service: Any, start: int) -> list[str]:
        """What is not as this reader was shown it, and is not listed as a revision; of windows from
        `start` (ms) on. It is to be stopped before: what it saw meanwhile would be compared with
        what was listed earlier."""
        found = []
        for source in SOURCES:
            found += self._gone(service, source, start)
            found += self._unlisted(service, source, start)
        return self.violations + found

    def _gone(self, service: Any, source: str, start: int) -> list[str]:
        path = f"/candlesticks?source={source}&interval={','.join(LENGTHS)}&limit=1000"
        rows = {window_of(row): row for row in pages(service, f"{path}&start={start}")}
        for window, row in rows.items():
            self._compare((source, window), row, 0)
        mine = {window for kind, window in self._seen if kind == source and window[2] >= start}
        return [f"{source} {window}: vanished" for window in sorted(mine - rows.keys())]

    def _unlisted(self, service: Any, source: str, start: int) -> list[str]:
        path = f"/candlesticks/revisions?source={source}&start={start}&limit=1000"
        listed = {
            (window_of(change), change["revision"]): change["before"]
            for change in pages(service, path)
        }
        return [
            f"{key}: what stood before revision {revision} is not listed as it was"
            for key, changes in self._replaced.items()
            for revision, before in changes.items()
            if key[0] == source and key[1][2] >= start
            if listed.get((key[1], revision), "nothing") != before
        ]
