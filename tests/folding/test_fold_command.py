"""`candlekeep fold` as a person types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main

CANDLEKEEP = str(Path(sys.executable).with_name("candlekeep"))
NOON = 1_700_000_400_000

# Seconds after noon: when it happened and when it was received; then id, price and size.
HARD_CASES = """\
19.95 20.00 1 10 0.1 the start, in mid-minute
21 21.05 2 11 0.1 with the next ones, ten times 0.1
22 22.05 3 9 0.1
23 23.05 4 10 0.1
24 24.05 5 10 0.1
25 25.05 6 10 0.1
26 26.05 7 10 0.1
27 27.05 8 10 0.1
28 28.05 9 10 0.1
29 29.05 10 10 0.1
70 70.05 12 21 1 unordered inside a window
65 70.05 11 20 1
70 71.05 12 21 1 redelivered
110 110.05 13 22 1
120 120.05 15 30 1 exactly on the boundary
119.9 120.8 14 23 1 late by 0.9 s over the boundary
150 150.05 16 0 1 a price of zero, which leaves no hole
160 160.05 17 32 1 and an empty minute after it
245 245.05 19 40 1 id 18 is missing
250 250.05 20 41 1
125 305 18 29 2 three minutes late
310 310.05 21 50 1
345 350 26 51 1 after an outage in mid-minute, with a hole in the ids
420 420.05 27 60 1 and silence
"""

# Seconds after noon of the line and the minutes of its window; then what it says.
TOLD = """\
62.05 1m 0 10 11 9 10 1 10 1 - 0.6666 started
122.8 1m 1 20 23 20 23 4 4 1 - 1 -
182.05 1m 2 30 32 30 32 2 2 1 - 1 -
245.05 1m 2 30 32 30 32 2 2 2 coverage 0.6666 sequence_gap
302.05 1m 4 40 41 40 41 2 2 1 - 0.9166 sequence_gap
302.05 5m 0 10 41 9 41 9 18 1 - 0.65 sequence_gap;started
305 1m 2 30 32 29 32 4 3 3 late_tick 1 -
305 1m 4 40 41 40 41 2 2 2 coverage 1 -
305 5m 0 10 41 9 41 11 19 2 late_tick 0.9333 started
362 1m 5 50 51 50 51 2 2 1 - 0.4166 sequence_gap
487.05 1m 7 60 60 60 60 1 1 1 - 0.0008 outage
607.05 5m 5 50 60 50 60 3 3 1 - 0.2835 outage;sequence_gap
607.05 10m 0 10 60 9 60 14 22 1 - 0.6084 outage;sequence_gap;started
"""
SHOWN = (
    *("closed_at", "interval", "open_time", "open", "high", "low", "close", "volume"),
    *("tick_count", "revision", "cause", "coverage", "reasons"),
)


def fold(text, *arguments):
    data = text.encode() if isinstance(text, str) else text
    return CliRunner().invoke(main, ["fold", *arguments], input=data)


def rows(result):
    names, *lines = [line.split(",") for line in result.stdout.splitlines()]
    return [dict(zip(names, line, strict=True)) for line in lines]


def hard_cases():
    lines = ["time,symbol,price,size,id,received"]
    for line in HARD_CASES.splitlines():
        time, received, number, price, size = line.split()[:5]
        times = [NOON + round(float(text) * 1000) for text in (time, received)]
        lines.append(f"{times[0]},⚡/x,{price},{size},{number},{times[1]}")
    return "\n".join(lines)


def test_a_tape_of_hard_cases_is_told_line_by_line():
    done = fold(hard_cases(), "--live")
    found = []
    for row in rows(done):
        assert row["symbol"] == "⚡/x"
        row["closed_at"] = f"{(int(row['closed_at']) - NOON) / 1000:g}"
        row["open_time"] = str((int(row["open_time"]) - NOON) // 60_000)
        found.append(" ".join(row[name] or "-" for name in SHOWN))
    assert found == TOLD.splitlines()
    assert "24 rows, 13 lines, 4 of them corrections, 1 late trades" in done.stderr
    assert "not used: 1 (price_not_positive 1)" in done.stderr
    assert done.exit_code == 0


def test_both_forms_say_the_same_of_both_forms_of_input():
    header, *lines = hard_cases().splitlines()
    objects = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    text = "\n\n".join(json.dumps({**one, "time": int(one["time"]), "x": [1]}) for one in objects)
    for extra in ([], ["--live"]):
        records = rows(fold(hard_cases(), *extra))
        (*found,) = map(json.loads, fold(text, "--format", "ndjson", *extra).stdout.splitlines())
        assert len(found) == len(records) > 5
        for one, record in zip(found, records, strict=True):
            if extra:
                one["reasons"] = ";".join(one["reasons"])
                one["coverage"] = f"{one['coverage']:g}"
            assert {name: str(value) for name, value in one.items()} == record


def test_a_candle_of_a_file(tmp_path):
    text = (
        "\ufeff Time ,symbol,extra,PRICE,size\r\n"
        '2023-11-14T22:20:00Z,"a,""b""",?,0.00000000000015,1\r\n'
        '1700000401.5,"a,""b""",?,1e3,0.5\r\n'
    )
    (tmp_path / "trades.csv").write_text(text, newline="")
    done = fold(b"", str(tmp_path / "trades.csv"), "--interval", "1h")
    assert done.stdout.splitlines() == [
        "symbol,interval,open_time,open,high,low,close,volume,quote_volume,tick_count,"
        "first_tick_time,last_tick_time",
        '"a,""b""",1h,1699999200000,0.00000000000015,1000,0.00000000000015,1000,1.5,'
        "500.00000000000015,2,1700000400000,1700000401500",
    ]


def test_unknown_sizes_are_empty_and_no_number_has_an_exponent():
    done = fold('{"time":1700000400,"symbol":"X","price":1.5e-13,"size":null,"id":null}\n')
    (row,) = rows(fold("time,symbol,price\n1700000400,X,0.0000001\n", "--interval", "1m"))
    assert (row["open"], row["volume"], row["quote_volume"]) == ("0.0000001", "", "")
    assert rows(done)[0]["open"] == "0.00000000000015"


def test_bytes_that_are_not_utf8_stay_what_they_are():
    done = fold(b"time,symbol,price\n1700000400,\xff\xfe,1\n", "--interval", "1m")
    assert done.stdout_bytes.splitlines()[1].startswith(b"\xff\xfe,1m,")


BAD_ROWS = """\
time,symbol,price,size,id
1700000400,X,1,1,1
1700000401,X,NaN,1,2
1700000402,X,1
1700000403,X,1,1,4,5
1700000404,X,1,1,5,
never,X,1,1,6
1700000405,X,1e99,1,7
1700000406,,1,1,8

1700000407,X,2,-1,9
"""


def test_rows_that_cannot_be_used_are_counted_and_touch_nothing():
    done = fold(BAD_ROWS, "--interval", "1m")
    (row,) = rows(done)
    assert (row["tick_count"], row["high"], row["close"]) == ("2", "1", "1")
    assert "9 rows, 1 lines; not used: 7 (columns_missing 1, columns_surplus 1," in done.stderr
    for reason in ("price_malformed", "price_out_of_range", "size_negative", "symbol_missing"):
        assert f"{reason} 1" in done.stderr
    assert done.exit_code == 0


def test_lines_that_are_no_objects_are_counted():
    good = '{"time":1700000400,"symbol":"X","price":"1"}'
    nested = '{"time":1700000400,"symbol":["X"],"price":1}'
    lines = ["{", good, "5", "[" * 100_000, nested, '{"symbol":"X"}', good]
    done = fold("\n".join(lines), "--interval", "1m")
    assert [row["tick_count"] for row in rows(done)] == ["2"]
    assert "(line_malformed 3, time_missing 1, value_malformed 1)" in done.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", [], "the input is empty"),
        (" \n\n", [], "the input is empty"),
        ("a,b\n1,2\n", [], "no column time, symbol, price; found: a, b. CSV needs"),
        ("1700000400,X,5\n", [], "no column time"),
        ("time,symbol,price,time\n", [], "more than one column is named time"),
        ("time,symbol,price\n", ["--live"], "no column received (without --live it is not"),
        ('{"time":1}', [], "no column symbol, price"),
        ("{\n{\n", [], "no line is a JSON object"),
        ('[{"time":1}]', [], "turn a list into lines"),
        ("time,symbol,price\n", ["--interval", "7m"], "--interval 7m: '7m' is not a whole"),
        ("time,symbol,price\n", ["--interval", "2m,3m"], "3m is not a multiple of 2m"),
        ("time,symbol,price\n", ["--interval", ""], "at least one interval"),
        ("time,symbol,price\n", ["--format", "xml"], "'xml' is not one of"),
        ("", ["/no/such/file"], "/no/such/file cannot be read: No such file"),
        ("", ["/"], "/ cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_folded_is_said_with_what_to_do(text, arguments, said):
    done = fold(text, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_header_alone_is_no_error():
    done = fold("time,symbol,price\n")
    assert done.exit_code == 0
    assert done.stdout.startswith("symbol,") and "0 rows, 0 lines" in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    lines = (f"17000{number:05}00,X,1\n" for number in range(50_000))
    (tmp_path / "trades.csv").write_text("time,symbol,price\n" + "".join(lines))
    command = f"{CANDLEKEEP} fold trades.csv --interval 1s | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("symbol,interval")


def test_live_lines_are_out_as_soon_as_they_are_decided(tmp_path):
    with subprocess.Popen(
        [CANDLEKEEP, "fold", "--live", "--interval", "1m"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in ("time,symbol,price,received", *(f"{s},X,1,{s}" for s in (60, 61, 200, 201))):
            process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("symbol")
        assert process.stdout.readline().startswith("X,1m,60000,1,1,1,1,,,2,60000,61000,122000")
        process.stdin.close()


def test_a_quote_that_nobody_closes_costs_its_own_row_only():
    rows = ["1735689600,A,1,1,1", '1735689601,"A,9,1,2', '1735689602,"A",3,1,3']
    result = fold("\n".join(["time,symbol,price,size,id", *rows]) + "\n", "--interval", "1m")
    (line,) = result.stdout.splitlines()[1:]
    assert line.split(",")[3:10] == ["1", "3", "1", "3", "2", "4", "2"]
    assert "columns_missing 1" in result.stderr
