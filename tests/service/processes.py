"""The processes of a running service, and faults in their threads."""

import os
import signal
import sys
import time
from pathlib import Path

from tests.support import eventually

CANDLEKEEP = str(Path(sys.executable).with_name("candlekeep"))
MOST_SECONDS = 10
QUICK = {"INTERVALS": "1s,5s", "POLL_SECONDS": "0.2", "GRACE_SECONDS": "0"}

# Python runs this at its start, where it is found; `fault` holds "<whose step> <what happens>".
FAULTS = """
import os, threading
from pathlib import Path
from app.pipeline import loops
from app.pipeline.builder import Builder
from app.pipeline.collector import Collector
from app.pipeline.historian import Historian
from app.pipeline.ownership import Ownership
from app.pipeline.publishing import Publisher
from app.ticklog import SyncFailed

loops.GIVE_UP_SECONDS = float(os.environ.get("GIVE_UP_SECONDS", 30))
loops.SPARE_SECONDS = float(os.environ.get("SPARE_SECONDS", 12))
KINDS = {kind.__name__: kind for kind in (SyncFailed, SystemExit, MemoryError, ValueError)}

def spoil(role, kind):
    step = kind.step

    def spoiled(self, *arguments):
        fault = Path("fault")
        if fault.exists():
            whose, _, what = fault.read_text().partition(" ")
            if whose == role and what == "hang":
                threading.Event().wait()
            if whose == role:
                raise KINDS[what]("a fault of the test")
        return step(self, *arguments)

    kind.step = spoiled

spoil("collector", Collector)
spoil("builder", Builder)
spoil("historian", Historian)
spoil("owner", Ownership)
spoil("publisher", Publisher)
"""


def prepare(make_service, name="one", command=None, folder=None, **environment):
    """A service that builds, started with `command` in `folder`."""
    service = make_service(name, **{**QUICK, "SYMBOLS": "BTC_USDT", **environment})
    service.upgrade()
    service.command, service.folder = command or service.command, folder or service.folder
    service.start()
    eventually(service.ready, 30)
    return service


def prepare_faulty(make_service, folder, **environment):
    """The same, with faults in its threads; and how to have one, or none any more."""
    (folder / "sitecustomize.py").write_text(FAULTS)
    service = prepare(make_service, "one", [CANDLEKEEP, "run"], folder, **environment)

    def strike(fault=None):
        path, fresh = folder / "fault", folder / "fault.new"
        if fault is None:
            path.unlink()
        else:
            fresh.write_text(fault)
            fresh.replace(path)

    return service, strike


def trade(exchange, *symbols):
    now = exchange.now()
    for symbol in symbols or ("BTC_USDT",):
        exchange.trades[symbol] = [(now + 400 * n, str(n + 1)) for n in range(-5, 600)]


def newest(service):
    rows = service.get("/candlesticks?limit=1")["data"]
    return rows[-1]["open_time"] if rows else 0


def children(pid):
    """The process ids of its children; gunicorn's workers of the master's."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def group(pid):
    """Those of a process group that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def owner_pid(service):
    """Who holds the lock on DATA_DIR; None where nobody does."""
    inode = (Path(service.environment["DATA_DIR"]) / "owner").stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, mode, pid, place, *_ = line.split()
        if kind == "FLOCK" and mode == "WRITE" and place.endswith(f":{inode}"):
            return int(pid)
    return None


def collectors(exchange, seconds=3.0):
    """How many collectors poll every 0.2 s, to the next whole one; a busy machine may keep one from
    polling so often."""
    begin, polls = exchange.now(), len(exchange.polls)
    eventually(lambda: exchange.now() - begin >= seconds * 1000, seconds + 5)
    found = (len(exchange.polls) - polls) / (seconds / 0.2)
    return max(round(found), 1 if found else 0)


def end(service, number=signal.SIGTERM):
    """Send the master a signal; how long all processes took to end."""
    begin = time.monotonic()
    os.kill(service.process.pid, number)
    code = service.process.wait(MOST_SECONDS + 5)
    eventually(lambda: not group(service.process.pid), 5)
    assert code == 0
    return time.monotonic() - begin
