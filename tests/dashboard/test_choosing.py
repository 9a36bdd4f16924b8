"""What belongs to one market stays with it, and what nobody sees holds no connection."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.dashboard.conftest import Visit
from tests.dashboard.test_page import MINUTE, NOW, Stage, candle
from tests.support import eventually

CHOICE = "poloniex/BTC_USDT/trades/1m"
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def stage(visit):
    return Stage(visit.page)


def asked(route, name):
    return parse_qs(urlsplit(route.request.url).query)[name][0]


def subscribed(symbol, source="trades"):
    return {"exchange": "poloniex", "source": source, "symbol": symbol, "until": None}


def test_a_late_answer_about_another_market_is_not_shown(visit, stage):
    held = []

    def answer(route):
        row = {"interval": "1m", "matching": 1, "compared": 7}
        if asked(route, "symbol") == "BTC_USDT":
            held.append(lambda: route.fulfill(json={"data": [row], "meta": {}}))
        else:
            route.fulfill(json={"data": [{**row, "compared": 9}], "meta": {}})

    stage.status["subscriptions"].append(subscribed("ETH_USDT"))
    visit.page.route("**/agreement?*", answer)
    visit.open(choice=CHOICE)
    eventually(lambda: visit.page.evaluate("1") and held)
    visit.page.click("#watch button:has-text('ETH_USDT')")
    eventually(lambda: "of 9" in visit.text("#agreement"))
    with visit.page.expect_response("**/agreement?*"):
        held[0]()
    visit.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    assert "of 9" in visit.text("#agreement") and "of 7" not in visit.text("#agreement")
    assert "ETH_USDT" in visit.text("#stored")


def test_markets_to_choose_from_are_those_of_the_feed_on_show(visit, stage):
    def answer(route):
        symbol = f"ONLY_{asked(route, 'source').upper()}"
        route.fulfill(json={"data": [{"symbol": symbol, "last_price": "1"}]})

    stage.status["subscriptions"].append(subscribed("BTC_USDT", "ticker"))
    visit.page.route("**/markets?*", answer)
    visit.open(choice=CHOICE)
    visit.page.keyboard.press("/")
    eventually(lambda: "ONLY_TRADES" in visit.text("#picker-list"))
    visit.page.keyboard.press("Escape")
    visit.page.click("#watch button:has-text('ticker')")
    eventually(lambda: visit.text("#pick-source") == "ticker")
    visit.page.keyboard.press("/")
    eventually(lambda: "ONLY_TICKER" in visit.text("#picker-list"))
    assert "ONLY_TRADES" not in visit.text("#picker-list")


def test_a_page_whose_first_reads_fail_says_so_and_tries_again(visit, stage):
    answers = [{"status": 503, "json": {"detail": "the database is away"}}]

    def answer(route):
        good = {"json": {"data": [{"symbol": "BTC_USDT"}], "meta": {}}}
        route.fulfill(**(answers.pop() if answers else good))

    stage.status["subscriptions"] = [subscribed("*")]
    visit.page.route("**/candlesticks/latest?*", answer)
    visit.page.goto(f"{visit.base}/#{CHOICE}")
    eventually(lambda: "the database is away" in visit.text("#banner-text"))
    visit.page.wait_for_selector("body[data-loaded=yes]")
    assert "BTC_USDT" in visit.text("#watch")


def test_what_is_under_the_cursor_changes_with_its_correction(visit, stage):
    visit.open(choice=CHOICE)
    visit.page.focus("#chart")
    for _ in range(2):
        visit.page.keyboard.press("ArrowLeft")
    eventually(lambda: "C 100.5" in visit.text("#legend"))
    corrected = candle(NOW - 2 * MINUTE, "104.25", revision=2, cause="late_tick")
    stage.events = [("correction", corrected)]
    eventually(lambda: "C 104.25" in visit.text("#legend"), 15)
    assert "revision 2 (late trades)" in visit.text("#legend")


@pytest.fixture
def timed_visit(browser, service):
    """One whose clock can be put forward: a clock is of all pages of a context."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.clock.install()
    yield Visit(context.new_page(), service.base)
    context.close()


def test_a_page_that_is_hidden_for_a_minute_gives_its_stream_back(timed_visit):
    """Six connections to a host are all that a browser has, for all of its pages."""
    visit = timed_visit.open()
    eventually(lambda: visit.text("#connection-text") == "live")
    before = visit.number("last")
    visit.page.evaluate(HIDE, True)
    visit.page.clock.fast_forward(61_000)
    eventually(lambda: visit.text("#connection-text") == "paused")
    visit.page.evaluate(HIDE, False)
    eventually(lambda: visit.text("#connection-text") == "live")
    eventually(lambda: visit.number("last") > before, 15)
    assert visit.page.locator("#news .lost").count() == 0
