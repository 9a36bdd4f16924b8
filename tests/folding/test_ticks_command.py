"""`candlekeep ticks` over a log that a builder has consumed."""

import csv
import json
import os
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from app.cli import main
from app.live.hub import FeedState
from app.market.feed import FeedFold
from app.market.livefold import PACE
from app.market.ticks import IDLE, OK, TRADES, Batch, Spoiled, Tick, plain
from app.pipeline.builder import Builder
from app.storage import subscriptions
from app.storage.database import reading
from app.storage.feeds import FeedStore
from app.storage.tables import candle_revisions, candles
from app.ticklog.files import SegmentLog

FEED = "poloniex", TRADES
NOON = 1_700_000_400_000
MINUTE = 60_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)


def tick(second, price, number, size="0.1", side="BUY", symbol="BTC_USDT"):
    time = NOON + round(second * 1000)
    return Tick(symbol, time, Decimal(price), False, Decimal(size), number, side)


def batch(second, *ticks, outcome=OK, **options):
    moment = NOON + round(second * 1000)
    return Batch(moment, moment, outcome, ticks=list(ticks), **options)


STREAM = [
    batch(20, tick(20, "10", 1), start=True, blind=True, joined=["BTC_USDT"]),
    batch(21.1, tick(20.9, "11", 3), tick(20.7, "9.5", 2, "1e-8", "SELL"), tick(20.9, "11", 3)),
    batch(59.2, tick(59, "12", 4), tick(59, "12.5", 5)),
    batch(60.4, tick(59.5, "13", 6), tick(60, "14", 7)),
    batch(130, tick(129.9, "15", 9), tick(129.95, "16", 12), spoiled=[]),
    batch(131, spoiled=[Spoiled("BTC_USDT", NOON + 130_000, 10)], rejected={"price": 1}),
    batch(305, tick(63, "13.5", 8, "7"), tick(304, "17", 13)),
    batch(306, tick(129.93, "15.5", 11), tick(305.9, "18", 14)),
]


def with_pongs(batches):
    """As a stream logs them; and a connection that ends, until all windows are closed."""
    found = list(batches[:1])
    for one in batches[1:]:
        while (pong := found[-1].answered + 1_000) < one.answered:
            found.append(Batch(pong, pong, OK))
        found.append(one)
    last = found[-1].answered
    return found + [Batch(last + n * 1_000, last + n * 1_000, IDLE) for n in range(1, 320)]


@pytest.fixture
def log(tmp_path):
    found = SegmentLog(tmp_path / "ticks" / "poloniex.trades", "identity", segment_bytes=2_000)
    yield found
    found.close()


def build(engine, log, batches):
    """What the live builder stores, every revision of it, with the clock at which it did."""
    now = NOON
    subscriptions.start(engine, *FEED, ["BTC_USDT"], since=batches[0].answered)
    store = FeedStore(engine, *FEED)
    builder = Builder(FeedFold(INTERVALS, PACE, TRADES), log, store, FeedState(), lambda: now)
    builder.load()
    for one in batches:
        log.append(one)
        now = one.answered
        builder.step(now)
    found = []
    with reading(engine) as connection:
        for table in (candles, candle_revisions):
            names = ("interval_ms", "open_time", "stored_at", "revision", "cause", "reasons")
            numbers = ("open", "high", "low", "close", "volume", "quote_volume", "coverage")
            query = select(*(table.c[name] for name in names + numbers), table.c.tick_count)
            found += [
                (*row[:4], row[4] or "", row[5], *map(plain, row[6:-1]), row[-1])
                for row in connection.execute(query)
            ]
    return sorted(found)


def run(folder, *arguments, **settings):
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    settings = {"DATA_DIR": str(folder), "SOURCE": "trades", **settings}
    with patch.dict(os.environ, {**kept, **settings}, clear=True):
        return CliRunner().invoke(main, arguments)


def test_its_lines_folded_live_are_what_the_live_builder_has_stored(engine, log, tmp_path):
    stored = build(engine, log, with_pongs(STREAM))
    for form in ("csv", "ndjson"):
        lines = run(tmp_path, "ticks", "--format", form)
        assert lines.exit_code == 0, lines.stderr
        told = CliRunner().invoke(main, ["fold", "--live"], input=lines.stdout)
        found = [
            (
                {"1m": MINUTE, "5m": 5 * MINUTE, "10m": 10 * MINUTE}[row["interval"]],
                *(int(row[name]) for name in ("open_time", "closed_at", "revision")),
                *(row["cause"], row["reasons"].replace(";", ",")),
                *(row[name] for name in ("open", "high", "low", "close")),
                *(row[name] for name in ("volume", "quote_volume", "coverage")),
                int(row["tick_count"]),
            )
            for row in csv.DictReader(told.stdout.splitlines())
        ]
        assert sorted(found) == stored
    assert len(stored) > 10 and {row[4] for row in stored} == {"", "late_tick", "coverage"}


def files(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_ticks_are_chosen_by_symbol_and_time(log, tmp_path):
    for one in (*STREAM, batch(400, tick(399, "1.50", "a", symbol="ETH_USDT", side=""))):
        log.append(one)
    done = run(tmp_path, "ticks", "--symbol", "eth-usdt,XRP_USDT")
    assert done.stdout.splitlines() == [
        "time,symbol,price,size,id,side,received",
        f"{NOON + 399_000},ETH_USDT,1.5,0.1,a,,{NOON + 400_000}",
    ]
    assert "1 rows; none of XRP_USDT in this time" in done.stderr
    done = run(
        *(tmp_path, "ticks", "--format", "ndjson", "--start", "2023-11-14T22:22:09.930Z"),
        *("--end", str(NOON + 130_001)),
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["id"], row["price"]) for row in rows] == [(12, "16"), (10, None), (11, "15.5")]
    assert rows[0] == {
        "time": NOON + 129_950,
        "symbol": "BTC_USDT",
        "price": "16",
        "size": "0.1",
        "id": 12,
        "side": "BUY",
        "received": NOON + 130_000,
    }


def test_what_cannot_be_read_is_told_and_nothing_is_changed(log, tmp_path):
    for one in (STREAM[0], STREAM[1], Batch(1, 1, OK, None, ticks=[tick(1, "1", 1)]), STREAM[2]):
        log.append(one)
    log.close()
    (segment,) = log._folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[20] ^= 255
    segment.write_bytes(data + b"CKT1 half a batch")
    before = files(tmp_path)
    done = run(tmp_path, "ticks")
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 6
    assert "5 rows; " in done.stderr and "bytes of the log could not be read" in done.stderr
    assert "the last 17 bytes are no whole batch" in done.stderr
    assert "1 ticks left out" in done.stderr
    assert files(tmp_path) == before and not list(tmp_path.rglob("unreadable"))


def test_segments_that_are_pruned_meanwhile_are_left_out(log, tmp_path):
    from app.folding.exporting import Report, open_log, ticks_of

    for number in range(1, 60):
        log.append(batch(number, tick(number, "1", number)))
    opened = open_log(tmp_path / "ticks", "poloniex", "trades")
    rows = ticks_of(opened, (), 0, 2**63, Report())
    first = next(rows)
    log.prune(log.end, 2**62)
    rest = [row[4] for row in rows]
    assert first[4] == 1 and rest[-1] == 59 and 1 < len(rest) < 58


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ([], {"SOURCE": "ticker"}, "there is one for --exchange poloniex --source trades"),
        ([], {"DATA_DIR": "/no/such"}, "no tick log in /no/such/ticks/poloniex.trades: check"),
        ([], {"PORT": "x"}, "PORT='x'"),
        (["--start", "1700000400"], {}, "--start=1700000400 looks like seconds"),
        (["--end", "soon"], {}, "--end='soon' is not a time. Allowed: UTC epoch"),
        (["--start", "2025-01-02", "--end", "2025-01-01"], {}, "is not after --start"),
        (["--symbol", "B?"], {}, "--symbol B? is no symbol"),
        (["--symbol", ","], {}, "--symbol is empty"),
        (["--exchange", "nyse"], {}, "'nyse' is not"),
    ],
)
def test_what_cannot_be_exported_is_said_with_what_to_do(log, tmp_path, arguments, settings, said):
    log.append(STREAM[0])
    done = run(tmp_path, "ticks", *arguments, **settings)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["ticks"]
