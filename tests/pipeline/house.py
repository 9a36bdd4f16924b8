"""A log, a store, and builders that come and go, of a polled feed; only the clock is ours."""

from decimal import Decimal

from sqlalchemy import select

from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import Batch, Tick
from app.pipeline.builder import Builder
from app.storage import subscriptions
from app.storage.database import reading
from app.storage.feeds import FeedStore
from app.storage.tables import candles, feed_positions, unobserved
from app.ticklog.files import SegmentLog

FEED = "poloniex", "ticker"
START = 1_700_000_400_000
MINUTE = 60_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)


def second(number, price=None, **options):
    ticks = [Tick("BTC_USDT", START + number * 1000 - 200, Decimal(price))] if price else []
    asked = START + number * 1000
    return Batch(asked, asked + 20, options.pop("outcome", "ok"), ticks=ticks, **options)


class House:
    """A log, a store, and builders that come and go."""

    intervals = INTERVALS

    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder
        self.log = SegmentLog(folder, "identity")
        self.store = FeedStore(engine, *FEED)
        self.now = 0
        subscriptions.start(engine, *FEED, [ALL], since=START)
        self.builder = self.new_builder()
        self.builder.load()

    def new_builder(self):
        self.state = FeedState()
        fold = FeedFold(self.intervals, Pace(2_000, 2_000))
        return Builder(fold, self.log, self.store, self.state, lambda: self.now)

    def restart(self, intervals=None):
        self.intervals = intervals or self.intervals
        self.log.close()
        self.log = SegmentLog(self.folder, "identity")
        self.store = FeedStore(self.engine, *FEED)
        self.builder = self.new_builder()
        self.builder.load()

    def live(self, *batches):
        for batch in batches:
            self.log.append(batch)
            self.now = batch.answered
            self.builder.step(self.now)

    def rows(self):
        columns = ("interval_ms", "open_time", "open", "high", "low", "close", "tick_count")
        query = select(*(candles.c[name] for name in (*columns, "coverage", "reasons")))
        with reading(self.engine) as connection:
            ordered = query.order_by(candles.c.open_time, candles.c.interval_ms)
            return connection.execute(ordered).all()

    def position(self):
        with reading(self.engine) as connection:
            return connection.execute(select(feed_positions)).one()

    def spans(self):
        with reading(self.engine) as connection:
            columns = unobserved.c.start_time, unobserved.c.end_time, unobserved.c.reason
            return [
                ((start - START) // 1000, (end - START) // 1000, reason)
                for start, end, reason in connection.execute(select(*columns).order_by(columns[0]))
            ]


def prices(start, end):
    return [second(number, str(number % 9 + 1)) for number in range(start, end)]
