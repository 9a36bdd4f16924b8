"""What a client knows of candles, in whatever order it hears of them."""

import json
from itertools import permutations

import pytest

from app.feeding.candles import MAX_MARKETS, Board, Change
from app.feeding.plain import plain
from app.feeding.reading import read_row
from app.feeding.trouble import WrongAnswer
from tests.feeding.scripted import START, candle, forming


def known(fields):
    return read_row(json.dumps(fields).encode()).candle


def board_of(*rows, kept=2):
    board = Board(kept)
    return board, [board.apply(known(row)) for row in rows]


def closes(board):
    return {
        symbol: [(one.close, one.closed) for one in candles] for symbol, candles in board.markets()
    }


def test_a_higher_revision_wins_and_closed_wins_over_open():
    rows = [
        forming(close="1"),
        candle(close="2"),
        candle(close="3", revision=2, cause="late_tick"),
    ]
    for order in permutations(rows):
        board, _ = board_of(*order)
        assert closes(board) == {"BTC_USDT": [("3", True)]}


def test_what_is_told_again_changes_nothing():
    board, changes = board_of(forming(), forming(), candle(), candle(), forming(close="7"))
    assert changes == [
        Change.OPEN,
        Change.NOTHING,
        Change.CLOSED,
        Change.NOTHING,
        Change.NOTHING,
    ]
    assert board.changes == 2


def test_the_newest_are_kept_by_symbol():
    board, changes = board_of(
        candle("ETH_USDT", 0),
        candle("BTC_USDT", 2, "2"),
        candle("BTC_USDT", 1, "1"),
        candle("BTC_USDT", 3, "3"),
        candle("BTC_USDT", 1, "1", revision=2),
        forming("BTC_USDT", 0),
    )
    assert [symbol for symbol, _ in board.markets()] == ["BTC_USDT", "ETH_USDT"]
    assert closes(board)["BTC_USDT"] == [("2", True), ("3", True)]
    assert changes[-2:] == [Change.PAST, Change.NOTHING]
    assert board.newest_closed == START + 3 * 60_000


def test_a_window_that_closed_without_a_candle_does_not_stay_open():
    """Both are open while a window waits for the answer that closes it."""
    board, _ = board_of(forming(minute=0), forming(minute=1), kept=3)
    assert len(closes(board)["BTC_USDT"]) == 2
    board.apply(known(candle(minute=1)))
    assert closes(board) == {"BTC_USDT": [("100.5", True)]}
    assert board.apply(known(forming(minute=0))) is Change.NOTHING


def test_markets_without_end_do_not_fill_the_memory():
    board, _ = board_of(*(candle(f"S{number}") for number in range(MAX_MARKETS + 5)), kept=1)
    assert len(board.markets()) == MAX_MARKETS


@pytest.mark.parametrize(
    "fields",
    [
        {"close": "1e5"},
        {"close": "1\n"},
        {"close": "\x1b[2J"},
        {"close": "NaN"},
        {"close": 1.5},
        {"close": None},
        {"close": "9" * 50},
        {"open_time": -1},
        {"open_time": 10**15},
        {"open_time": "2025"},
        {"symbol": ""},
        {"symbol": "x" * 65},
        {"coverage": 2},
        {"reasons": ["x"] * 40},
        {"closed": None},
    ],
)
def test_what_is_no_candle_is_refused(fields):
    with pytest.raises(WrongAnswer):
        known({**candle(), **fields})


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_not_even_an_object_is_refused(raw):
    with pytest.raises(WrongAnswer):
        read_row(raw)


@pytest.mark.parametrize(
    "text, found",
    [
        ("BTC_USDT", "BTC_USDT"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07here", "here"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1bPq#0\x1b\\six", "six"),
        ("\x1bc\x1b(0reset", "reset"),
        ("a\rb\nc\td", "a b c d"),
        ("a\x00\x07\x08\x7f\x85b", "ab"),
        ("\u202eabc\u2066\u200b", "abc"),
        ("e\u0301" + "\u0336" * 9, "e"),
        ("比特币", "比特币"),
        ("\x1b" * 50 + "x", ""),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_no_text_commands_the_terminal(text, found):
    assert plain(text) == found
