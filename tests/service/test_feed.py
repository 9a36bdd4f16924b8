"""`candlekeep feed` beside the whole service, which is killed meanwhile."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.simulator.server import Server
from tests.support import eventually

CANDLEKEEP = str(Path(sys.executable).with_name("candlekeep"))


@pytest.mark.campaign
def test_each_candle_that_closes_is_told_once_whatever_happens_to_the_service(
    make_service, tmp_path
):
    with Server() as simulator:
        urls = {"POLONIEX_URL": simulator.url, "POLONIEX_LEGACY_URL": simulator.url}
        service = make_service(INTERVALS="5s,1m", **urls)
        assert service.flask("db", "upgrade").returncode == 0
        service.start()
        eventually(service.ready, 20)
        out = tmp_path / "candles"
        with out.open("wb") as told:
            client = subprocess.Popen(
                [CANDLEKEEP, "feed", "5s", "1", "--format", "ndjson", "--url", service.base],
                stdout=told,
                cwd=tmp_path,
            )
        eventually(lambda: len(out.read_bytes().splitlines()) > 5, 30)
        before = len(out.read_bytes().splitlines())
        service.kill(signal.SIGKILL)
        service.start()
        eventually(lambda: len(out.read_bytes().splitlines()) > before + 20, 60)
        client.send_signal(signal.SIGINT)
        assert client.wait(10) == 0
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        kinds = [row.pop("type") for row in rows]
        first, last = rows[5]["open_time"], rows[-1]["open_time"]
        path = f"/candlesticks?interval=5s&limit=1000&start={first}&end={last}"
        stored = service.get(path)["data"]
    closed = [row for row, kind in zip(rows, kinds, strict=True) if kind == "candle"]
    seen = [row for row in closed if first <= row["open_time"] < last]
    assert len({(row["symbol"], row["open_time"]) for row in closed}) == len(closed)
    assert {(row["symbol"], row["open_time"]) for row in seen} == {
        (row["symbol"], row["open_time"]) for row in stored
    }
    for row in stored:
        versions = [one for one in rows if one["open_time"] == row["open_time"]]
        assert any(row.items() <= one.items() for one in versions)
