"""What is still to be sent to one client: bounded, filled by many threads, never waited for."""

import socket
import threading
from contextlib import suppress

MOST_BYTES = 8 * 1024 * 1024
"""More than an hour of the busiest market. A client that is so far behind is dropped."""

AT_ONCE = 64 * 1024


class Outbox:
    """Whole frames, in order. `full` once one did not fit, and then nothing is kept any more."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes = most, bytearray()
        self._lock = threading.Lock()
        self.full = self.closed = False

    def __len__(self) -> int:
        return len(self._bytes)

    def put(self, frame: bytes) -> None:
        """Nothing is taken any more once it is closed, as nothing may follow a closing frame."""
        with self._lock:
            if self.closed or self.full:
                return
            if len(self._bytes) + len(frame) > self._most:
                self.full = True
                self._bytes.clear()
            else:
                self._bytes += frame

    def close(self, last: bytes) -> None:
        """Put this, and then nothing more."""
        self.put(last)
        self.closed = True

    def send(self, connection: socket.socket) -> bool:
        """Send what a connection that does not block takes now; whether it took anything."""
        sent = 0
        with self._lock, suppress(BlockingIOError):
            while self._bytes:
                done = connection.send(bytes(self._bytes[:AT_ONCE]))
                del self._bytes[:done]
                sent += done
        return sent > 0
