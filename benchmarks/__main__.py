"""Runs every benchmark and prints one table. Nothing here passes or fails."""

import sys
import tempfile
from pathlib import Path

from benchmarks import (
    backfilling,
    closing,
    exporting,
    listening,
    memory,
    polling,
    reading,
    streaming,
    ticklog,
)
from benchmarks.measure import Row, show


def main() -> None:
    """`python -m benchmarks [minutes of the memory run]`"""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for step, run in (
            ("one poll", polling.run),
            ("the tick log", lambda: ticklog.run(Path(folder) / "log")),
            ("closing a window", lambda: closing.run(Path(folder))),
            ("a month of history", lambda: backfilling.run(Path(folder))),
            ("streamed trades", lambda: streaming.run(Path(folder))),
            ("listening", lambda: listening.run(Path(folder))),
            ("reading", lambda: reading.run(Path(folder))),
            ("exporting", lambda: exporting.run(Path(folder))),
            (f"memory over {minutes:g} minutes", lambda: memory.run(Path(folder), minutes)),
        ):
            print(f"... {step}", file=sys.stderr, flush=True)
            rows += run()
    show(rows)


main()
