"""`make screenshots`: the README's pictures, of a real service and a simulated exchange, within
some minutes. The exchange's clock is an hour behind at first; when it is right again the service
has missed that hour, and an exchange that keeps its candles to itself lets nobody mend it."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from app.simulator.server import Server, wall_clock, websocket_url
from tests.dashboard.conftest import launch
from tests.service.conftest import Service
from tests.support import eventually, free_port

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
BEHIND_MS = 65 * 60_000
FIRST_PART_S, SECOND_PART_S = 200.0, 150.0
SCENES = {
    "dark": ((1440, 900), 1, "dark", "BTC_USDT/trades/1m", "n"),
    "light": ((1440, 900), 1, "light", "ETH_USDT/trades/1h", "n"),
    "phone": ((390, 844), 2, "dark", "BTC_USDT/trades/5m", ""),
}


def main() -> None:
    """Write a picture of each scene."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, build(Path(folder)) as service:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            for name in SCENES:
                take(browser, service.base, name)
            browser.close()


@contextmanager
def build(folder: Path) -> Iterator[Service]:
    """A service with a week of history, an hour of which it has missed."""
    behind = [BEHIND_MS]
    with Server(now=lambda: wall_clock() - behind[0]) as simulator:
        service = Service(
            folder,
            free_port(),
            INTERVALS="1m,5m,10m",
            SOURCE="trades",
            WARM_START_MINUTES="10000",
            AGREEMENT_MINUTES="1",
            POLONIEX_URL=simulator.url,
            POLONIEX_LEGACY_URL=simulator.url,
            POLONIEX_WS_URL=websocket_url(simulator.url),
        )
        assert service.flask("db", "upgrade").returncode == 0
        try:
            live(service, FIRST_PART_S)
            service.kill(signal.SIGTERM)
            behind[0] = 0
            simulator.faults.plan({"kind": "500", "path": "/markets/BTC_USDT/candles"})
            hole = {"kind": "hole", "form": "everywhere", "symbol": "BTC_USDT", "share": 0.01}
            simulator.faults.plan(hole)
            live(service, SECOND_PART_S)
            yield service
        finally:
            if service.process is not None and service.process.poll() is None:
                service.kill(signal.SIGKILL)


def live(service: Service, seconds: float) -> None:
    """Start it, and let it build for so long."""
    service.start()
    eventually(service.ready, 30)
    time.sleep(seconds)


def take(browser: Browser, base: str, name: str) -> None:
    """One picture, when all of the page has been read."""
    (width, height), scale, scheme, choice, keys = SCENES[name]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme=scheme,
        timezone_id="UTC",
    )
    page = context.new_page()
    page.goto(f"{base}/#poloniex/{choice}")
    page.wait_for_selector("body[data-loaded=yes]")
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_selector("#stored dd")
    eventually(lambda: page.inner_text(".watch li:last-child .moved"), 20)
    eventually(lambda: page.inner_text("#connection-text") == "live")
    page.screenshot(path=PICTURES / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
