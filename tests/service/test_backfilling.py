"""`flask backfill` as a process of its own, against the simulated exchange, with the service and
without; killed again and again."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, select

from app import create_app
from app.backfilling import backfill as backfill_command
from app.market.candles import Fold
from app.market.ticks import Tick
from app.simulator.server import Server
from app.storage.tables import candle_revisions, candles, series, tasks
from config import load
from tests.service.conftest import ROOT
from tests.support import eventually

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SYMBOL = "LTC_USDT"


@pytest.fixture
def market():
    with Server(markets=8, rate_limit=200) as server:
        yield server


@pytest.fixture
def service(make_service, market):
    ws = market.url.replace("http", "ws", 1) + "/ws/public"
    found = make_service(
        "one", SOURCE="trades", SYMBOLS="", POLONIEX_URL=market.url, POLONIEX_WS_URL=ws
    )
    found.upgrade()
    return found


def backfill(service, start, end=None, symbol=SYMBOL):
    moments = ["--start", iso(start), *(["--end", iso(end)] if end else [])]
    return ["backfill", "--symbol", symbol, *moments]


def iso(moment):
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat()


def truth(market, start, end):
    """(open time, open, high, low, close, volume, quote volume, trades) of each minute with
    trades, folded from them one by one."""
    found = {}
    for number, trade in enumerate(market.exchange.trades(SYMBOL, start, end)):
        window = trade.time - trade.time % MINUTE
        fold = found.setdefault(window, Fold())
        fold.extend(
            [Tick(SYMBOL, trade.time, trade.price, False, trade.quantity, trade.id, trade.side)],
            [number],
        )
    bars = {window: fold.bar() for window, fold in found.items()}
    return [(window, *bar[:5], bar.volume, bar.quote_volume) for window, bar in bars.items()]


NAMES = ("open_time", "open", "high", "low", "close", "tick_count", "volume", "quote_volume")


def stored(service, table=candles, interval=MINUTE):
    engine = create_engine(f"sqlite:///{service.environment['DATA_DIR']}/candlekeep.db")
    try:
        with engine.connect() as connection:
            query = select(*(table.c[name] for name in NAMES), table.c.origin).join(series)
            query = query.where(series.c.symbol == SYMBOL, table.c.interval_ms == interval)
            return [tuple(row) for row in connection.execute(query.order_by(table.c.open_time))]
    finally:
        engine.dispose()


def yesterday():
    now = int(time.time() * 1000)
    return now - now % DAY - DAY


def test_it_brings_the_candles_of_the_exchange_whole_and_changes_nothing_when_called_again(
    service, market
):
    start, end = yesterday(), yesterday() + 3 * HOUR
    done = service.flask(*backfill(service, start, end))
    assert done.returncode == 0, done.stdout + done.stderr
    expected = truth(market, start, end)
    assert f"{len(expected)} candles of 1m in 180 windows" in done.stdout
    assert stored(service) == [(*row, "exchange") for row in expected]
    assert [row[0] % (10 * MINUTE) for row in stored(service, interval=10 * MINUTE)]
    again = service.flask(*backfill(service, start, end))
    assert again.returncode == 0, again.stderr
    assert stored(service) == [(*row, "exchange") for row in expected]
    assert stored(service, candle_revisions) == []


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.campaign)])
def test_killed_again_and_again_it_ends_the_same(service, market, kills):
    start, end = yesterday() - 20 * DAY, yesterday() - 10 * DAY
    command = [sys.executable, "-m", "flask", *backfill(service, start, end)]
    for _ in range(kills):
        process = subprocess.Popen(
            command, cwd=ROOT, env=service.environment, stdout=subprocess.DEVNULL
        )
        kill_when_it_has_done_more(service, process)
    done = service.flask(*backfill(service, start, end))
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(service) == [(*row, "exchange") for row in truth(market, start, end)]
    assert stored(service, candle_revisions) == []


def kill_when_it_has_done_more(service, process):
    reached = progress(service)
    eventually(lambda: progress(service) > reached or process.poll() is not None, 20)
    assert process.poll() is None, "it was done before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def progress(service):
    engine = create_engine(f"sqlite:///{service.environment['DATA_DIR']}/candlekeep.db")
    try:
        with engine.connect() as connection:
            return connection.scalar(select(tasks.c.reached).order_by(tasks.c.id.desc())) or 0
    finally:
        engine.dispose()


def test_the_running_service_is_asked_and_goes_on_building(service, market):
    service.environment["SYMBOLS"] = "BTC_USDT"
    service.start()
    eventually(service.ready, 20)
    # The past of the series that it follows comes by itself.
    tens = "/candlesticks?symbol=BTC_USDT&interval=10m&limit=49"
    eventually(lambda: len(service.get(tens)["data"]) == 49, 20)
    rows = service.get(tens)["data"]
    assert len(rows) == 49 and {row["origin"] for row in rows} == {"exchange"}
    start, end = yesterday(), yesterday() + 3 * HOUR
    done = service.flask(*backfill(service, start, end))
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(service) == [(*row, "exchange") for row in truth(market, start, end)]
    assert service.broken() == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--symbol", "b@d", "--start", "2026-01-01"], "no symbol such as BTC_USDT"),
        (["--symbol", SYMBOL, "--start", "tomorrow"], "is not a time"),
        (["--symbol", SYMBOL, "--start", "2999-01-01"], "--start is not before --end"),
        (["--symbol", SYMBOL], "--start"),
        (["--symbol", SYMBOL, "--start", "2026-01-01", "--exchange", "polo"], "poloniex"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(service, monkeypatch, arguments, expected):
    """In the process of the tests; the next test starts one."""
    app = create_app(load(service.environment))
    monkeypatch.setitem(sys.modules, "wsgi", SimpleNamespace(app=app, make_runner=None))
    done = CliRunner().invoke(backfill_command, arguments)
    app.extensions["candlekeep"].engine.dispose()
    assert done.exit_code == 2 and expected in done.stderr
    assert progress(service) == 0


def test_a_symbol_that_is_not_listed_fails_by_name(service):
    done = service.flask(*backfill(service, yesterday(), yesterday() + HOUR, symbol="FOO_BAR"))
    assert done.returncode == 1 and "poloniex does not list FOO_BAR" in done.stderr
