"""A program of its own: folds a few minutes, stores them, asks the API, and prints what it was
told, in every locale and time zone that it is given."""

import itertools
import json
import locale
import os
import sys
import tempfile
import time

from app import create_app
from app.exchanges.http import header_date
from app.storage.tables import db
from config import load
from tests.api.conftest import Store
from tests.market.test_feed import MINUTE, Feed, poll, tick
from tests.market.test_feed import NOON as FEED_START

MOMENTS = {
    # Clocks are put forward or back in some zone, or a day is missing or comes twice.
    "2025-03-09T07:00:00Z": "America/New_York, forward",
    "2025-10-04T15:30:00Z": "Australia/Lord_Howe, forward by half an hour",
    "2011-12-30T10:00:00Z": "Pacific/Apia, a day left out",
}
TURKISH = "LIT_USDT"


def moment(text: str) -> int:
    """Epoch ms without any help of the system's."""
    days = {"2025-03-09": 20156, "2025-10-04": 20365, "2011-12-30": 15338}
    hours, minutes, _ = text[11:-1].split(":")
    return (days[text[:10]] * 1440 + int(hours) * 60 + int(minutes)) * MINUTE


def folded() -> list[Feed]:
    """Four minutes around each of the moments."""
    feeds = []
    for text in sorted(MOMENTS):
        feeds.append(Feed())
        shift = moment(text) - FEED_START - 2 * MINUTE
        for second in range(0, 250, 10):
            at = shift + second * 1000
            feeds[-1].take(poll(at, tick(at, f"{second % 7 + 1}.50", TURKISH)))
    return feeds


def told(app) -> list[object]:
    """What readers see."""
    found: list[object] = [header_date("Sun, 30 Mar 2025 02:30:00 -0000")]
    found.append(header_date("Sun, 30 Mar 2025 02:30:00 GMT"))
    client = app.test_client()
    for text in MOMENTS:
        begin = text.replace(":00Z", "")
        query = f"symbol=lit_usdt&start={text}&limit=2"
        for path in (
            f"/candlesticks?{query}&times=iso",
            f"/candlesticks?{query}&format=csv",
            f"/candlesticks?{query}&interval=1d",
            f"/candlesticks?symbol=lit/usdt&start={begin}&end={text[:10]}T23:59",
            f"/gaps?symbol=LIT_USDT&start={begin}&end={text[:10]}T23:59&limit=3",
        ):
            answer = client.get(path)
            found.append((path, answer.status_code, answer.get_data(as_text=True)))
    return found


def main() -> None:
    """`zoned.py LOCALE,... ZONE,...`: a JSON object of what was told, by locale and zone; with the
    hours from UTC and the decimal point of the system there. Locales that the system does not have
    are left out. Candles are stored in the first, folded and read in all."""
    said: dict[str, dict[str, object]] = {}
    first = None
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(load({"DATA_DIR": folder}))
        app.extensions["candlekeep"].hub.clock = lambda: 1_770_000_000_000
        with app.app_context():
            db.create_all()
        store = Store(app.extensions["candlekeep"].engine)
        for name, zone in itertools.product(*(part.split(",") for part in sys.argv[1:])):
            try:
                locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
            os.environ["TZ"] = zone
            time.tzset()
            feeds = folded()
            if first is None:
                first = [feed.candles for feed in feeds]
                for feed in feeds:
                    store.close(feed.candles, feed.fold.observation.closed_through)
            same = [feed.candles for feed in feeds] == first
            hours = time.localtime(1_750_000_000).tm_gmtoff / 3600
            point = locale.localeconv()["decimal_point"]
            said.setdefault(name, {})[zone] = {"system": [hours, point], "told": [same, *told(app)]}
        app.extensions["candlekeep"].engine.dispose()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
