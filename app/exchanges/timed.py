"""Connections on which nothing outlasts the request: every operation of a socket gets what is left
of the request's time. Knows nothing of answers."""

import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

Resolve = Callable[..., list[Any]]


class Deadline:
    """When the request that is under way must be over, and whether any answer has come to it."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self.seconds, self._monotonic = seconds, monotonic
        self._at = 0.0
        self.heard = False

    def begin(self, seconds: float | None = None) -> None:
        """Count anew: `seconds`, or as many as ever."""
        self._at = self._monotonic() + (self.seconds if seconds is None else seconds)
        self.heard = False

    def remaining(self) -> float:
        """Seconds left; TimeoutError when there are none."""
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError("the request's time is over")
        return left


class Socket(socket.socket):
    """A socket whose every operation ends with the request's time."""

    deadline: Deadline

    def recv_into(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        count = super().recv_into(*args)
        self.deadline.heard |= count > 0
        return count

    def recv(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().recv(*args)

    def send(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().send(*args)

    def sendall(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().sendall(*args)


class TlsSocket(Socket, ssl.SSLSocket):
    """The same under TLS: its reads and writes go through the same methods."""


class Dialer:
    """Opens timed connections, and remembers where a name led to when it was last known."""

    def __init__(self, deadline: Deadline, resolve: Resolve) -> None:
        self.deadline, self._resolve = deadline, resolve
        self.dialed = 0
        self._known: dict[tuple[str, int], list[Any]] = {}

    def dial(self, host: str, port: int) -> socket.socket:
        """A connection to the first address that takes one; OSError if none does."""
        self.dialed += 1
        failure = OSError(errno.EHOSTUNREACH, f"{host} has no address")
        addresses = self._addresses(host, port)
        for left, (family, kind, protocol, _, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            # One address that swallows packets must leave time for the next.
            share = self.deadline.remaining() / left
            try:
                return self._connect(family, kind, protocol, address, share)
            except OSError as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int) -> list[Any]:
        try:
            found = self._resolve(host, port, 0, socket.SOCK_STREAM)
        except OSError:
            found = self._known.get((host, port), [])
            if not found:
                raise
        self._known[host, port] = found
        return found

    def _connect(
        self, family: int, kind: int, protocol: int, address: Any, seconds: float
    ) -> socket.socket:
        timed = Socket(family, kind, protocol)
        timed.deadline = self.deadline
        try:
            timed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timed.settimeout(seconds)
            timed.connect(address)
            # A TLS handshake takes over this timeout.
            timed.settimeout(self.deadline.remaining())
        except OSError:
            timed.close()
            raise
        return timed


def bound_context(deadline: Deadline) -> ssl.SSLContext:
    """TLS with checked certificates, whose sockets keep to the deadline."""
    context = ssl.create_default_context()
    context.sslsocket_class = type("BoundTlsSocket", (TlsSocket,), {"deadline": deadline})
    return context


class TimedAdapter(HTTPAdapter):
    """Gives the session's pools connections that the dialer opens."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        dialer = self._dialer

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return dialer.dial(self._dns_host, self.port or 80)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return dialer.dial(self._dns_host, self.port or 443)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        context = bound_context(dialer.deadline)
        super().init_poolmanager(*args, ssl_context=context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
