from concurrent.futures import ThreadPoolExecutor

from app.market.coverage import ALL, FOREVER
from app.storage import subscriptions
from tests.support import begin_counting

FEED = "poloniex", "ticker"


def rows(engine):
    return [(row.symbol, row.since, row.until, row.pending) for row in subscriptions.all_of(engine)]


def test_a_start_is_pending_until_an_owner_takes_it_up(engine):
    assert subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5) == ["BTC_USDT"]
    (row,) = subscriptions.all_of(engine)
    assert (row.since, row.until, row.pending, row.active) == (5, FOREVER, True, True)
    begin_counting(engine, [row.id], since=9)
    begin_counting(engine, [row.id], since=12)
    assert rows(engine) == [("BTC_USDT", 9, FOREVER, False)]


def test_what_runs_is_not_started_again(engine):
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
    assert subscriptions.start(engine, *FEED, ["BTC_USDT", "ETH_USDT", "ETH_USDT"], since=6) == [
        "ETH_USDT"
    ]
    assert len(rows(engine)) == 2


def test_a_stop_is_remembered_and_the_next_start_is_another_row(engine):
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
    begin_counting(engine, [row.id for row in subscriptions.all_of(engine)], since=6)
    assert subscriptions.stop(engine, *FEED, "BTC_USDT", until=8)
    assert not subscriptions.stop(engine, *FEED, "BTC_USDT", until=9)
    assert subscriptions.start(engine, *FEED, ["BTC_USDT"], since=20) == ["BTC_USDT"]
    assert rows(engine) == [("BTC_USDT", 6, 8, False), ("BTC_USDT", 20, FOREVER, True)]


def test_a_seed_starts_only_what_was_never_started(engine):
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
    subscriptions.stop(engine, *FEED, "BTC_USDT", until=8)
    started = subscriptions.start(engine, *FEED, ["BTC_USDT", "ETH_USDT"], since=9, seed=True)
    assert started == ["ETH_USDT"]


def test_a_subscription_never_ends_before_it_began(engine):
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
    begin_counting(engine, [row.id for row in subscriptions.all_of(engine)], since=5)
    subscriptions.stop(engine, *FEED, "BTC_USDT", until=1)
    assert rows(engine) == [("BTC_USDT", 5, 6, False)]


def test_what_is_stopped_before_an_owner_has_taken_it_up_covers_no_time(engine):
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
    subscriptions.stop(engine, *FEED, "BTC_USDT", until=9)
    assert rows(engine) == [("BTC_USDT", 9, 9, False)]


def test_what_is_stopped_twice_in_a_millisecond_is_two_rows(engine):
    for _ in range(3):
        subscriptions.start(engine, *FEED, ["BTC_USDT"], since=5)
        assert subscriptions.stop(engine, *FEED, "BTC_USDT", until=8)
    subscriptions.start(engine, *FEED, ["ETH_USDT"], since=5)
    assert subscriptions.stop(engine, *FEED, "ETH_USDT", until=8)
    assert [row[2] for row in rows(engine)] == [8, 9, 10, 8]


def test_all_is_one_subscription(engine):
    subscriptions.start(engine, *FEED, [ALL], since=5)
    assert subscriptions.start(engine, *FEED, [ALL], since=6) == []
    assert rows(engine) == [(ALL, 5, FOREVER, True)]


def test_a_hundred_starts_at_once_leave_one(engine):
    def start(_):
        return subscriptions.start(engine, *FEED, ["BTC_USDT", "ETH_USDT"], since=5)

    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(start, range(100)))
    assert sorted(symbol for symbols in started for symbol in symbols) == ["BTC_USDT", "ETH_USDT"]
    assert len(rows(engine)) == 2
