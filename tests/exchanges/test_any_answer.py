"""Whatever bytes come over a real socket in answer to a request: a body, or the documented error,
within the deadline."""

import socket
import time
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exchanges.base import ExchangeError
from app.exchanges.http import Http
from app.exchanges.poloniex_candles import PoloniexCandles
from tests.exchanges.test_http import GOOD, Peer, answer

PARTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 \r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/9.9 -5 x\r\n",
    b"HTTP/1.0 429\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 3, 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br, deflate\r\n",
    b"Date: Mon, 99 Foo 99999 99:99:99 GMT\r\n",
    b"Date: Sun, 01 Jan 99999999999999 00:00:00 +9999\r\n",
    b"Retry-After: 1e400\r\n",
    b"Location: http://[::1\r\n",
    b"Set-Cookie: \xff=\x00\r\n",
    b"X: " + b"y" * 70_000 + b"\r\n",
    b"X: y\r\n" * 200,
    b"\r\n",
    b"\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-3\r\nabc\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"\x1f\x8b\x08\x00\x00",
    b"[]",
]
pieces = st.lists(st.sampled_from(PARTS) | st.binary(max_size=20), max_size=8)


@pytest.fixture(scope="module")
def exchange():
    """One client for all answers: none may stand in the way of the next."""
    with Peer(lambda *_: None) as peer:
        http = Http(peer.url, deadline=2, max_bytes=1_000)
        yield peer, http
        http.close()


starts = st.just([PARTS[0]]) | st.just([])
any_answer = given(start=starts, rest=pieces)


@contextmanager
def answering(peer, data):
    """Whatever is asked meanwhile is answered with `data`, and ends in time: well, or with an error
    of the exchange. Afterwards the peer answers with an empty list."""

    def script(_peer, connection):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    peer.script, begin = script, time.monotonic()
    try:
        yield
    except ExchangeError as error:
        assert error.reason and str(error).isprintable()
        assert error.retry_after is None or 0 <= error.retry_after <= 900
    assert time.monotonic() - begin < 5
    peer.script = answer(GOOD)


@settings(suppress_health_check=[HealthCheck.too_slow])
@any_answer
def test_whatever_answers_is_a_body_or_an_error_of_the_exchange(exchange, start, rest):
    peer, http = exchange
    with answering(peer, b"".join(start + rest)):
        assert len(http.get("/x").body) <= 1_000
    assert http.get("/x").body == b"[]"


@settings(suppress_health_check=[HealthCheck.too_slow])
@any_answer
def test_whatever_answers_is_no_candle_or_an_error_of_the_exchange(exchange, start, rest):
    peer, http = exchange
    adapter = PoloniexCandles(http)
    with answering(peer, b"".join(start + rest)):
        assert adapter.candles("BTC_USDT", 60_000, 60_000, 120_000).candles == []
    assert adapter.candles("BTC_USDT", 60_000, 60_000, 120_000).candles == []
