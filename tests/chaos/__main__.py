"""`python -m tests.chaos`: the campaign as a command."""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from tests.chaos.campaign import Figures, Plan, play, summary
from tests.chaos.pair import play_pairs
from tests.chaos.stage import Stage, say

HELP = {
    "kills": "kill -9 of the service, master and worker",
    "worker_kills": "kill -9 of the worker alone",
    "database_kills": "kill -9 of mariadbd, and a restart",
    "double_kills": "kill -9 of the service while the database is down",
    "freezes": "SIGSTOP of the service and of the database in turns",
    "seconds": "how long a freeze lasts",
    "connections": "each misbehavior of the proxies, before the exchange and before the database",
    "cuts": "answers to COMMIT that are swallowed, 1 to 3 in a row",
    "deaths": "connections that die in the midst of a COMMIT",
    "owner_kills": "kill -9 of whoever writes, of each of four pairs of services",
    "owner_freezes": "SIGSTOP of whoever writes, of each of the four",
}


def options(arguments: list[str]) -> argparse.Namespace:
    """Each has a default, which the environment may set: CHAOS_KILLS=10 is --kills 10."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kills, freezes and cuts off a real service with a real MariaDB, and compares "
        "every candle with what the exchange did. Exit code 1 if one is not as it was.",
        epilog="Every option may be given in the environment too: CHAOS_KILLS=10 is --kills 10.",
    )
    for one in fields(Plan):
        kind = float if one.name == "seconds" else int
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=kind,
            default=kind(os.environ.get(f"CHAOS_{one.name.upper()}", one.default)),
            metavar="N",
            help=f"{HELP[one.name]} [%(default)s]",
        )
    seed = os.environ.get("CHAOS_SEED")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(seed) if seed else secrets.randbelow(10**6),
        metavar="N",
        help="repeats a campaign with the same faults at the same moments [a new one]",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    given = options(arguments)
    plan = Plan(**{one.name: getattr(given, one.name) for one in fields(Plan)})
    planned = plan.faults(given.seed)
    say(f"{len(planned)} faults, and pairs of services, --seed {given.seed}")
    folder = Path(tempfile.mkdtemp(prefix="candlekeep-chaos."))
    figures = Figures()
    if planned:
        with Stage(folder, given.seed) as stage:
            figures.add(found := play(stage, planned, given.seed))
            say(summary(stage, found))
    if plan.owner_kills or plan.owner_freezes:
        kills, freezes = plan.owner_kills, plan.owner_freezes
        figures.add(play_pairs(folder / "pairs", kills, freezes, given.seed))
    say(f"\n{figures.table()}\n\n{figures.seconds / 60:.1f} minutes, --seed {given.seed}")
    if figures.count:
        say(f"Logs, ticks and databases are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
