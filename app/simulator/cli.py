"""The command that runs the simulated exchange; knows options and signals, not the exchange."""

import errno
import signal
from datetime import UTC, datetime
from pathlib import Path

import click

from app.simulator.faults import KINDS, STREAM_KINDS, BadFault, Kind, split
from app.simulator.markets import MOST_MARKETS
from app.simulator.plan import Plan
from app.simulator.questions import EmptyCandles
from app.simulator.rate import MOST_RATE
from app.simulator.replay import BadFile, read_replay
from app.simulator.server import Listener, serve, wall_clock, websocket_url
from app.simulator.stream import Exchange
from app.simulator.tape import Tape


def _told(name: str, kind: Kind) -> str:
    """What the help says of a kind of fault."""
    default = f" [{kind.seconds[0]:g}]" if kind.seconds and kind.seconds[0] is not None else ""
    forms = f"; form={'|'.join(kind.forms)}" if kind.forms else ""
    symbol = "; symbol=" if kind.single else ""
    return f"  {name:13} {kind.text}{default}{forms}{symbol}"


def _all_told(kinds: dict[str, Kind]) -> str:
    return "\n".join(_told(name, kind) for name, kind in kinds.items())


HELP = f"""Run a simulated exchange that answers like Poloniex, until Ctrl-C.

Its trades are invented, or those of a CSV file with the columns symbol, id, time (epoch ms), price,
quantity and side (--replay).

Faults are planned with --fault, which may be repeated, or while it runs at /_simulator/faults (GET,
POST of a JSON object with the same keys, DELETE):

\b
  flask simulate --fault hang,after=10,for=30 --fault zero,symbol=BTC_USDT
  curl localhost:5080/_simulator/faults -d '{{"kind":"429","seconds":5,"count":3}}'

\b
Kinds that strike answers over HTTP [seconds, if none are given]:
{_all_told(KINDS)}

\b
Kinds that strike the websocket:
{_all_told(STREAM_KINDS)}

\b
Keys:
  seconds    how long, how often, or Retry-After, as above
  form       which variety, as above
  symbol     the market, for the kinds that strike one; on the websocket one
             instead of all, but for disconnect and silence of all
  minutes    open times (epoch ms) joined with +, for wrong_candles
  path       only requests that begin so, such as /markets/price
  after      seconds until it begins [0]
  for        seconds until it ends [never]
  count      how many requests it strikes before it is gone
  share      0 to 1: which part of the requests it strikes [1]; on the websocket
             which part of the trades, of wrong_candles which part of the minutes,
             and always the same ones

On the websocket there is no path and no count. A fault strikes the trades that happen between its
beginning and its end, silence those that are due then. What a hole left out everywhere stays away
when the hole has ended, until all faults are called off.
"""


@click.command("simulate", help=HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=5080,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    help="Which exchange to simulate: one seed always makes the same trades.",
)
@click.option(
    "--markets",
    default=40,
    show_default=True,
    type=click.IntRange(1, MOST_MARKETS),
    help="How many markets it lists.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    help="Repeat the trades of this CSV file instead; --markets means nothing then.",
)
@click.option(
    "--replay-at",
    default="next",
    show_default=True,
    type=click.Choice(["next", "recorded"]),
    help="When the file's trades happen: from the next 10-minute window on, or when they did.",
)
@click.option(
    "--empty-candles",
    default="omit",
    show_default=True,
    type=click.Choice(["omit", "flat"]),
    help="Windows without trades: no rows, or flat ones at the close before.",
)
@click.option(
    "--rate-limit",
    type=click.IntRange(1, MOST_RATE),
    help="Answer so many requests a second to each address, and 429 to more. [none]",
)
@click.option("--fault", "faults", multiple=True, help="Something that goes wrong; see above.")
def simulate(
    host: str,
    port: int,
    seed: int,
    markets: int,
    replay: Path | None,
    replay_at: str,
    empty_candles: EmptyCandles,
    rate_limit: int | None,
    faults: tuple[str, ...],
) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tape = _replay(replay, replay_at) if replay else Exchange(seed, markets)
    plan = Plan(tape.markets, wall_clock, seed)
    for text in faults:
        _add(plan, text)
    try:
        listener = Listener(
            host,
            port,
            tape,
            plan,
            wall_clock,
            empty_candles=empty_candles,
            rate_limit=rate_limit,
        )
        serve(listener, ready=_announce)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise click.ClickException(_why(host, port, error)) from error


def _replay(path: Path, at: str) -> Tape:
    try:
        tape = read_replay(path, None if at == "recorded" else wall_clock())
    except BadFile as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"Replaying {path}: the first trade is at {_utc(tape.first)} UTC, the last at"
        f" {_utc(tape.last)}; before the first there are no prices"
    )
    return tape


def _add(plan: Plan, text: str) -> None:
    try:
        plan.plan(split(text))
    except BadFault as error:
        raise click.ClickException(f"--fault {text!r}: {error}") from error


def _utc(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _announce(url: str) -> None:
    click.echo(
        f"Simulated Poloniex at {url}: set POLONIEX_URL={url} POLONIEX_LEGACY_URL={url}"
        f" POLONIEX_WS_URL={websocket_url(url)}"
    )


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror}"
