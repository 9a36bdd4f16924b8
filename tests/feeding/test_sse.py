"""Server-sent events out of bytes, whatever the pieces and whatever is in them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.feeding.sse import MAX_BYTES, PLACE, Event, Parser, TooLong

STREAM = (
    ": hello\n\nretry: 2000\nevent: open\ndata: {}\n\n"
    "event: candle\r\nid: a-1\r\ndata: one\r\ndata: two\r\n\r\n"
    "data:é\rid: a-2\r\r: still here\n\nevent: nothing\n\ndata\n\n"
).encode()
EVENTS = [
    Event("open", "{}", ""),
    Event("candle", "one\ntwo", "a-1"),
    Event("message", "é", "a-2"),
    Event("message", "", "a-2"),
]


def parsed(pieces):
    parser = Parser()
    return [event for piece in pieces for event in parser.feed(piece)], parser


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_a_stream_means_the_same_wherever_it_is_cut(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in pairwise(edges)]
    found, parser = parsed(pieces)
    assert found == EVENTS and parser.retry == 2_000


def test_an_event_that_was_not_ended_does_not_count():
    assert parsed([b"id: 7\ndata: half"])[0] == []
    assert parsed([b"id: 7\ndata: half\n"])[0] == []


def test_an_id_alone_is_a_place():
    assert parsed([b"id: 7\n\n\nid: 8\n: still here\n\n"])[0] == [
        Event(PLACE, "", "7"),
        Event(PLACE, "", "8"),
    ]


def test_comments_are_signs_of_life():
    _, parser = parsed([b": one\n", b": tw"])
    assert parser.lines == 1


def test_the_id_stays_until_another_one_comes():
    """So that a client that reconnects after an open candle misses nothing before it."""
    parser = Parser("known")
    assert parser.feed(b"data: 1\n\nid: 2\ndata: 2\n\ndata: 3\n\n") == [
        Event("message", "1", "known"),
        Event("message", "2", "2"),
        Event("message", "3", "2"),
    ]


@pytest.mark.parametrize("value", ["a\x00b", "a b", "\x1b[2J", "é", "x" * 501])
def test_an_id_that_no_header_can_carry_is_none(value):
    found, _ = parsed([f"id: 1\ndata: 1\n\nid: {value}\ndata: 2\n\n".encode()])
    assert [event.id for event in found] == ["1", "1"]


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "٣", "9999999"])
def test_a_time_to_wait_that_is_no_number_is_none(value):
    assert parsed([f"retry: {value}\n\n".encode()])[1].retry is None


def test_neither_a_line_nor_an_event_is_kept_without_end():
    with pytest.raises(TooLong):
        parsed([b"data: " + b"x" * MAX_BYTES] * 2)
    with pytest.raises(TooLong):
        parsed([b"data: " + b"x" * 1_000 + b"\n"] * 2_000)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_whatever_comes_no_other_error_does(pieces):
    found, _ = parsed([*pieces, b"\n\n"])
    assert all("\n" not in event.kind for event in found)


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line():
    assert parsed([b"\xef\xbb\xbfdata: 1\n\n"])[0] == [Event("message", "1", "")]
