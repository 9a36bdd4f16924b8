"""The client against a peer that does what it is told, byte by byte."""

import gzip
import socket
import ssl
import struct
import subprocess
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress

import pytest

from app.exchanges.base import ExchangeError, Refused, Unavailable, Unreachable
from app.exchanges.http import Http, excerpt

DEADLINE = 0.4
GOOD = b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Jun 2025 08:50:11 GMT\r\nContent-Length: 2\r\n\r\n[]"


class Peer:
    """Accepts connections and hands each request to `script(connection, request)`."""

    def __init__(self, script):
        self.script, self.requests, self.connections = script, [], 0
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for thread, connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def _accept(self):
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._open.append((thread, connection))
            thread.start()

    def _serve(self, connection):
        try:
            while request := connection.recv(65536):
                self.requests.append(request)
                if self.script(self, connection) is not True:
                    break
        except OSError:
            pass
        finally:
            connection.close()


def answer(data):
    """Answers every request with `data` and keeps the connection."""

    def script(_peer, connection):
        connection.sendall(data)
        return True

    return script


@contextmanager
def client(url, **options):
    http = Http(url, **{"deadline": DEADLINE, **options})
    try:
        yield http
    finally:
        http.close()


def failure(script, path="/x", **options):
    with Peer(script) as peer, client(peer.url, **options) as http:
        with pytest.raises(ExchangeError) as found:
            http.get(path)
        return found.value


def dripping(first, piece):
    def script(peer, connection):
        connection.sendall(first)
        while not peer.over.wait(0.02):
            connection.sendall(piece)

    return script


def test_a_connection_is_kept_for_the_next_request():
    with Peer(answer(GOOD)) as peer, client(peer.url) as http:
        answers = [http.get("/x", {"a": "b"}) for _ in range(3)]
    assert [one.body for one in answers] == [b"[]"] * 3
    assert answers[0].date == 1_750_841_411_000
    assert peer.connections == 1 and len(peer.requests) == 3


def test_requests_say_who_asks_and_take_gzip():
    body = gzip.compress(b"[1]")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Peer(answer(head + body)) as peer, client(peer.url) as http:
        assert http.get("/x").body == b"[1]"
    request = peer.requests[0]
    assert b"User-Agent: Candlekeep/" in request and b"Accept-Encoding: gzip\r\n" in request


@pytest.mark.parametrize(
    "script",
    [
        lambda peer, _: peer.over.wait(),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-Header: y\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["silent", "drips a header", "endless headers", "drips a body", "endless chunks"],
)
def test_the_deadline_holds_for_the_whole_request(script):
    begin = time.monotonic()
    error = failure(script)
    assert (type(error), error.reason) == (Unavailable, "timeout")
    assert time.monotonic() - begin < DEADLINE * 12


def test_a_peer_that_never_shakes_hands_is_given_up():
    with Peer(lambda peer, _: peer.over.wait()) as peer:
        with client(f"https://127.0.0.1:{peer.port}") as http, pytest.raises(Unavailable) as found:
            http.get("/x")
    assert found.value.reason == "timeout"


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection, pytest.raises(OSError):
            context.wrap_socket(connection, server_side=True).recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with client(url, deadline=3) as http, pytest.raises(Unavailable) as found:
        http.get("/x")
    assert found.value.reason == "tls"
    thread.join(5)
    listener.close()


def test_an_answer_that_breaks_off_is_no_answer():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[1"
    assert failure(lambda _, connection: connection.sendall(head)).reason == "truncated"

    def reset(_peer, connection):
        connection.sendall(head)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert failure(reset).reason in ("reset", "truncated")
    assert failure(lambda *_: None).reason == "reset"
    assert failure(answer(b"nonsense\r\n\r\n")).reason == "broken_answer"


def test_a_redirect_is_not_followed():
    with Peer(answer(GOOD)) as elsewhere:
        head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
        assert failure(answer(head.encode())).reason == "redirect"
        assert elsewhere.connections == 0


def test_a_body_is_cut_off_at_the_cap():
    def endless(_peer, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    assert failure(endless, deadline=5).reason == "too_large"


def test_a_small_body_that_unpacks_to_a_huge_one_is_not_unpacked():
    bomb = gzip.compress(gzip.compress(b"\0" * 100 * 2**20))
    bomb = gzip.decompress(bomb)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    tracemalloc.start()
    try:
        assert failure(answer(head + bomb), deadline=10, max_bytes=2**20).reason == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "status, kind",
    [(status, Unavailable) for status in (400, 404, 410, 429, 500, 503)]
    + [(status, Refused) for status in (403, 418, 451)],
)
def test_a_status_says_what_to_do(status, kind):
    head = f"HTTP/1.1 {status} No\r\nContent-Length: 10\r\n\r\nno\x1b[31m\nno"
    error = failure(answer(head.encode()))
    assert (type(error), error.reason, error.retry_after) == (kind, f"http_{status}", None)
    assert str(error) == f"HTTP {status}: no [31m no"


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("7", 7),
        ("0", 0),
        ("86400", 900),
        ("9" * 5000, 900),
        ("Wed, 25 Jun 2025 08:51:11 GMT", 60),
        ("Wed, 25 Jun 2025 08:00:00 GMT", 0),
        ("Fri, 25 Jun 2027 08:00:00 GMT", 900),
        ("-5", None),
        ("७", None),
        ("soon", None),
    ],
)
def test_retry_after_is_honored_up_to_a_quarter_of_an_hour(header, seconds):
    head = (
        "HTTP/1.1 429 Slow\r\nDate: Wed, 25 Jun 2025 08:50:11 GMT\r\n"
        f"Retry-After: {header}\r\nContent-Length: 0\r\n\r\n"
    )
    assert failure(answer(head.encode())).retry_after == seconds


def test_a_connection_that_the_peer_closed_meanwhile_is_replaced_at_once():
    def once(_peer, connection):
        connection.sendall(GOOD)

    with Peer(once) as peer, client(peer.url, deadline=3) as http:
        for _ in range(5):
            assert http.get("/x").body == b"[]"
    assert len(peer.requests) == 5


def test_an_answer_that_was_given_up_is_never_taken_for_the_next():
    answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nold", GOOD])

    def script(peer, connection):
        connection.sendall(next(answers))
        return True

    with Peer(script) as peer, client(peer.url) as http:
        with pytest.raises(Unavailable):
            http.get("/x")
        assert http.get("/x").body == b"[]"
    assert peer.connections == 2


def test_nobody_listening_and_no_name_are_told_apart():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with client(f"http://127.0.0.1:{unused.getsockname()[1]}") as http:
            with pytest.raises(Unavailable) as refused:
                http.get("/x")
    assert refused.value.reason == "connection_refused"

    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with client("http://exchange.example", resolve=unknown) as http:
        with pytest.raises(Unreachable) as lost:
            http.get("/x")
    assert lost.value.reason == "unreachable"


def test_an_address_that_was_known_serves_while_names_cannot_be_resolved():
    calls = []

    def resolve(host, port, *rest):
        calls.append(host)
        if len(calls) > 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Try again")
        return socket.getaddrinfo("127.0.0.1", port, *rest)

    def once(_peer, connection):
        connection.sendall(GOOD)

    with Peer(once) as peer:
        url = f"http://exchange.example:{peer.port}"
        with client(url, resolve=resolve, deadline=3) as http:
            assert [http.get("/x").body for _ in range(3)] == [b"[]"] * 3
    assert len(calls) >= 3


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Peer(answer(GOOD)) as peer, client(peer.url) as http:
        assert http.get("/x").body == b"[]"


def test_credentials_of_a_netrc_are_not_sent(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Peer(answer(GOOD)) as peer, client(peer.url) as http:
        http.get("/x")
    assert b"Authorization" not in peer.requests[0]


def test_an_excerpt_is_one_short_printable_line():
    assert excerpt(b"<html>\n\t\x00<b>hi</b>" + b"x" * 500) == "<html> <b>hi</b>" + "x" * 104


@pytest.mark.parametrize("location", [b"http://[::1", b"\xff\xfe", b"/y", b"//"])
def test_wherever_a_redirect_points_it_is_only_a_redirect(location):
    head = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
    assert failure(answer(head)).reason == "redirect"


def test_the_body_of_a_redirect_is_not_unpacked():
    bomb = gzip.compress(b"\0" * 50 * 2**20)
    head = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Encoding: gzip\r\n"
    tracemalloc.start()
    try:
        length = b"Content-Length: %d\r\n\r\n" % len(bomb)
        assert failure(answer(head + length + bomb), deadline=10).reason == "redirect"
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status, kind", [(418, Refused), (429, Unavailable)])
@pytest.mark.parametrize(
    "rest, kept",
    [
        (b"Content-Length: 9999\r\n\r\nabc", False),
        (b"Content-Length: 9999\r\n\r\nabc", True),
        (b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"Content-Length: 9000000\r\n\r\n" + b"x" * 9_000_000, True),
    ],
    ids=["broken off", "never ending", "not what it says", "huge"],
)
def test_a_status_says_what_to_do_whatever_its_body_is(status, kind, rest, kept):
    head = b"HTTP/1.1 %d No\r\nRetry-After: 60\r\n" % status

    def script(_peer, connection):
        connection.sendall(head + rest)
        return kept

    error = failure(script)
    assert (type(error), error.reason, error.retry_after) == (kind, f"http_{status}", 60)


def test_chunks_that_break_off_are_a_truncated_answer():
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    assert failure(lambda _, connection: connection.sendall(start)).reason == "truncated"


def test_a_reset_after_the_answer_began_is_not_asked_again():
    def script(peer, connection):
        if len(peer.requests) == 1:
            connection.sendall(GOOD)
            return True
        connection.sendall(GOOD[:20])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The client must take the beginning before the reset throws it away.
        peer.over.wait(0.05)
        return False

    with Peer(script) as peer, client(peer.url) as http:
        http.get("/x")
        with pytest.raises(Unavailable):
            http.get("/x")
    assert len(peer.requests) == 2


def test_cookies_are_not_kept():
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\n\r\n[]"
    with Peer(answer(head)) as peer, client(peer.url) as http:
        http.get("/x"), http.get("/x")
    assert b"Cookie" not in peer.requests[1]


def test_an_address_that_swallows_packets_leaves_time_for_the_next():
    with socket.socket() as full, Peer(answer(GOOD)) as peer:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        def resolve(_host, port, *rest):
            return [
                *socket.getaddrinfo("127.0.0.1", full.getsockname()[1], *rest),
                *socket.getaddrinfo("127.0.0.1", port, *rest),
            ]

        url = f"http://exchange.example:{peer.port}"
        with client(url, resolve=resolve, deadline=1) as http:
            assert http.get("/x").body == b"[]"
        for one in waiting:
            one.close()


def test_a_date_without_a_zone_is_utc_wherever_the_host_is(monkeypatch):
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        with Peer(answer(GOOD.replace(b" GMT", b" -0000"))) as peer, client(peer.url) as http:
            assert http.get("/x").date == 1_750_841_411_000
    finally:
        monkeypatch.undo()
        time.tzset()
