"""The venues' own candles, from the trades that they published: every minute, every digit."""

import csv
from decimal import Decimal

import pytest

from app.folding.reading import read_rows
from app.folding.running import Summary, fold_live, fold_whole
from app.folding.writing import CANDLE, CSV, LIVE, Lines
from tests.recorded import FOLDER, needs_recordings

VERIFIED = FOLDER / "verified"
NUMBERS = "open", "high", "low", "close", "volume"


def table(name):
    with (VERIFIED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def as_input():
    """In the columns that the command takes, each trade received 50 ms after it happened."""
    yield "symbol,time,id,size,side,price,received\r\n"
    for row in sorted(table("trades.csv"), key=lambda row: int(row["ts_ns"])):
        received = Decimal(row["ts_ns"]).scaleb(-9) + Decimal("0.05")
        values = row["symbol"], row["ts_ns"], row["trade_id"], row["qty"], row["side"]
        yield ",".join((*values, row["price"], f"{received:f}")) + "\r\n"


def official():
    """The candles of the minutes that the trades cover whole."""
    whole = {
        row["symbol"]: range(int(row["first_full_minute"]), int(row["last_full_minute"]) + 1)
        for row in table("windows.csv")
    }
    return {
        (row["symbol"], int(row["open_ts"]) * 1000): row
        for row in table("klines_1m.csv")
        if int(row["open_ts"]) in whole[row["symbol"]]
    }


@needs_recordings
@pytest.mark.parametrize("run, columns", [(fold_whole, CANDLE), (fold_live, LIVE)])
def test_folded_trades_are_the_official_candle_in_every_minute(run, columns):
    summary = Summary()
    rows = read_rows(as_input(), live=run is fold_live)
    chunks = run(rows, (60_000, 300_000), Lines(CSV, columns), summary)
    text = b"".join(chunks).decode()
    found = {
        (row["symbol"], int(row["open_time"])): row
        for row in csv.DictReader(text.splitlines(), columns)
        if row["interval"] == "1m"
    }
    compared = 0
    for place, expected in official().items():
        if not Decimal(expected["volume"]):
            assert place not in found
            continue
        candle = found[place]
        assert [Decimal(candle[name]) for name in NUMBERS] == [
            Decimal(expected[name]) for name in NUMBERS
        ], place
        assert expected["trades"] in ("", candle["tick_count"]), place
        compared += 1
    assert compared == 1757
    assert (summary.rows, summary.rejected.total(), summary.late) == (6007, 0, 0)
