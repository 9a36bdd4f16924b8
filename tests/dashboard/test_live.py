"""The page against the real service, before the eyes of a browser."""

import signal

import pytest

from tests.dashboard.conftest import Visit
from tests.support import eventually

SHORT = 5_000
SLOWEST_FIRST_CHART_MS = 1_000


def window_of(visit: Visit, name: str) -> int:
    return visit.number(name) // SHORT


def test_the_chart_is_there_at_once_and_a_candle_forms_and_closes_in_it(visit):
    visit.open()
    loaded = visit.page.evaluate("performance.getEntriesByName('first chart')[0].startTime")
    ready = visit.page.evaluate(
        "performance.timing.loadEventEnd - performance.timing.navigationStart"
    )
    assert loaded - ready < SLOWEST_FIRST_CHART_MS
    assert visit.number("candles") > 500
    eventually(lambda: visit.text("#connection-text") == "live")

    candles = visit.number("candles")
    eventually(lambda: visit.drawn("newest") == "open" and "still forming" in visit.text("#legend"))
    forming = visit.number("last")
    eventually(lambda: visit.number("last") > forming and visit.drawn("newest") == "open", 20)
    assert visit.number("candles") > candles
    assert visit.text("#price") in visit.page.title()
    assert (visit.complaints, visit.foreign) == ([], [])


def test_scrolling_back_loads_history_until_there_is_no_more(visit, service):
    visit.open()
    oldest = "/candlesticks?symbol=BTC_USDT&start=0&limit=1"
    begin = service.get(oldest)["data"][0]["open_time"]
    assert visit.number("first") > begin
    box = visit.page.locator("#chart").bounding_box()
    visit.page.mouse.move(box["x"] + 300, box["y"] + 200)

    def scroll() -> bool:
        visit.page.mouse.wheel(-1_500, 0)
        return visit.number("first") == begin

    eventually(scroll, 20)
    # Every window is there once: a candle, or the word that there is none.
    assert visit.number("rows") == window_of(visit, "last") - window_of(visit, "first") + 1
    visit.page.keyboard.press("l")
    assert (visit.complaints, visit.foreign) == ([], [])


def test_what_was_not_observed_is_told_in_words(visit):
    visit.open()
    chart = visit.page.locator("#chart")
    chart.focus()

    def found(words: str) -> bool:
        chart.press("ArrowLeft")
        return words in visit.text("#legend")

    eventually(lambda: found("no candle: not observed · this service was down"), 20)
    eventually(lambda: found("no candle: not observed · the exchange could not be reached"), 20)
    eventually(lambda: found("60.00 % observed · the exchange did not answer"), 20)


def test_a_lost_service_comes_back_with_every_candle(visit, service):
    visit.open()
    eventually(lambda: visit.text("#connection-text") == "live")
    service.kill(signal.SIGKILL)
    eventually(lambda: "Next try in" in visit.text("#banner-text"))
    before = visit.number("last")
    assert visit.page.locator("#news .lost").count() == 1
    service.start()
    eventually(lambda: visit.text("#connection-text") == "live", 30)
    assert visit.page.locator("#banner").is_hidden()
    eventually(lambda: visit.number("last") > before + 2 * SHORT, 30)

    def complete() -> bool:
        stored = service.get(
            f"/candlesticks?symbol=BTC_USDT&start={visit.number('first')}&limit=1000"
        )
        closed = [row["open_time"] for row in stored["data"]]
        whole = visit.number("rows") == window_of(visit, "last") - window_of(visit, "first") + 1
        return whole and visit.number("candles") == len(closed)

    eventually(complete, 15)


@pytest.mark.campaign
def test_late_trades_are_announced_as_corrections(visit, service):
    """Trades that come 4 s late are behind the close of their window, which comes after 1 s."""
    visit.open()
    eventually(lambda: visit.text("#connection-text") == "live")
    service.simulator.faults.plan({"kind": "late", "seconds": 4, "for": 20, "share": 0.3})
    eventually(lambda: visit.page.locator("#news .correction").count() > 0, 40)
    assert "revision 2" in visit.text("#news .correction")
