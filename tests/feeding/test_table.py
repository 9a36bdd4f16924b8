"""What the table says, at any size."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from app.feeding.candles import Board
from app.feeding.following import CONNECTING, LIVE, LOST, Link
from app.feeding.reading import read_row
from app.feeding.table import Sight, Times, view
from tests.feeding.scripted import START, candle, forming

NOW = START / 1000 + 150
UTC = Times()


def link(**fields):
    known = {"state": LIVE, "heard": NOW, "feed": ("poloniex", "ticker"), "interval": "1m"}
    return Link("http://127.0.0.1:5000", **{**known, **fields})


def board_of(*rows, kept=2):
    board = Board(kept)
    for row in rows:
        board.apply(read_row(json.dumps(row).encode()).candle)
    return board


def drawn(link, board, width=100, height=30, now=NOW, color=False, **settings):
    sight = Sight(now, 1_000.0, width, height)
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, _environ={"TERM": "xterm-256color", **settings}
    )
    console.print(view(link, board.markets(), sight, UTC).rendered())
    return out.getvalue()


TWO = (
    candle("ETH_USDT", 1, "99.9"),
    forming("ETH_USDT", 2, "100"),
    candle("BTC_USDT", 1, coverage=0.625, reasons=["restart", "outage"]),
    candle("BTC_USDT", 2, "101.25", revision=2),
)


def test_all_that_is_known_of_two_markets():
    lines = drawn(link(), board_of(*TWO)).splitlines()
    assert [line.rstrip() for line in lines] == TABLE.splitlines()


TABLE = """\
Candlekeep  1m  poloniex ticker  http://127.0.0.1:5000
live, last data 15:02:30 UTC
market    opens (UTC)  open    high  low   close   change  coverage  why
BTC_USDT  15:01         100  101.25   99   100.5  +0.50 %    62.5 %  restart, outage
          15:02         100  101.25   99  101.25  +1.25 %     100 %                   corrected
ETH_USDT  15:01         100  101.25   99    99.9  -0.10 %     100 %
          15:02         100  101.25   99     100   0.00 %                             open
"""


def test_what_is_left_out_first_where_it_is_narrow():
    board = board_of(*TWO)
    kept = [drawn(link(), board, width).splitlines()[2].split() for width in range(120, 30, -1)]
    orders = list(dict.fromkeys(tuple(one) for one in kept))
    words = ["market", "opens", "(UTC)", "open", "high", "low", "close", "change", "coverage"]
    assert orders == [
        tuple(name for name in [*words, "why"] if name not in out)
        for out in (
            (),
            ("why",),
            ("why", "low", "high"),
            ("why", "low", "high", "open"),
            ("why", "low", "high", "open", "change"),
            ("why", "low", "high", "open", "change", "coverage"),
            ("why", "low", "high", "open", "change", "coverage", "opens", "(UTC)"),
        )
    ]


@given(width=st.integers(1, 130), height=st.integers(1, 40), count=st.integers(1, 30))
def test_it_never_is_larger_than_the_terminal(width, height, count):
    rows = [candle(f"S{market}", minute) for market in range(count) for minute in range(3)]
    board = board_of(*rows, kept=3)
    found = view(link(), board.markets(), Sight(NOW, 0.0, width, height), UTC)
    # Two lines of head and one of headings are there in any case.
    assert 2 + 1 + len(found.rows) + len(found.foot) <= max(height, 5)
    lines = drawn(link(), board, width, height).splitlines()
    assert len(lines) == 3 + len(found.rows) + len(found.foot)
    assert all(cell_len(line) <= width for line in lines)


def test_markets_that_do_not_fit_are_counted():
    board = board_of(*(candle(f"S{n}", minute) for n in range(9) for minute in range(2)))
    text = drawn(link(), board, height=10)
    assert "S0" in text and "S2" in text and "S3 " not in text
    assert "6 more of 9 markets: choose with --symbol S7,S8" in text


def test_of_a_market_that_is_higher_than_the_terminal_the_newest_candles_are_shown():
    board = board_of(*(candle(minute=minute, close=f"{minute}") for minute in range(20)), kept=20)
    found = view(link(), board.markets(), Sight(NOW, 0.0, 80, 8), UTC)
    assert [row[found.columns.index("close")][0] for row in found.rows] == ["16", "17", "18", "19"]
    assert found.rows[0][0][0] == "BTC_USDT"
    assert found.foot[0][0] == "the oldest candles do not fit"


@pytest.mark.parametrize("setting, colored", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colors_are_left_out_where_none_are_wanted(setting, colored):
    text = drawn(link(), board_of(*TWO), color=True, **setting)
    assert ("\x1b[32m" in text and "\x1b[31m" in text) is colored
    assert "open" in text.splitlines()[-1]


def test_prices_keep_every_digit():
    price = "0.000000000000000001"
    text = drawn(link(), board_of(candle(close=price, open=price, high="1.10", low="0.10")))
    assert price in text and "1.10" in text and "0.10" in text


@pytest.mark.parametrize(
    "close, change",
    [("100", " 0.00 %"), ("99.999", " 0.00 %"), ("100.01", "+0.01 %"), ("0", "-100.00 %")],
)
def test_a_change_that_is_too_small_to_be_seen_has_no_sign(close, change):
    assert change in drawn(link(), board_of(candle(close=close)))


def test_an_open_price_of_zero_has_no_change():
    assert "%" not in drawn(link(), board_of(forming(open="0")))


def test_names_from_elsewhere_command_nothing():
    rows = [forming("\x1b[2J[bold]X[/]\x07\u202e", reasons=["\x1b]0;t\x07r[red]"])]
    text = drawn(link(trouble="t"), board_of(*rows))
    assert "[bold]X[/] " in text and "r[red]" in text
    assert not set(text) & set("\x1b\x07\u202e")


def test_what_happens_to_the_connection():
    board = board_of(*TWO)
    lost = link(state=LOST, why="connection refused", retry_at=1_004.2)
    told = "reconnecting in 4 s: connection refused, last data 15:02:30 UTC"
    assert told in drawn(lost, board)
    away = link(state=LOST, why="connection refused", heard=None, feed=None, interval="")
    text = drawn(away, Board(2))
    assert "`candlekeep run` starts it, --url names another one" in " ".join(text.split())
    assert "connecting" in drawn(link(state=CONNECTING), Board(2))
    assert "Nothing has closed yet." in drawn(link(hint="Nothing has closed yet."), Board(2))
    assert "database: gone" in drawn(link(trouble="database: gone"), board)


def test_times_are_as_long_as_they_have_to_be():
    moment = START + 60_000
    assert UTC.window(moment, 60_000, NOW) == "15:01"
    assert UTC.window(moment + 5_000, 5_000, NOW) == "15:01:05"
    assert UTC.window(moment, 60_000, NOW + 86_400) == "2025-06-15 15:01"
    assert Times(local=True).zone == "local"
