"""Certificates that are not those of the exchange, of an authority that this system trusts."""

import datetime
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.exchanges.base import Unavailable
from app.exchanges.http import Http
from app.exchanges.websocket import WebSocket

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def certified(folder, name, begin, end):
    """Key and certificate of somebody, signed by himself, whom the system is to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begin, end)
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    path = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def serving(path):
    """Answers one request under TLS with an empty list."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def serve():
        with suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(5)


CASES = {
    "expired": (HERE, NOW - 30 * DAY, NOW - DAY, "expired"),
    "not yet valid": (HERE, NOW + DAY, NOW + 30 * DAY, "not yet valid"),
    "of another host": (x509.DNSName("other.example"), NOW - DAY, NOW + DAY, "not valid for"),
}


@pytest.mark.parametrize("name, begin, end, said", CASES.values(), ids=CASES)
@pytest.mark.parametrize("kind", ["https", "wss"])
def test_a_certificate_that_is_not_the_exchanges_is_refused(
    tmp_path, monkeypatch, kind, name, begin, end, said
):
    path = certified(tmp_path, name, begin, end)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(path) as port, pytest.raises(Unavailable, match=said) as found:
        if kind == "https":
            Http(f"https://127.0.0.1:{port}", deadline=5).get("/x")
        else:
            WebSocket(f"wss://127.0.0.1:{port}", deadline=5).open()
    assert found.value.reason == "tls"


def test_one_that_is_the_exchanges_is_taken(tmp_path, monkeypatch):
    path = certified(tmp_path, HERE, NOW - DAY, NOW + DAY)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(path) as port:
        http = Http(f"https://127.0.0.1:{port}", deadline=5)
        assert http.get("/x").body == b"[]"
        http.close()
