"""The page against the real service, before the eyes of a browser."""

import signal

import pytest

from tests.dashboard.conftest import Visit
from tests.support import eventually

SHORT = 5_000
SLOWEST_FIRST_CHART_MS = 1_000


def window_of(visit: Visit, name: str) -> int:
    return visit.number(name) // SHORT


def test_a_candle_forms_and_closes_before_ones_eyes(visit):
    visit.open()
    assert visit.number("candles") > 500
    eventually(lambda: visit.text("#connection-text") == "live")
    eventually(lambda: visit.drawn("newest") == "open" and "still forming" in visit.text("#legend"))
    candles, forming = visit.number("candles"), visit.number("last")
    eventually(lambda: visit.number("last") > forming and visit.number("candles") > candles, 20)
    assert visit.text("#price") in visit.page.title()
    assert (visit.complaints, visit.foreign) == ([], [])


@pytest.mark.campaign
def test_the_first_chart_is_drawn_within_a_second_of_the_load(visit):
    """On a machine that has nothing else to do."""
    visit.open()
    drawn = visit.page.evaluate("performance.getEntriesByName('first chart')[0].startTime")
    loaded = visit.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert drawn - loaded < SLOWEST_FIRST_CHART_MS


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
        oldest, newest = visit.number("first"), visit.number("last")
        asked = f"/candlesticks?symbol=BTC_USDT&start={oldest}&end={newest + SHORT}&limit=1000"
        stored = service.get(asked)["data"]
        whole = visit.number("rows") == (newest - oldest) // SHORT + 1
        return whole and visit.number("candles") == len(stored)

    eventually(complete, 20)


@pytest.mark.campaign
def test_corrections_are_announced_as_they_come(visit, service):
    """Trades that come 4 s late are behind the close of their window, which comes after 1 s. Until
    then they are missing, or they are fetched: the cause depends on which is first."""
    visit.open()
    eventually(lambda: visit.text("#connection-text") == "live")
    service.simulator.faults.plan({"kind": "late", "seconds": 4, "for": 20, "share": 0.3})
    eventually(lambda: visit.page.locator("#news .correction").count() > 0, 60)
