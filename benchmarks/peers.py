"""What a trade costs on its way into candles of 1, 5 and 10 minutes: here, and elsewhere.

Rounds of the three builders take turns, so that a noisy moment hits all of them, and the ratios are
those of one turn. The trades are in memory, in the form that each builder takes; a round must end
with the same candles for all.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time

from app.market.candles import Bar, Fold, merge
from app.market.sifting import by_symbol, sequences
from app.market.ticks import BUY, SELL, Tick
from benchmarks.measure import Row, show
from benchmarks.trades import COUNT, INTERVALS, MINUTE, Candle, by_minute, ending, trades

ROUNDS = 25
AIMS = {"cryptofeed": 8, "nautilus_trader": 4}
"""How many times as much a trade should cost there."""

Built = tuple[str, int, int, Bar]
"""Symbol, minutes, opened, bar."""

Minutes = list[tuple[int, list[Tick]]]


def candlekeep(minutes: Minutes) -> list[Built]:
    """As `flask fold` does with trades that are read and new: those of a window fold at once into
    the shortest interval, whose bars merge into the longer ones. Quote volume, taker's volume and
    ids come along."""
    built: list[Built] = []
    parts: dict[tuple[str, int], Bar | None] = {}
    for opened, found in minutes:
        closing = ending(opened + MINUTE)
        for symbol, ticks in by_symbol(found).items():
            fold = Fold()
            fold.extend(ticks, sequences(ticks, 0))
            for interval in INTERVALS:
                bar = merge(parts.pop((symbol, interval), None), fold.bar())
                assert bar is not None
                if interval in closing:
                    built.append((symbol, interval, opened + MINUTE - interval * MINUTE, bar))
                else:
                    parts[symbol, interval] = bar
    return built


def _prepared() -> Minutes:
    made = [
        Tick(symbol, moment, price, False, amount, number, BUY if number % 2 else SELL)
        for number, (symbol, moment, price, amount) in enumerate(trades())
    ]
    return by_minute(made)


def _ours(minutes: Minutes) -> tuple[float, list[Candle]]:
    gc.collect()
    begin = time.perf_counter()
    built = candlekeep(minutes)
    seconds = time.perf_counter() - begin
    return seconds, sorted(
        Candle(symbol, interval, opened, *map(str, (*bar[:4], bar.volume)))
        for symbol, interval, opened, bar in built
    )


def _theirs(peers: subprocess.Popen[str], name: str) -> tuple[float, list[Candle]]:
    assert peers.stdin is not None and peers.stdout is not None
    print(name, file=peers.stdin, flush=True)
    line = peers.stdout.readline()
    if not line:
        sys.exit("The process of the peers ended.")
    answer = json.loads(line)
    return answer["seconds"], [Candle(*row) for row in answer["candles"]]


def _turns(python: str) -> dict[str, list[float]]:
    """Microseconds per trade of each round. python: the interpreter that has the peers."""
    minutes = _prepared()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in ("candlekeep", *AIMS)}
    with subprocess.Popen(
        [python, "-m", "benchmarks.theirs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peers:
        for turn in range(ROUNDS + 1):
            seconds, expected = _ours(minutes)
            results = {"candlekeep": seconds}
            for name in AIMS:
                results[name], candles = _theirs(peers, name)
                assert candles == expected, f"{name} built other candles"
            if turn:  # the first one warms up
                for name, seconds in results.items():
                    found[name].append(seconds / COUNT * 1e6)
    return found


def _share_a_processor() -> None:
    """Neighbors of a virtual machine slow one of its processors and spare the other for seconds:
    ratios stray by half unless all builders, who take turns anyway, run on the same one."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _row(what: str, found: list[float], unit: str, aim: str = "") -> Row:
    """Median and the middle 80 %."""
    middle = statistics.quantiles(found, n=10)
    spread = f"{middle[0]:.2f} .. {middle[-1]:.2f}{unit}"
    return Row(what, f"{statistics.median(found):.2f}{unit}", spread, aim)


def main() -> None:
    """`python -m benchmarks.peers <the interpreter that has the peers>`"""
    _share_a_processor()
    found = _turns(sys.argv[1])
    rows = [_row(f"{name}, per trade, 3 intervals", found[name], " µs") for name in found]
    for name, aim in AIMS.items():
        ratios = [a / b for a, b in zip(found[name], found["candlekeep"], strict=True)]
        rows.append(_row(f"  {name} / candlekeep", ratios, "", f"at least {aim}"))
    show(rows)


main()
