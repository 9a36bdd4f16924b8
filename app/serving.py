"""gunicorn's worker, but for one thing: the thread that served a connection closes it. gunicorn
waits up to two seconds for the client to close its end too, and does so in the thread that accepts
everybody else, so that a few clients that never do would stop the whole service."""

from typing import Any

from gunicorn import util
from gunicorn.workers import gthread


class Worker(gthread.ThreadWorker):
    """Serves with threads, see `wsgi.threads`."""

    def handle(self, conn: Any) -> Any:
        """In a thread of its own: serves one request; what is false is a connection to be
        closed."""
        again = super().handle(conn)
        if not again:
            if conn.sock.fileno() >= 0:
                conn.sock.setblocking(True)
            util.close_graceful(conn.sock)
        return again

    def finish_request(self, conn: Any, fs: Any) -> None:
        """In the thread that accepts: nothing may wait here."""
        conn.close = lambda graceful=False: util.close(conn.sock)
        super().finish_request(conn, fs)
