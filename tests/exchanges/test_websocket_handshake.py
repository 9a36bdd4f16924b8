"""How a websocket is opened, and how it is not, against a peer that does what it is told."""

import socket
import ssl
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exchanges.base import ExchangeError, Refused, Unavailable, Unreachable
from tests.exchanges.peer import (
    DEADLINE,
    Peer,
    accepted,
    answering,
    client,
    dripping,
    frame,
    opened,
    refusal,
    saying,
)


def test_the_handshake_says_who_asks_and_for_what():
    with opened(saying(frame(b"hi"))) as (peer, stream):
        assert stream.receive(1) == b"hi"
    (request,) = peer.requests
    assert request.startswith(b"GET /ws/public HTTP/1.1\r\n")
    assert b"User-Agent: Candlekeep/" in request and b"Origin" not in request


def test_nobody_listening_and_no_name_are_told_apart():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with client(f"ws://127.0.0.1:{unused.getsockname()[1]}") as stream:
            with pytest.raises(Unavailable) as refused:
                stream.open()
    assert refused.value.reason == "connection_refused"

    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with client("ws://exchange.example", resolve=unknown) as stream:
        with pytest.raises(Unreachable) as lost:
            stream.open()
    assert lost.value.reason == "unreachable"


@pytest.mark.parametrize(
    "script",
    [
        answering(b""),
        answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"),
        dripping(b"H"),
        dripping(b"X-Header: y\r\n"),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "half", "drips bytes", "drips headers", "drips answers"],
)
def test_opening_ends_within_its_deadline(script):
    begin = time.monotonic()
    error = refusal(script)
    assert isinstance(error, Unavailable)
    assert time.monotonic() - begin < DEADLINE * 10


def test_a_byte_now_and_then_does_not_prolong_the_handshake():
    def slowly(peer, connection, request):
        for byte in accepted(request):
            connection.sendall(bytes((byte,)))
            if peer.over.wait(0.2):
                return

    begin = time.monotonic()
    assert refusal(slowly).reason == "timeout"
    assert time.monotonic() - begin < DEADLINE * 10


@pytest.mark.parametrize(
    "status, kind", [(400, Unavailable), (503, Unavailable), (403, Refused), (418, Refused)]
)
def test_a_status_says_what_to_do(status, kind):
    head = f"HTTP/1.1 {status} No\r\nContent-Length: 10\r\n\r\nno\x1b[31m\nno"
    error = refusal(answering(head.encode()))
    assert (type(error), error.reason, error.retry_after) == (kind, f"http_{status}", None)
    assert str(error) == f"HTTP {status}: no [31m no"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 9999\r\n\r\nabc",
        b"Content-Length: soon\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"\r\n",
        b"Content-Length: 9000000\r\n\r\n" + b"x" * 9_000_000,
    ],
    ids=["never ending", "no number", "no chunks", "open end", "huge"],
)
def test_a_status_says_what_to_do_whatever_its_body_is(rest):
    error = refusal(answering(b"HTTP/1.1 403 No\r\n" + rest))
    assert (type(error), error.reason) == (Refused, "http_403")


@pytest.mark.parametrize(
    "header, seconds",
    [
        (b"Retry-After: 7", 7),
        (b"retry-after: 86400", 900),
        (b"Date: Wed, 25 Jun 2025 08:50:11 GMT\r\nRetry-After: Wed, 25 Jun 2025 08:51:11 GMT", 60),
        (b"X: y", None),
    ],
)
def test_retry_after_is_honored(header, seconds):
    head = b"HTTP/1.1 429 Slow\r\n" + header + b"\r\nContent-Length: 0\r\n\r\n"
    error = refusal(answering(head))
    assert (error.reason, error.retry_after) == ("http_429", seconds)


def test_an_answer_of_ordinary_http_is_no_websocket():
    error = refusal(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"))
    assert (type(error), error.reason) == (Unavailable, "http_200")


def test_a_redirect_is_not_followed():
    with Peer(saying()) as elsewhere:
        head = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        assert refusal(answering(head.encode())).reason == "redirect"
        assert elsewhere.requests == []


def test_who_cannot_prove_to_have_read_the_request_is_not_trusted():
    def script(peer, connection, request):
        connection.sendall(accepted(request, key=b"another"))
        peer.over.wait()

    error = refusal(script)
    assert (type(error), error.reason) == (Unavailable, "broken_answer")


@pytest.mark.parametrize("missing", [b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"])
def test_an_answer_that_does_not_change_the_protocol_is_none(missing):
    def script(peer, connection, request):
        connection.sendall(accepted(request).replace(missing, b""))
        peer.over.wait()

    assert refusal(script).reason == "broken_answer"


@pytest.mark.parametrize("cookie", [b"a=b; Domain=127.0.0.1", b"[]=\x01; ;=", b"a b,c=d"])
def test_cookies_are_neither_kept_nor_read(cookie):
    def script(peer, connection, request):
        more = b"Upgrade\r\nSet-Cookie: %s\r\n" % cookie
        connection.sendall(accepted(request).replace(b"Upgrade\r\n", more) + frame(b"hi"))
        peer.listen(connection)

    with opened(script) as (peer, stream):
        stream.open()
        assert stream.receive(1) == b"hi"
    assert b"Cookie" not in peer.requests[1]


def test_a_peer_that_never_shakes_hands_under_tls_is_given_up():
    begin = time.monotonic()
    with Peer(lambda *_: None, prepare=mute) as peer:
        with client(peer.url.replace("ws:", "wss:")) as stream:
            with pytest.raises(Unavailable) as found:
                stream.open()
    assert found.value.reason == "timeout"
    assert time.monotonic() - begin < DEADLINE * 10


def mute(connection):
    connection.setblocking(True)
    while connection.recv(65536):
        pass
    return connection


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that it has signed itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", paths[1], "-out", paths[0]], check=True, capture_output=True
    )
    return paths


def secured(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return lambda connection: context.wrap_socket(connection, server_side=True)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    with Peer(saying(), prepare=secured(certificate)) as peer:
        with client(peer.url.replace("ws:", "wss:"), deadline=3) as stream:
            with pytest.raises(Unavailable) as found:
                stream.open()
    assert found.value.reason == "tls" and peer.requests == []


def test_under_tls_messages_come_and_waiting_ends_as_it_does_without(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    script = saying(frame(b"one") + frame(b"x" * 100_000))
    with Peer(script, prepare=secured(certificate)) as peer:
        with client(peer.url.replace("ws:", "wss:"), deadline=3) as stream:
            stream.open()
            assert [stream.receive(1), stream.receive(1)] == [b"one", b"x" * 100_000]
            begin = time.monotonic()
            assert stream.receive(0.1) is None
            assert time.monotonic() - begin < 2
            stream.send("hello")


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    with opened(saying(frame(b"hi"))) as (_, stream):
        assert stream.receive(1) == b"hi"


def test_an_address_that_is_none_is_an_error_of_the_exchange():
    for url in ("ws://127.0.0.1:99999", "ws://[::1", "ws://", "http://127.0.0.1:1", "nonsense"):
        with client(url) as stream, pytest.raises(ExchangeError):
            stream.open()


heads = st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 101 Yes\r\n", b"HTTP/1.1 403 No\r\nA: "])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(heads, st.binary(max_size=60), st.sampled_from([b"", b"\r\n\r\n"]))
def test_whatever_answers_the_handshake_is_an_error_of_the_exchange(head, data, end):
    script = lambda _peer, connection, _request: connection.sendall(head + data + end)  # noqa: E731
    assert isinstance(refusal(script), ExchangeError)
