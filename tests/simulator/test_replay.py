"""Recorded trades that happen again."""

import csv
import signal
from collections import Counter
from decimal import Decimal

import pytest
from click.testing import CliRunner

from app.simulator.answers import Answers
from app.simulator.cli import simulate
from app.simulator.replay import BadFile, read_replay
from app.simulator.server import Server
from app.simulator.tape import DAY, MINUTE
from tests.recorded import FOLDER, needs_recordings

NOW = 1_760_000_123_456
WINDOW = 10 * MINUTE
HEADER = "symbol,id,time,price,quantity,side"
ROWS = [
    "BTC_USDT,11,1700000123456,100.10,0.5,buy",
    "BTC_USDT,12,1700000123456,100.30,1,SELL",
    "eth-usdt,7,1700000183000,5,2.25,s",
    "BTC_USDT,13,1700000800000,99.9,3,B",
]


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "trades.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def recorded(write):
    return read_replay(write(HEADER, *ROWS))


def test_trades_are_those_of_the_file(recorded):
    assert list(recorded.markets) == ["BTC_USDT", "ETH_USDT"]
    trades = recorded.trades("BTC_USDT", 0, NOW)
    assert [(trade.id, trade.time, trade.side) for trade in trades] == [
        (11, 1_700_000_123_456, "BUY"),
        (12, 1_700_000_123_456, "SELL"),
        (13, 1_700_000_800_000, "BUY"),
    ]
    assert [str(trade.price) for trade in trades] == ["100.10", "100.30", "99.9"]
    assert recorded.trades("BTC_USDT", 1_700_000_123_457, 1_700_000_800_000) == []
    assert recorded.last_trade("BTC_USDT", 1_700_000_799_999) == trades[1]
    assert recorded.last_trade("BTC_USDT", NOW) == trades[2]
    assert recorded.last_trade("BTC_USDT", 1_700_000_123_455) is None


def test_the_place_in_the_file_decides_what_comes_first_in_a_millisecond(write):
    late, early, tie = (
        f"X_USDT,{number},170000000000{digit},1,1,buy" for number, digit in ((3, 9), (2, 5), (1, 9))
    )
    replay = read_replay(write(HEADER, late, early, tie))
    assert [trade.id for trade in replay.trades("X_USDT", 0, NOW)] == [2, 3, 1]


def test_trades_move_by_whole_windows_to_the_next_that_opens(write):
    path = write(HEADER, *ROWS)
    before, after = read_replay(path), read_replay(path, NOW)
    shifts = {
        b.time - a.time
        for symbol in before.markets
        for a, b in zip(
            before.trades(symbol, 0, 2 * NOW), after.trades(symbol, 0, 2 * NOW), strict=True
        )
    }
    (shift,) = shifts
    assert shift % WINDOW == 0
    first = after.trades("BTC_USDT", 0, 2 * NOW)[0].time
    assert first - first % WINDOW == NOW - NOW % WINDOW + WINDOW


def test_a_market_is_listed_before_its_first_trade_but_has_no_price(recorded):
    answers, before = Answers(recorded), 1_700_000_123_455
    assert len(answers.to("/markets", before)[1]) == 2
    assert answers.to("/markets/price", before) == (200, [])
    assert answers.to("/markets/BTC_USDT/candles?interval=MINUTE_1", before) == (200, [])
    assert answers.to("/markets/BTC_USDT/trades", before) == (200, [])
    (row,) = answers.to("/markets/price", before + 1)[1]
    assert (row["symbol"], row["price"]) == ("BTC_USDT", "100.3")
    assert answers.to("/public?command=returnTicker", before + 1)[1].keys() == {"USDT_BTC"}


def test_all_answers_know_the_recorded_trades(recorded):
    answers, now = Answers(recorded), 1_700_000_800_500
    candles = answers.to("/markets/BTC_USDT/candles?interval=MINUTE_10", now)[1]
    assert [row[:9] for row in candles] == [
        ["100.1", "100.3", "100.1", "100.3", "150.35", "1.5", "50.05", "0.5", 2],
        ["99.9", "99.9", "99.9", "99.9", "299.7", "3", "299.7", "3", 1],
    ]
    assert [row[10] for row in candles] == ["100.23", "99.9"]
    ticker = answers.to("/markets/BTC_USDT/ticker24h", now)[1]
    assert (ticker["open"], ticker["close"], ticker["quantity"]) == ("100.1", "99.9", "4.5")
    limits = answers.to("/markets/BTC_USDT", now)[1][0]["symbolTradeLimit"]
    assert (limits["priceScale"], limits["minQuantity"]) == (2, "0.1")


def test_a_server_serves_a_replay(recorded):
    with Server(exchange=recorded, now=lambda: NOW) as server:
        assert server.exchange is recorded and server.faults.rows() == []


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("XBTUSDT", "XBT_USDT"),
        ("sBCHUSDT", "SBCH_USDT"),
        ("ATOMUSD", "ATOM_USD"),
        ("ETHBTC", "ETH_BTC"),
        ("JST/TRX", "JST_TRX"),
    ],
)
def test_symbols_become_canonical(write, name, symbol):
    assert list(read_replay(write(HEADER, f"{name},1,1700000000005,1,1,b")).markets) == [symbol]


def test_other_venues_headings_are_understood(write):
    path = write(
        "venue,symbol,seq,trade_id,ts_ns,price,qty,side",
        "kraken,XBTUSDT,0,,1762795433971999999,105433.60000,0.00027625,b",
        "kraken,XBTUSDT,1,,1762795433972000000,105433.70000,0.00027625,s",
    )
    trades = read_replay(path).trades("XBT_USDT", 0, 2 * NOW)
    assert [(trade.id, trade.time) for trade in trades] == [
        (1, 1_762_795_433_971),
        (2, 1_762_795_433_972),
    ]


def test_spaces_and_empty_lines_and_a_byte_order_mark_do_no_harm(tmp_path):
    path = tmp_path / "trades.csv"
    path.write_text(
        f"{HEADER}\n\n X_USDT , 1 , 1700000000005 , 1.5 , 2 , Buy \n\n", encoding="utf-8-sig"
    )
    (trade,) = read_replay(path).trades("X_USDT", 0, NOW)
    assert trade.price == Decimal("1.5")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["symbol,id,time,price"], "trades.csv, line 1: no column quantity or qty, side"),
        ([""], "trades.csv, line 1: no column symbol"),
        ([HEADER], "trades.csv, line 2: no trade"),
        ([HEADER, ROWS[0], "X_USDT,1,1700000000005,abc,1,b"], "line 3: price 'abc'"),
        ([HEADER, "X_USDT,1,1700000000005,0,1,b"], "line 2: price '0'"),
        ([HEADER, "X_USDT,1,1700000000005,1,-1,b"], "line 2: quantity '-1'"),
        ([HEADER, "X_USDT,1,1700000000005,NaN,1,b"], "line 2: price 'NaN'"),
        ([HEADER, "X_USDT,1,5.5,1,1,b"], "line 2: time '5.5'"),
        ([HEADER, "X_USDT,1,1762795433971999999,1,1,b"], "line 2: time '1762795433971999999'"),
        ([HEADER, "X_USDT,1,1762795433,1,1,b"], "line 2: time '1762795433' is not in ms"),
        ([HEADER, "X_USDT,x,1700000000005,1,1,b"], "line 2: id 'x'"),
        ([HEADER, "X_USDT,1,1700000000005,1,1,up"], "line 2: side 'up'"),
        ([HEADER, "X_USDT,1,1700000000005,1,1"], "line 2: 5 columns instead of 6"),
        ([HEADER, "XBT,1,5,1,1,b"], "line 2: symbol 'XBT'"),
        ([HEADER, "USDT,1,5,1,1,b"], "line 2: symbol 'USDT'"),
        ([HEADER, "A_B_C,1,5,1,1,b"], "line 2: symbol 'A_B_C'"),
        ([HEADER, "ÄÖ_USDT,1,5,1,1,b"], "line 2: symbol 'ÄÖ_USDT'"),
    ],
)
def test_a_bad_file_is_named_with_its_line(write, lines, complaint):
    with pytest.raises(BadFile) as found:
        read_replay(write(*lines))
    assert complaint in str(found.value)


def run(*options):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(simulate, options)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b'"\n\0'])
def test_the_command_refuses_a_bad_file_in_one_line_and_serves_nothing(tmp_path, content):
    path = tmp_path / "trades.csv"
    if content is not None:
        path.write_bytes(content)
    result = run("--port", "0", "--replay", str(path))
    assert result.exit_code == 1
    assert result.output.startswith("Error: trades.csv") and result.output.count("\n") == 1


def verified(name):
    with (FOLDER / "verified" / name).open() as file:
        return [row for row in csv.DictReader(file) if row["venue"] == "kraken"]


@needs_recordings
def test_candles_of_recorded_trades_are_the_venues_own_digit_for_digit():
    replay = read_replay(FOLDER / "verified/trades.csv")
    (window,) = verified("windows.csv")
    first, last = int(window["first_full_minute"]), int(window["last_full_minute"])
    status, rows = Answers(replay).to(
        f"/markets/XBT_USDT/candles?interval=MINUTE_1&startTime={first}000&endTime={last}000"
        "&limit=500",
        (last + DAY) * 1_000,
    )
    assert status == 200
    found = {row[12] // 1_000: row for row in rows}
    compared = Counter()
    for official in verified("klines_1m.csv"):
        opened = int(official["open_ts"])
        if first <= opened <= last:
            row = found.get(opened)
            compared[row is not None] += 1
            if row is None:
                assert official["trades"] == "0"
                continue
            ours = [Decimal(row[place]) for place in (2, 1, 0, 3, 5)] + [row[8]]
            names = ("open", "high", "low", "close", "volume", "trades")
            assert ours == [Decimal(official[name]) for name in names]
    assert compared == {True: 273, False: 137}
