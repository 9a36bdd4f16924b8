"""An hour of candles and corrections in one go, and listeners that break off anywhere."""

import json
import random
from collections import Counter

import pytest

from app.api import events, stream
from app.live.channel import Channel
from app.pipeline.publishing import Publisher
from tests.api.conftest import MINUTE, candle
from tests.api.correcting import BEGIN, bar
from tests.support import seeds

SYMBOLS = ("BTC_USDT", "ETH_USDT", "XRP_USDT")
LENGTHS = {"1m": MINUTE, "5m": 5 * MINUTE, "10m": 10 * MINUTE}
LISTENERS, BREAKS = 20, 500


class Listener:
    """Reads as much as it likes of an answer, and comes back with the last id that it read."""

    def __init__(self, client):
        self._client, self.id, self.heard = client, "-", Counter()
        self.resets = Counter()
        self.answer, self._blocks = None, None

    def connect(self):
        self.answer = self._client.get("/stream", headers={"Last-Event-ID": self.id})
        assert self.answer.status_code == 200
        self._blocks = self._read(self.answer.response)

    def leave(self):
        self.answer.close()
        self.answer = None

    def _read(self, chunks):
        for chunk in chunks:
            yield from chunk.decode().split("\n\n")[:-1]

    def hear(self, most=10**9):
        """So many events, or all that there are: then two signs of life follow one another."""
        silent = 0
        while most and silent < 2:
            block = next(self._blocks, None)
            if block is None:
                self.leave()
                return
            silent = silent + 1 if block.endswith(": still here") else 0
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            self.id = fields.get("id", self.id)
            if fields.get("event") == "reset":
                self.resets[json.loads(fields["data"])["reason"]] += 1
            if fields.get("event") in ("candle", "correction"):
                row = json.loads(fields["data"])
                key = (row["symbol"], LENGTHS[row["interval"]], row["open_time"], row["revision"])
                self.heard[key] += 1
                most -= 1


@pytest.mark.parametrize("seed", seeds(1, 20))
def test_every_listener_has_heard_every_candle_once(app, store, client, monkeypatch, seed):
    # A sign of life instead of every wait.
    monkeypatch.setattr(stream, "COMMENT_SECONDS", 0.0)
    monkeypatch.setattr(events, "STATUS_SECONDS", 0.0)
    hub = app.extensions["candlekeep"].hub
    # So few that some fall behind.
    hub.channel = Channel(kept=6)
    publisher = Publisher(app.extensions["candlekeep"].engine, hub)
    publisher.step(0.0)
    chance, breaks, live = random.Random(seed), 0, 0
    store.intervals = tuple(LENGTHS.values())
    listeners = [Listener(client) for _ in range(LISTENERS)]
    for minute in range(1, 61):
        _close(store, minute, chance)
        before = sum(listener.answer is not None for listener in listeners)
        if chance.random() < 0.8:
            publisher.step(float(minute))
            live += before
        for listener in listeners * 2:
            if listener.answer is None and chance.random() < 0.7:
                listener.connect()
            if listener.answer is not None and chance.random() < 0.8:
                listener.hear(chance.choice((0, 1, 2, 5, 10**9)))
            if listener.answer is not None and chance.random() < 0.5:
                listener.leave()
                breaks += 1
    publisher.step(61.0)
    for listener in listeners:
        for _ in range(20):
            if listener.answer is None:
                listener.connect()
            listener.hear()
        assert _has_all(listener, store)
        assert set(listener.heard.values()) == {1}
        listener.leave()
    assert sum(listener.resets["too_slow"] for listener in listeners)
    assert breaks >= BREAKS and live >= 60 and not hub.channel.listening


def _close(store, minute, chance):
    """The windows that end with this minute, of some markets, and sometimes a late trade."""
    end = BEGIN + minute * MINUTE
    found = [
        candle(end - length, symbol, length)
        for symbol in SYMBOLS
        if chance.random() < 0.8 or minute == 1
        for length in LENGTHS.values()
        if end % length == 0
    ]
    store.close(found, end)
    if chance.random() < 0.3:
        window = end - chance.randint(1, minute) * MINUTE
        late = {(chance.choice(SYMBOLS), window): bar(window, count=4 + minute)}
        store.close([], end, late=late)


def _has_all(listener, store):
    """Every row there ever was, the replaced ones too."""
    columns = "symbol, interval_ms, open_time, revision"
    with store.feed._engine.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT {columns} FROM candles JOIN series ON series.id = series_id UNION ALL"
            f" SELECT {columns} FROM candle_revisions JOIN series ON series.id = series_id"
        ).all()
    assert len(rows) > 150
    return listener.heard.keys() == {tuple(row) for row in rows}
