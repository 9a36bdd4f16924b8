"""Messages of a websocket against a peer that does what it is told, frame by frame."""

import itertools
import re
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exchanges.base import ExchangeError, Unavailable
from tests.exchanges.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Peer,
    accepted,
    client,
    dripping,
    frame,
    opened,
    reset,
    saying,
)
from tests.support import eventually

MORE, UNFINISHED, LAST = 0x00, 0x01, 0x80
"""Continuations, and the beginning of a text that has some."""


def failure(*pieces, **options):
    """What receiving comes to when the peer has said this."""
    with opened(saying(*pieces), **options) as (_, stream):
        with pytest.raises(ExchangeError) as found:
            while stream.receive(1) is not None:
                pass
        with pytest.raises(Unavailable, match="there is no connection"):
            stream.receive(0.01)
        return found.value


def messages(stream, count):
    """What comes until so many messages have, empty ones left out."""
    found = []

    def enough():
        found.append(stream.receive(0.05))
        return len([*filter(None, found)]) >= count

    eventually(enough)
    return [message for message in found if message]


def unmasked(data):
    """The payload of the first, short frame that a client sent."""
    length, mask = data[1] & 0x7F, data[2:6]
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[6 : 6 + length]))


def test_messages_come_in_order_and_what_is_sent_is_masked():
    with opened(saying(frame(b"one") + frame(b"two"), frame(b"three", BINARY))) as (peer, stream):
        assert messages(stream, 3) == [b"one", b"two", b"three"]
        stream.send('{"event":"ping"}')
        sent = eventually(lambda: len(peer.heard) >= 22 and bytes(peer.heard))
    assert sent[0] == TEXT and sent[1] & 0x80
    assert unmasked(sent) == b'{"event":"ping"}'


def test_a_thousand_messages_in_one_packet_are_a_thousand_messages():
    texts = [str(number).encode() for number in range(1_000)]
    with opened(saying(b"".join(map(frame, texts)))) as (_, stream):
        assert [stream.receive(1) for _ in texts] == texts


def test_waiting_ends_when_it_should():
    with opened(saying()) as (_, stream):
        for seconds in (0.0, 0.01, 0.2):
            begin = time.monotonic()
            assert stream.receive(seconds) is None
            assert seconds <= time.monotonic() - begin + 0.001 < seconds + 2


@pytest.mark.parametrize("cut", [1, 3, 7, 50])
def test_of_a_frame_that_comes_in_halves_nothing_is_lost(cut):
    whole = frame(b"x" * 200)

    def rest(peer, connection):
        connection.sendall(whole[:cut])
        assert peer.halfway.wait(5)
        connection.sendall(whole[cut:] + frame(b"next"))
        peer.listen(connection)

    with Peer(saying(then=rest)) as peer, client(peer.url) as stream:
        peer.halfway = type(peer.over)()
        stream.open()
        assert stream.receive(0.1) is None
        peer.halfway.set()
        assert [stream.receive(1), stream.receive(1)] == [b"x" * 200, b"next"]


def test_a_dripped_frame_comes_whole_and_holds_nobody():
    """A hundred bytes take longer than anybody would wait who begins anew with each."""
    text = b"slowly" * 15
    pieces = [bytes((byte,)) for byte in frame(text)]
    waited = threading.Event()

    def drip(peer, connection):
        for piece in pieces[:-1]:
            connection.sendall(piece)
            waited.wait(0.03)
        assert waited.wait(10)
        connection.sendall(pieces[-1])
        peer.listen(connection)

    with opened(saying(then=drip)) as (_, stream):
        begin = time.monotonic()
        assert stream.receive(0.05) is None
        assert time.monotonic() - begin < 2
        waited.set()
        assert messages(stream, 1) == [text]


def test_a_text_in_several_frames_is_one_message_with_pings_between_them():
    parts = frame(b"o", UNFINISHED), frame(b"", PING), frame(b"n", MORE), frame(b"e", LAST)
    with opened(saying(*parts)) as (_, stream):
        assert messages(stream, 1) == [b"one"]


def test_a_ping_is_answered_and_counts_as_an_empty_message():
    with opened(saying(frame(b"are you there", PING))) as (peer, stream):
        assert stream.receive(1) == b""
        sent = eventually(lambda: bytes(peer.heard))
    assert sent[0] == PONG and unmasked(sent) == b"are you there"


def test_a_ping_in_the_last_moment_is_answered_too():
    calls = itertools.count()
    # Every look at this clock takes 10 ms: after the ping is read the time is over.
    clock = {"monotonic": lambda: next(calls) / 100, "deadline": 60}
    with opened(saying(frame(b"", PING)), **clock) as (peer, stream):
        eventually(lambda: stream.receive(0.015) == b"", 3)
        assert eventually(lambda: bytes(peer.heard))[0] == PONG


def test_an_unasked_pong_counts_as_an_empty_message():
    with opened(saying(frame(b"", PONG) + frame(b"x"))) as (_, stream):
        assert [stream.receive(1), stream.receive(1)] == [b"", b"x"]


def test_a_frame_that_a_server_should_not_have_masked_is_read_all_the_same():
    with opened(saying(frame(b"masked", mask=b"abcd"))) as (_, stream):
        assert stream.receive(1) == b"masked"


def test_text_that_is_no_text_is_left_to_who_reads_it():
    with opened(saying(frame(b"\xff\xfe"))) as (_, stream):
        assert stream.receive(1) == b"\xff\xfe"


def test_a_message_of_the_size_that_is_allowed_comes():
    with opened(saying(frame(b"x" * 1_000)), max_message=1_000) as (_, stream):
        assert stream.receive(1) == b"x" * 1_000


def test_a_message_that_is_too_large_is_not_waited_for():
    head = frame(b"x" * 70_000)[:10]
    assert failure(head, max_message=69_999).reason == "too_large"
    assert failure(b"\x81\x7f" + b"\xff" * 8).reason == "too_large"
    many = [frame(b"x" * 100, UNFINISHED), *[frame(b"x" * 100, MORE)] * 20]
    assert failure(*many, max_message=1_000).reason == "too_large"


def test_a_farewell_says_why_and_leaves_no_connection():
    error = failure(frame(b"last"), frame(b"\x03\xf4service\nrestart", CLOSE))
    assert (type(error), error.reason) == (Unavailable, "closed")
    assert str(error) == "the exchange hung up: service restart"
    assert failure(frame(b"", CLOSE)).reason == "closed"


def test_what_came_before_a_farewell_is_not_lost():
    with opened(saying(frame(b"last") + frame(b"\x03\xe8", CLOSE))) as (_, stream):
        assert stream.receive(1) == b"last"
        with pytest.raises(Unavailable):
            stream.receive(1)


def test_a_connection_that_breaks_is_an_error_of_the_exchange():
    def breaks(peer, connection):
        # The client must take the handshake before the reset throws it away.
        peer.over.wait(0.1)
        reset(connection)

    for then, reasons in ((lambda *_: None, ("closed",)), (breaks, ("reset", "closed"))):
        with opened(saying(then=then)) as (_, stream):
            with pytest.raises(Unavailable) as found:
                while stream.receive(1) is None:
                    pass
        assert found.value.reason in reasons


def test_sending_to_who_takes_nothing_ends_within_the_deadline():
    def deaf(peer, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.over.wait()

    with opened(saying(then=deaf)) as (_, stream):
        begin = time.monotonic()
        with pytest.raises(Unavailable) as found:
            stream.send("x" * 20_000_000)
        assert time.monotonic() - begin < 10
    assert found.value.reason == "timeout"


def test_without_a_connection_nothing_is_sent_or_received():
    with client("ws://127.0.0.1:1") as stream:
        for use in (lambda: stream.send("x"), lambda: stream.receive(0.01)):
            with pytest.raises(Unavailable, match="there is no connection"):
                use()


def test_opening_again_replaces_the_connection_and_what_was_half_read():
    with opened(saying(frame(b"x" * 100)[:50])) as (peer, stream):
        assert stream.receive(0.05) is None
        peer.script = saying(frame(b"new"))
        stream.open()
        assert stream.receive(1) == b"new"


@pytest.mark.parametrize(
    "piece",
    [
        frame(b"x", 0x83),
        frame(b"x", 0xC1),
        frame(b"x", LAST),
        frame(b"x", UNFINISHED) + frame(b"y"),
        frame(b"\x03", CLOSE),
        frame(b"\x00\x00", CLOSE),
        frame(b"\x03\xe8" + b"x" * 200, CLOSE),
        frame(b"x" * 200, PING),
        frame(b"x", 0x09),
    ],
    ids=re.findall(
        r"\S+", "opcode reserved astray nested short status long-farewell long-ping split-ping"
    ),
)
def test_what_no_websocket_says_is_an_error_of_the_exchange(piece):
    assert isinstance(failure(piece), Unavailable)


def test_endless_garbage_holds_nobody():
    for piece in (b"\0", b"\x01\0", frame(b"", PONG), b"\x81\x7e\xff\xff"):
        with opened(dripping(piece * 2_000, opened=True)) as (_, stream):
            end = time.monotonic() + 0.3
            try:
                while time.monotonic() < end:
                    begin = time.monotonic()
                    stream.receive(0.1)
                    assert time.monotonic() - begin < 2
            except ExchangeError:
                pass


starts = st.sampled_from([b"", b"\x81", b"\x88", b"\x89", b"\x01\x01x", b"\x81\x80", b"\x81\xfe"])


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(starts, st.binary(max_size=80))
def test_any_bytes_are_messages_or_an_error_of_the_exchange(start, data):
    def script(_peer, connection, request):
        connection.sendall(accepted(request) + start + data)
        connection.shutdown(socket.SHUT_WR)

    with opened(script, max_message=1_000) as (_, stream):
        with pytest.raises(ExchangeError):
            while True:
                message = stream.receive(1)
                assert message is None or len(message) <= 1_000
