"""A browser, and one real service that builds from the simulated exchange, for a whole run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from app.simulator.server import Server, websocket_url
from tests.dashboard.past import write_past
from tests.service.conftest import Service
from tests.support import eventually, free_port

CHROMIUM = "/usr/bin/chromium"
NO_BROWSER = f"no browser: install Debian's chromium ({CHROMIUM})"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Tests that need one are skipped where there is none. None is ever downloaded."""
    if not shutil.which(CHROMIUM):
        if os.environ.get("CI") == "true":
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium. It refuses to sandbox for root."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Service]:
    """Builds candles of 5 s from trades; of BTC_USDT it has some hours already."""
    folder = tmp_path_factory.mktemp("dashboard")
    with Server() as simulator:
        service = Service(
            folder,
            free_port(),
            INTERVALS="5s,1m",
            SOURCE="trades",
            SYMBOLS="BTC_USDT,ETH_USDT",
            GRACE_SECONDS="1",
            POLONIEX_URL=simulator.url,
            POLONIEX_LEGACY_URL=simulator.url,
            POLONIEX_WS_URL=websocket_url(simulator.url),
        )
        service.migrated = migrated_sqlite
        service.upgrade()
        write_past(Path(service.environment["DATA_DIR"]) / "candlekeep.db")
        service.simulator = simulator
        service.start()
        eventually(service.ready, 30)
        yield service
        service.kill(signal.SIGKILL)


class Visit:
    """A page on the dashboard, and what the browser had to say about it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.foreign.append(request.url)

    def open(self, choice: str = "poloniex/BTC_USDT/trades/5s") -> "Visit":
        self.page.goto(f"{self.base}/#{choice}")
        self.page.wait_for_selector("body[data-loaded=yes]", timeout=15_000)
        return self

    def drawn(self, name: str) -> str:
        """rows, candles: how many; first, last: open times; newest: of which kind the last is."""
        return self.page.get_attribute("#chart", f"data-{name}") or ""

    def number(self, name: str) -> int:
        return int(self.drawn(name) or 0)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all: making them takes longer than most tests."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, timezone_id="UTC", color_scheme="dark"
    )
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, service: Service) -> Iterator[Visit]:
    page = context.new_page()
    yield Visit(page, service.base)
    page.evaluate("localStorage.clear()")
    page.close()
