"""What becomes of single trades on a stream that fails: a function of seed, symbol and id.

So a test can say which trades are missing. Knows nothing of who listens.
"""

from collections.abc import Iterable, Sequence
from random import Random

from app.simulator.planned import Planned
from app.simulator.questions import Hidden, nothing
from app.simulator.tape import Trade


def draw(seed: int, kind: str, symbol: str, number: int) -> float:
    """0 to 1, always the same for the trade of this id (`number`). A fault strikes the trades for
    which it is less than `share`."""
    return Random(f"{seed} {kind} {symbol} {number}").random()


def strikes(planned: Planned, symbol: str, trade: Trade, seed: int) -> bool:
    """Whether a fault of trades strikes this one."""
    fault = planned.fault
    return (
        planned.acts_at(trade.time)
        and fault.symbol in ("", symbol)
        and (fault.share == 1 or draw(seed, fault.kind, symbol, trade.id) < fault.share)
    )


def pushes(plan: Iterable[Planned], symbol: str, trade: Trade, seed: int) -> list[int]:
    """When (ms) a trade is pushed: without faults once, as it happens. Of several faults of a
    kind the first acts. Counts what was struck."""
    struck: dict[str, Planned] = {}
    for planned in plan:
        kind = planned.fault.kind
        if kind in OF_TRADES and kind not in struck and strikes(planned, symbol, trade, seed):
            struck[kind] = planned
            planned.hits += 1
    if "hole" in struck:
        return []

    def held(kind: str, part: float = 1.0) -> int:
        seconds = struck[kind].fault.seconds if kind in struck else 0
        return round(1000 * (seconds or 0) * part)

    due = trade.time + held("late")
    if "reorder" in struck:
        due += held("reorder", draw(seed, "order", symbol, trade.id))
    if "repeat" not in struck:
        return [due]
    # Half of them come again at once, half some time later.
    later = max(0.0, 2 * draw(seed, "again", symbol, trade.id) - 1)
    return [due, due + held("repeat", later)]


OF_TRADES = ("hole", "late", "reorder", "repeat")


def silent(plan: Iterable[Planned], time: int, symbol: str = "") -> Planned | None:
    """The fault that keeps what is due at `time` (ms) from being sent: trades of a market, or
    with no `symbol` everything else."""
    for planned in plan:
        fault = planned.fault
        if fault.kind == "silence" and planned.acts_at(time):
            of_all, of_one = fault.form == "all", bool(symbol) and fault.symbol in ("", symbol)
            if of_all or of_one:
                return planned
    return None


def hidden(plan: Sequence[Planned], seed: int) -> Hidden:
    """Which trades are missing from /trades as well."""
    holes = [one for one in plan if one.fault.form == "everywhere"]
    if not holes:
        return nothing
    return lambda symbol, trade: any(strikes(hole, symbol, trade, seed) for hole in holes)
