"""Memory of the whole service while it builds 3,000 markets in three intervals."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.measure import Row, megabytes
from tests.support import eventually, free_port

MARKETS = 3_000


def run(folder: Path, minutes: float) -> list[Row]:
    """The service on SQLite against the simulator, for `minutes`."""
    simulator_port, port = free_port(), free_port()
    exchange = f"http://127.0.0.1:{simulator_port}"
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "memory"),
        "SYMBOLS": "all",
        "PORT": str(port),
        "POLONIEX_URL": exchange,
        "POLONIEX_LEGACY_URL": exchange,
        "DATABASE_URL": "",
    }
    flask = [sys.executable, "-m", "flask"]
    subprocess.run([*flask, "db", "upgrade"], env=environment, check=True, capture_output=True)
    simulate = [*flask, "simulate", "--port", str(simulator_port), "--markets", str(MARKETS)]
    with (
        subprocess.Popen(simulate, env=environment, stdout=subprocess.DEVNULL) as simulator,
        subprocess.Popen(
            [*flask, "run"], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        ) as service,
    ):
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 30)
            first = megabytes(service.pid)
            time.sleep(minutes * 60)
            last = megabytes(service.pid)
        finally:
            service.terminate()
            simulator.terminate()
    what = f"memory, {MARKETS} markets, 3 intervals, after {minutes:g} min"
    return [Row(what, f"{last:.0f} MB", f"from {first:.0f} MB", "under 250 MB")]


def answers(url: str) -> bool:
    """Whether a service is there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
