"""`flask rebuild --apply` as a process of its own, with the service and without it, after somebody
has changed what is stored."""

import os
import signal
from decimal import Decimal
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, select, text

from app.simulator.server import Server
from app.storage.tables import candle_revisions, candles
from app.verifying.cli import rebuild, verify
from tests.support import eventually

SECOND = 1000


@pytest.fixture
def service(make_service):
    with Server(markets=2) as market:
        ws = market.url.replace("http", "ws", 1) + "/ws/public"
        found = make_service(
            "one",
            SOURCE="trades",
            SYMBOLS="BTC_USDT",
            INTERVALS="1s,5s,10s",
            POLONIEX_URL=market.url,
            POLONIEX_WS_URL=ws,
        )
        found.upgrade()
        found.start()
        eventually(found.ready, 20)
        eventually(lambda: found.get("/candlesticks?interval=10s&min_coverage=1")["data"], 40)
        yield found


def run(service, statement, write=False):
    engine = create_engine(f"sqlite:///{service.environment['DATA_DIR']}/candlekeep.db")
    try:
        with engine.begin() as connection:
            result = connection.execute(statement)
            return None if write else result.all()
    finally:
        engine.dispose()


def ask(service, command, *arguments):
    """A command that only reads, in the process of the tests."""
    with patch.dict(os.environ, service.environment, clear=True):
        return CliRunner().invoke(command, arguments)


def flip(service):
    """Raise the high of a candle of a second and of its ten seconds; where they are."""
    whole = service.get("/candlesticks?interval=10s&min_coverage=1")["data"][0]["open_time"]
    query = select(candles.c.open_time).where(
        candles.c.interval_ms == SECOND, candles.c.open_time.between(whole, whole + 9 * SECOND)
    )
    second = run(service, query.order_by(candles.c.open_time))[0][0]
    for interval, time in ((SECOND, second), (10 * SECOND, whole)):
        change = "UPDATE candles SET high = '999999' WHERE interval_ms = :i AND open_time = :t"
        run(service, text(change).bindparams(i=interval, t=time), write=True)
    return whole, second


@pytest.mark.parametrize("alone", [False, True])
def test_what_was_changed_is_put_right_in_the_open(service, alone):
    if alone:
        service.kill(signal.SIGTERM)
    whole, second = flip(service) if not alone else flip_stopped(service)
    found = ask(service, verify)
    assert found.exit_code == 1 and "high: stored 999999" in found.stdout
    arguments = ["--start", str(whole), "--end", str(whole + 10 * SECOND)]
    shown = ask(service, rebuild, *arguments)
    assert shown.exit_code == 1 and "would change" in shown.stdout
    assert run(service, select(candle_revisions)) == [], "it only looked"
    done = service.flask("rebuild", *arguments, "--apply")
    assert done.returncode == 0 and "all was corrected" in done.stdout, done.stdout + done.stderr
    changed = select(candles.c.interval_ms, candles.c.open_time, candles.c.cause).where(
        candles.c.revision > 1
    )
    assert (SECOND, second, "rebuild") in run(service, changed)
    assert (10 * SECOND, whole, "rebuild") in run(service, changed)
    assert {row[2] for row in run(service, changed)} == {"rebuild"}
    assert len(run(service, changed)) == len(run(service, select(candle_revisions))) <= 3
    assert ask(service, verify).exit_code == 0


def flip_stopped(service):
    """The same without the service."""
    query = select(candles.c.open_time).where(
        candles.c.interval_ms == 10 * SECOND, candles.c.coverage == Decimal(1)
    )
    whole = run(service, query.order_by(candles.c.open_time))[0][0]
    service.get = lambda _: {"data": [{"open_time": whole}]}
    return flip(service)
