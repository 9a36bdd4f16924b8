"""The service as gunicorn runs it: `gunicorn -c python:wsgi wsgi:app`, or shorter `flask run`.

Beside `app`, the names here are gunicorn's settings. The pipeline starts in the worker's hook,
after the fork, and nowhere else: importing this module starts nothing. Without the hook nothing is
served either, see `_check_pipeline`.
"""

import gc
import logging
import os
import resource
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from flask import Flask

from app import create_app
from app.api.problems import Problem
from app.exchanges.http import DEADLINE_SECONDS
from app.market.observation import Pace
from app.pipeline.feeds import FeedSettings, Makers
from app.pipeline.loops import END_SECONDS, Seldom, Watchdog
from app.pipeline.replacing import Replacements
from app.pipeline.runner import Runner, RunnerSettings
from app.serving import Worker
from app.web import WEB_THREADS, Services
from config import ConfigError, load

try:
    # `config` would be taken for one of gunicorn's settings.
    _config = load()
except ConfigError as error:
    # Every command and gunicorn come by here: one line says more than their tracebacks.
    raise SystemExit(f"candlekeep: {error}") from error
app = create_app(_config)

bind = f"{_config.host}:{_config.port}"
workers = 1
worker_class = Worker
# A stream holds a thread as long as somebody listens; the others are for everybody else.
threads = WEB_THREADS + _config.max_streams
# Idle connections count too, and beyond this number nobody is let in, not even to ask for health.
worker_connections = threads + 1_000
graceful_timeout = 8
keepalive = 15
loglevel = "warning"
# Its socket for commands would be one for all of a user's services, and needs a home folder.
control_socket_disable = True

FILES = 8_192
"""So many files and sockets may be open at once; systems often allow only 1,024 unless asked."""

CLIENT_SECONDS = 5
"""A worker that has to end waits so long for clients: less than the master waits for it."""

_started = threading.Event()
_replacements = Replacements()
_log = logging.getLogger("candlekeep")
_say = Seldom()


@app.before_request
def _check_pipeline() -> None:
    """Another server, or gunicorn with other settings, would run nothing that builds candles, and
    show old ones until somebody wonders."""
    if not _started.is_set():
        detail = (
            "No candles are built in this process, so it serves none: start the service with"
            " `flask run` or `gunicorn -c python:wsgi wsgi:app`."
        )
        if _say.now():
            _log.critical(detail)
        raise Problem(503, detail)


def make_runner(flask_app: Flask, *, quiet: bool = False) -> Runner:
    """The pipeline of `flask_app`, not started. quiet: for a command, see `RunnerSettings`."""
    services: Services = flask_app.extensions["candlekeep"]
    config = services.config
    pace = Pace(config.grace_ms, int(DEADLINE_SECONDS * 1000))
    ticks = config.data_dir / "ticks"
    settings = RunnerSettings(
        FeedSettings(
            ticks,
            config.intervals,
            config.poll_ms,
            pace,
            config.ticks_keep_days,
            config.warm_start_ms,
            config.agreement_ms,
            config.sample,
        ),
        config.source,
        config.symbols,
        config.candles_keep_days,
        lambda exchange: Makers(
            partial(services.make_ticker, exchange),
            partial(services.make_trades, exchange),
            partial(services.make_history, exchange),
        ),
        quiet,
    )
    return Runner(services.engine, services.hub, settings)


def post_worker_init(worker: Any) -> None:
    """gunicorn's hook: the worker is forked and ready to serve."""
    logging.basicConfig(
        level=_config.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # What was imported stays. Looked through for garbage it would hold all threads up, for 60 ms.
    gc.freeze()
    services: Services = app.extensions["candlekeep"]
    # What may be connected in the master is the master's.
    services.engine.dispose(close=False)
    runner = make_runner(app)
    watchdog = Watchdog(services.hub.loops, runner.stop, worker.ppid, _replacements)
    worker.cfg.set("graceful_timeout", CLIENT_SECONDS)

    # Ctrl-C reaches the worker twice, from the terminal and through the master, and would cut the
    # second time into what the first has begun. Every signal to end is the same gentle one, and
    # the pipeline does not wait for clients that take their time with a request.
    def end(number: int, frame: Any) -> None:
        watchdog.end()
        worker.handle_exit(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)
    _allow_files()
    runner.start()
    watchdog.start()
    worker.watchdog = watchdog
    _started.set()


def _allow_files() -> None:
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = most == resource.RLIM_INFINITY
    wanted = FILES if unlimited else min(FILES, most)
    if wanted > now != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def worker_exit(_server: Any, worker: Any) -> None:
    """gunicorn's hook: no more requests; finish what was begun. Python would then wait for threads
    that clients hold, without end, so it is left."""
    if hasattr(worker, "watchdog"):
        error = sys.exc_info()[1]
        worker.watchdog.end()
        worker.watchdog.stopped.wait(END_SECONDS)
        code = error.code if isinstance(error, SystemExit) else 1
        os._exit(code if isinstance(code, int) else 1)


def post_request(_worker: Any, _request: Any, environ: dict[str, Any], _response: Any) -> None:
    """gunicorn's hook, called in the course of an error too: where a client did not take its answer
    in time, or an export broke off. A reset tells also a client of HTTP/1.0, to which the end of
    the connection is the end of the answer; and nothing more is waited for, as gunicorn would for
    two seconds in the thread that accepts everybody else."""
    connection = environ.get("gunicorn.socket")
    if connection is not None and sys.exc_info()[1] is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
