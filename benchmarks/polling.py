"""One poll of 1,100 markets, from bytes to folded candles, beside the bare decode of the bytes."""

import random
import statistics

import msgspec

from app.exchanges.base import Answer
from app.exchanges.decode import ChangedRows
from app.exchanges.poloniex import parse_prices
from app.market.coverage import ALL, FOREVER
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.subscriptions import Subscriptions
from app.market.ticks import OK, Batch
from app.pipeline.changes import Changes
from app.ticklog.records import encode, entries
from benchmarks.measure import Row, timed, times

MARKETS = 1_100
TRADING = 15
"""Markets that trade between two polls; in the recorded answer 85 of 1,087 had within a minute."""
POLLS = 600
START = 1_700_000_400_000


class _Row(msgspec.Struct, gc=False):
    symbol: str
    price: str
    time: int


def _bodies(random_source: random.Random) -> list[bytes]:
    rows = [
        {
            "symbol": f"COIN{number}_USDT",
            "price": str(number + 1),
            "time": START - number * 60_000,
            "dailyChange": "0.0123",
            "ts": START,
        }
        for number in range(MARKETS)
    ]
    bodies = []
    for poll in range(POLLS):
        for row in random_source.sample(rows, TRADING):
            row["time"] = START + poll * 1_000 - random_source.randrange(900)
            row["price"] = f"{random_source.uniform(1, 2):.5f}"
        bodies.append(msgspec.json.encode(rows))
    return bodies


class _Path:
    """What a poll goes through, but for the socket and the disk."""

    def __init__(self) -> None:
        self.raw, self.changes = ChangedRows(), Changes()
        self.fold = FeedFold((60_000, 300_000, 600_000), Pace(2_000, 2_000))
        self.watched = Subscriptions([(ALL, 0, FOREVER)])
        self.asked = START

    def take(self, body: bytes) -> None:
        answer = Answer(*parse_prices(body, self.raw))
        ticks, counted = self.changes.ticks(answer, self.asked, self.asked + 50)
        batch = Batch(self.asked, self.asked + 50, OK, ticks=ticks, rejected=dict(counted))
        (entry,) = entries(memoryview(encode(batch)), 0)
        assert entry.batch is not None
        self.fold.apply(entry.batch, self.watched)
        self.fold.take_closing(self.watched)
        self.asked += 1_000


def run() -> list[Row]:
    """Both ways side by side, body by body, so that a noisy moment hits both."""
    bodies = _bodies(random.Random(1))
    decoder = msgspec.json.Decoder(list[_Row])
    path = _Path()
    bare, whole = [], []
    for body in bodies:
        bare += times(lambda body=body: decoder.decode(body), 1)
        whole += times(lambda body=body: path.take(body), 1)
    ratios = [ours / theirs for ours, theirs in zip(whole[1:], bare[1:], strict=True)]
    middle = statistics.quantiles(ratios, n=10)
    return [
        timed(f"decode of {MARKETS} markets, bare", bare),
        timed(f"bytes to folded candles, {TRADING} markets trading", whole),
        Row(
            "  ratio",
            f"{statistics.median(ratios):.2f}",
            f"{middle[0]:.2f} .. {middle[-1]:.2f}",
            "at most 1.5",
        ),
    ]
