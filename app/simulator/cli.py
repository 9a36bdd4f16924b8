"""The command that runs the simulated exchange; knows options and signals, not the exchange."""

import errno
import signal

import click

from app.simulator.markets import MOST_MARKETS
from app.simulator.server import serve


@click.command("simulate")
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
def simulate(host: str, port: int, seed: int, markets: int) -> None:
    """Run a simulated exchange that answers like Poloniex, until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(host, port, seed, markets, ready=_announce)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise click.ClickException(_why(host, port, error)) from error


def _announce(url: str) -> None:
    click.echo(f"Simulated Poloniex at {url}: set POLONIEX_URL={url} POLONIEX_LEGACY_URL={url}")


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror}"
