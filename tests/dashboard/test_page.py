"""What the page does with what it is told, also where that is hostile: answers and streams are made
up here, everything else is the real service."""

import json

import pytest

from tests.support import eventually

HOSTILE = "<img src=x onerror=document.body.dataset.hacked=1>"
MINUTE = 60_000
NOW = 1_750_000_020_000


def candle(open_time, close="100.5", **more):
    row = {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "source": "trades",
        "interval": "1m",
        "open_time": open_time,
        "close_time": open_time + MINUTE - 1,
        "open": "100",
        "high": "101.0000000001",
        "low": "99",
        "close": close,
        "volume": "2",
        "quote_volume": "200",
        "taker_buy_volume": "1",
        "tick_count": 3,
        "first_tick_time": open_time,
        "last_tick_time": open_time + 500,
        "coverage": 1.0,
        "reasons": [],
        "origin": "live",
        "revision": 1,
        "closed": True,
    }
    return {**row, **more}


def empty(open_time, coverage, reasons):
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"))
    return candle(
        open_time, **{**prices, "origin": "fill", "revision": 0, "tick_count": 0},
        coverage=coverage, reasons=reasons,
    )  # fmt: skip


class Stage:
    """Answers of a made-up service."""

    def __init__(self, page):
        self.page = page
        self.rows = [candle(NOW - n * MINUTE) for n in range(60, 0, -1)]
        self.events = []
        self.status = {
            "version": "1",
            "role": "owner",
            "feeds": [],
            "loops": [],
            "log_bytes": 1,
            "series": 1,
            "database": {"state": "ok", "error": None},
            "subscriptions": [
                {"exchange": "poloniex", "source": "trades", "symbol": "BTC_USDT", "until": None}
            ],
        }
        index = {"exchanges": ["poloniex"], "sources": ["ticker", "trades"], "intervals": ["1m"]}
        self.answer("**/api", lambda: index)
        self.answer("**/status", lambda: self.status)
        self.answer("**/candlesticks?*", lambda: {"data": self.rows, "meta": {"next_cursor": None}})
        self.answer("**/agreement?*", lambda: {"data": [], "meta": {}})
        self.answer("**/markets?*", lambda: {"data": []})
        page.route("**/stream?*", self._stream)

    def answer(self, path, make):
        self.page.route(path, lambda route: route.fulfill(json=make()))

    def _stream(self, route):
        """All there is to tell; then the connection ends, and the page comes again."""
        blocks = [
            f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            for number, (kind, data) in enumerate(self.events)
        ]
        route.fulfill(content_type="text/event-stream", body="".join([": hello\n\n", *blocks]))


@pytest.fixture
def stage(visit):
    return Stage(visit.page)


def told_of(visit, steps, *words):
    """Whether the legend says this of the window that is so many steps before the newest."""
    visit.page.focus("#chart")
    for _ in range(steps + 1):
        visit.page.keyboard.press("ArrowLeft")
    return eventually(lambda: all(word in visit.text("#legend") for word in words))


def test_a_hostile_name_is_nothing_but_text(visit, stage):
    stage.status["subscriptions"].append(
        {"exchange": HOSTILE, "source": HOSTILE, "symbol": HOSTILE, "until": None}
    )
    feed = {"exchange": HOSTILE, "source": HOSTILE, "state": HOSTILE, "last_error": HOSTILE}
    stage.status["feeds"].append({**feed, "errors": {HOSTILE: 1}, "last_error_time": NOW})
    stage.answer("**/markets?*", lambda: {"data": [{"symbol": HOSTILE, "last_price": HOSTILE}]})
    stage.rows[-1] = candle(NOW - MINUTE, HOSTILE, coverage=0.5, reasons=[HOSTILE])
    stage.events = [("correction", candle(NOW - MINUTE, HOSTILE, revision=2, cause=HOSTILE))]
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    eventually(lambda: HOSTILE in visit.text("#news"))
    visit.page.keyboard.press("/")
    eventually(lambda: visit.text("#picker-list").count(HOSTILE) >= 2)
    assert HOSTILE in visit.text("#feeds") and HOSTILE in visit.text("#watch")
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    eventually(lambda: visit.text("#pick-symbol") == HOSTILE)
    assert visit.page.locator("img[src=x]").count() == 0
    assert visit.page.get_attribute("body", "data-hacked") is None
    assert visit.foreign == []


def test_prices_are_shown_with_every_digit(visit, stage):
    price = "0.000000000123456789"
    stage.rows = [candle(NOW - MINUTE, price, open=price, high=price, low=price)]
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    assert visit.text("#price") == price
    assert f"C {price}" in visit.text("#legend")


def test_windows_without_a_candle_say_what_is_known_of_them(visit, stage):
    stage.rows += [
        empty(NOW, 1.0, []),
        empty(NOW + MINUTE, 0.0, ["restart"]),
        candle(NOW + 2 * MINUTE),
    ]
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    assert told_of(visit, 1, "not observed · this service was down")
    assert told_of(visit, 0, "no trade happened")


def test_a_correction_replaces_a_candle_and_is_announced(visit, stage):
    at = NOW - 2 * MINUTE
    stage.events = [
        ("correction", candle(at, "104.25", revision=3, cause="late_tick")),
        # An older state of it comes later, as after a reconnect.
        ("correction", candle(at, "103", revision=2, cause="late_tick")),
    ]
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    eventually(lambda: "now 104.25 (late trades), revision 3" in visit.text("#news"))
    assert visit.page.locator("#news .correction").count() == 1
    assert told_of(visit, 1, "C 104.25", "revision 3")
    assert visit.number("rows") == 60


def test_a_mean_is_drawn_only_where_all_of_its_candles_exist(visit, stage):
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    means = """async (closes) => {
        const { movingAverage } = await import("/dashboard/averages.js");
        const times = closes.map((_, place) => place);
        return movingAverage(closes.map((close) => close ?? NaN), 3, times, 1);
    }"""
    closes = [1, 2, 3, 4, None, 5, 6, 7]
    found = visit.page.evaluate(means, closes)
    assert found == [None, None, 2, 3, None, None, None, 6]


def test_a_closed_candle_is_not_opened_again(visit, stage):
    stage.events = [("open", candle(NOW - MINUTE, "1", closed=False, tick_count=9))]
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    assert visit.drawn("newest") == "full"
    assert "C 100.5" in visit.text("#legend")


def test_the_exact_series_is_preferred_and_samples_are_called_samples(visit, stage):
    ticker = {"exchange": "poloniex", "source": "ticker", "symbol": "BTC_USDT", "until": None}
    stage.status["subscriptions"].insert(0, ticker)
    visit.open(choice="")
    assert visit.text("#pick-source") == "trades" and not visit.text("#kind")
    visit.page.click("#watch button:has-text('ticker')")
    eventually(lambda: "samples" in visit.text("#kind"))


def test_stopping_asks_for_the_key_and_sends_it_with_the_write_only(visit, stage):
    sent = []

    def answer(route):
        headers = route.request.headers
        sent.append((route.request.method, headers.get("x-api-key")))
        if route.request.method == "GET":
            route.fulfill(json={"data": stage.rows, "meta": {"next_cursor": None}})
        elif headers.get("x-api-key") != "a key of sixteen":
            route.fulfill(status=401, json={"detail": "Writing needs the key"})
        else:
            row = {"exchange": "poloniex", "symbol": "BTC_USDT", "source": "trades"}
            route.fulfill(json={"data": [{**row, "state": "stopped"}], "meta": {}})

    visit.page.route("**/candlesticks?*", answer)
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    visit.page.click("#stop")
    eventually(lambda: visit.text("#building-answer") == "Writing needs the key")
    visit.page.fill("#key", "a key of sixteen")
    visit.page.press("#key", "Enter")
    eventually(lambda: "stopped" in visit.text("#building-answer"))
    assert ("DELETE", "a key of sixteen") in sent
    assert {key for method, key in sent if method == "GET"} == {None}
    assert "sixteen" not in visit.page.evaluate("JSON.stringify(localStorage) + location.href")


def test_an_exchange_that_is_away_is_named_with_its_error(visit, stage):
    feed = {"exchange": "poloniex", "source": "trades", "state": "backing_off", "offset": 0}
    error = {"last_error": "timeout", "last_error_time": NOW, "last_good_poll": NOW, "errors": {}}
    stage.status["feeds"] = [{**feed, **error, "retry_at": None, "lag_ms": 90_000}]
    visit.page.unroute("**/stream?*")
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    eventually(lambda: "poloniex does not answer since" in visit.text("#banner-text"))
    assert "timeout" in visit.text("#feeds .trouble")


def test_a_service_that_is_not_there_yet_is_waited_for(visit, stage):
    visit.page.route("**/status", lambda route: route.abort(), times=1)
    visit.page.goto(f"{visit.base}/#poloniex/BTC_USDT/trades/1m")
    eventually(lambda: "Next try in" in visit.text("#banner-text"))
    visit.page.wait_for_selector("body[data-loaded=yes]")
    eventually(lambda: "does not answer yet" not in visit.text("#banner-text"))


def test_nothing_stored_offers_to_start_it(visit, stage):
    stage.rows, stage.status["subscriptions"] = [], []
    visit.open(choice="poloniex/DOGE_USDT/trades/1m")
    assert visit.text("#empty-title") == "Not being built"
    assert visit.page.locator("#empty-start").is_visible()


def test_on_a_phone_the_chart_has_half_of_the_screen_and_nothing_sticks_out(visit, stage):
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    assert visit.page.locator("#chart").bounding_box()["height"] >= 844 / 2
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_colors_and_zone_are_remembered(visit, stage):
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    for key in "tu":
        visit.page.keyboard.press(key)
    visit.page.reload()
    visit.page.wait_for_selector("body[data-loaded=yes]")
    assert visit.page.get_attribute("html", "data-theme") == "light"
    assert (
        visit.text("#zone") != "UTC"
        or visit.page.evaluate("localStorage['candlekeep.zone']") == "local"
    )


def test_everything_has_a_name_and_is_reached_by_keyboard(visit, stage):
    visit.open(choice="poloniex/BTC_USDT/trades/1m")
    nameless = "button:not([aria-label]):not([title]), input:not([aria-label])"
    for control in visit.page.locator(nameless).all():
        labelled = control.evaluate(
            "one => one.innerText || one.labels?.length || one.ariaControlsElements"
        )
        assert labelled, control.evaluate("one => one.outerHTML")
    visit.page.keyboard.press("?")
    assert visit.page.locator("#help").is_visible()
    visit.page.keyboard.press("Escape")
    eventually(lambda: not visit.page.evaluate("document.activeElement.closest('dialog')"))
    visit.page.keyboard.press("]")
    eventually(lambda: visit.page.locator("#intervals [aria-pressed=true]").inner_text() == "15m")
