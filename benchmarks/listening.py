"""How long after its commit a hundred listeners hear of a candle: a real service on SQLite, the
simulator, and one process that listens to all hundred connections."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.memory import answers
from tests.service.ears import Ear, listen
from tests.support import eventually, free_port

LISTENERS = 100
SECONDS = 60
SETTLED_SECONDS = 5


def run(folder: Path) -> list[Row]:
    """Five markets of trades in windows of 1 and 5 s, so that many windows close."""
    simulator_port, port = free_port(), free_port()
    exchange = f"127.0.0.1:{simulator_port}"
    data = folder / "listening"
    environment = {
        **os.environ,
        "DATA_DIR": str(data),
        "PORT": str(port),
        "INTERVALS": "1s,5s",
        "SOURCE": "trades",
        "WARM_START_MINUTES": "0",
        "POLONIEX_URL": f"http://{exchange}",
        "POLONIEX_WS_URL": f"ws://{exchange}/ws/public",
        "DATABASE_URL": "",
    }
    flask = [sys.executable, "-m", "flask"]
    subprocess.run([*flask, "db", "upgrade"], env=environment, check=True, capture_output=True)
    quiet = {"env": environment, "stdout": subprocess.DEVNULL}
    with (
        subprocess.Popen([*flask, "simulate", "--port", str(simulator_port)], **quiet) as simulator,
        subprocess.Popen([*flask, "run"], start_new_session=True, **quiet) as service,
    ):
        ears = [Ear(port) for _ in range(LISTENERS)]
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 30)
            listen(ears, SETTLED_SECONDS)
            known = set().union(*(ear.heard for ear in ears))
            listen(ears, SECONDS)
        finally:
            service.terminate()
            simulator.terminate()
            for ear in ears:
                if ear.socket is not None:
                    ear.leave(rudely=False)
    return [_row(sorted(_delays(data / "candlekeep.db", ears, known)))]


def _delays(database: Path, ears: Sequence[Ear], known: set[object]) -> list[float]:
    """Milliseconds from just before the commit until each ear had heard, of what was not known at
    the beginning."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT symbol, interval_ms, open_time, stored_at FROM candles"
            " JOIN series ON series.id = series_id WHERE revision = 1"
        ).fetchall()
    connection.close()
    stored = {
        ("candle", symbol, f"{length // 1000}s", time, 1): at for symbol, length, time, at in rows
    }
    return [
        heard * 1000 - stored[key]
        for ear in ears
        for key, heard in ear.at.items()
        if key in stored and key not in known
    ]


def _row(delays: list[float]) -> Row:
    median, late = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    what = f"from commit to event, {LISTENERS} listeners, 99 of 100"
    spread = f"median {median:.0f} ms, {len(delays)} events"
    return Row(what, f"{late:.0f} ms", spread, "under 100 ms")
