"""What is done to the service, its database and its connections. Each fault takes back what it did
and leaves when candles close again; its moments come from the random numbers that it is given."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from app.market.ticks import TICKER, TRADES
from tests.chaos.stage import Stage, pause, with_group
from tests.support import eventually


class Fault(NamedTuple):
    """inflict: does it, in all its length, and returns what is to be said of it."""

    name: str
    inflict: Callable[[Stage, Random], str]


def kill_service(stage: Stage, random: Random) -> str:
    """At any moment: of normal running, or of the start after an earlier kill."""
    early = [random.uniform(0.002, 3.0) for _ in range(random.choice((0, 0, 1, 2)))]
    settled = random.uniform(0.0, 4.0)
    pause(settled)
    with stage.disturbed(TICKER):
        stage.service.kill(signal.SIGKILL)
        stage.service.start()
        for moment in early:
            pause(moment)
            stage.service.kill(signal.SIGKILL)
            stage.service.start()
    told = "".join(f", again {moment:.3f} s after the start" for moment in early)
    return f"after {settled:.3f} s{told}"


def kill_worker(stage: Stage, random: Random) -> str:
    """Of the two processes only the one that works."""
    settled = random.uniform(0.0, 4.0)
    pause(settled)
    with stage.disturbed(TICKER):
        for process in workers(stage.service.process.pid):
            os.kill(process, signal.SIGKILL)
    return f"after {settled:.3f} s"


def workers(master: int) -> list[int]:
    """The processes that `master` has forked."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def kill_database(stage: Stage, random: Random) -> str:
    """Nothing is lost: the log bridges it."""
    settled, away = random.uniform(0.0, 3.0), random.uniform(0.0, 5.0)
    pause(settled)
    with stage.disturbed():
        stage.database.process.kill()
        stage.database.process.wait(30)
        pause(away)
        stage.database.start()
    return f"after {settled:.3f} s, away for {away:.1f} s"


def kill_both(stage: Stage, random: Random) -> str:
    """The service dies while its database is away, and begins without it."""
    away = random.uniform(1.0, 4.0)
    with stage.disturbed(TICKER):
        stage.database.process.kill()
        stage.database.process.wait(30)
        pause(random.uniform(0.0, 2.0))
        stage.service.kill(signal.SIGKILL)
        stage.service.start()
        pause(away)
        stage.database.start()
    return f"the database away for {away:.1f} s more"


def freeze_service(seconds: float) -> Callable[[Stage, Random], str]:
    def inflict(stage: Stage, random: Random) -> str:
        pause(random.uniform(0.0, 2.0))
        with stage.disturbed(TICKER):
            with_group(stage.service, signal.SIGSTOP)
            try:
                pause(seconds)
            finally:
                with_group(stage.service, signal.SIGCONT)
        return f"for {seconds:g} s"

    return inflict


def freeze_database(seconds: float) -> Callable[[Stage, Random], str]:
    def inflict(stage: Stage, random: Random) -> str:
        pause(random.uniform(0.0, 2.0))
        with stage.disturbed():
            stage.database.process.send_signal(signal.SIGSTOP)
            try:
                pause(seconds)
            finally:
                stage.database.process.send_signal(signal.SIGCONT)
        return f"for {seconds:g} s"

    return inflict


def cut_commits(stage: Stage, random: Random) -> str:
    """The database has committed, and nobody learns of it."""
    count = random.randint(1, 3)
    with stage.disturbed():
        before = stage.storage.cuts
        stage.storage.cut_commits = count
        eventually(lambda: stage.storage.cuts == before + count, 30)
    return f"{count} times"


def die_in_commit(stage: Stage, random: Random) -> str:
    """The database never hears of a commit, nor that its client has gone: what the transaction has
    locked stays locked until the server ends the session."""
    with stage.disturbed():
        before = stage.storage.cuts
        stage.storage.dead_commits = 1
        eventually(lambda: stage.storage.cuts > before, 30)
    return "with all that it had locked"


CONNECTIONS = ("latency", "bandwidth", "reset", "slow close", "dead peer")


def spoil(kind: str, of_exchange: bool) -> Callable[[Stage, Random], str]:
    """One of CONNECTIONS, for some seconds."""

    def inflict(stage: Stage, random: Random) -> str:
        proxy = stage.exchange if of_exchange else stage.storage
        seconds = random.uniform(3.0, 8.0)
        with stage.disturbed(*((TICKER, TRADES) if of_exchange else ())):
            told = begin(proxy, kind, of_exchange, random)
            pause(seconds)
            proxy.calm()
            if kind == "slow close":
                proxy.reset()
        return f"for {seconds:.1f} s{told}"

    return inflict


def begin(proxy, kind: str, of_exchange: bool, random: Random) -> str:
    """Spoil a proxy; what is to be said of how much."""
    match kind:
        case "latency":
            proxy.latency = random.uniform(0.2, 1.5) if of_exchange else random.uniform(0.02, 0.2)
            return f", {proxy.latency * 1000:.0f} ms"
        case "bandwidth":
            proxy.rate = random.uniform(300, 3_000) if of_exchange else random.uniform(3e3, 3e4)
            return f", {proxy.rate:.0f} bytes/s"
        case "reset":
            proxy.refusing = random.random() < 0.5
            proxy.reset()
            return ", and whoever connects" if proxy.refusing else ""
        case "slow close":
            proxy.slow_close = random.uniform(1.0, 4.0)
            proxy.half_close()
            return f", {proxy.slow_close:.1f} s late"
        case _:
            proxy.go_silent()
            return ""
