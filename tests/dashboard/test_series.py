"""The series on show, without its page: answers are made up, events come when a test says so."""

import json

import pytest

from tests.dashboard.test_page import MINUTE, NOW, candle, empty

OPEN = """async () => {
    const { Series } = await import("/dashboard/series.js");
    const stream = { live: true, open: async () => {} };
    window.told = { corrections: 0, changes: 0, problems: [] };
    window.series = new Series(stream, {
        onLoaded: () => {},
        onChange: () => { told.changes += 1; },
        onCorrection: () => { told.corrections += 1; },
        onProblem: (problem) => { told.problems.push(problem?.status ?? 0); },
    });
    const choice = {
        exchange: "poloniex", symbol: "BTC_USDT", source: "trades", interval: "1m",
    };
    await series.choose(choice, ["1m"], []);
}"""


class Answers:
    """What the service answers to every read of candles."""

    def __init__(self, page):
        self.page = page
        self.status, self.cursor = 200, None
        self.rows = [candle(NOW - n * MINUTE) for n in range(10, 0, -1)]
        page.route("**/candlesticks?*", self._answer)

    def _answer(self, route):
        if self.status != 200:
            route.fulfill(status=self.status, json={"detail": "no"})
        else:
            route.fulfill(json={"data": self.rows, "meta": {"next_cursor": self.cursor}})


@pytest.fixture
def answers(visit):
    visit.page.goto(f"{visit.base}/dashboard/series.js")
    return Answers(visit.page)


def event(page, kind, row):
    page.evaluate(f"series.event({json.dumps(kind)}, {json.dumps(row)})")


def test_what_is_older_than_what_was_read_is_announced_and_not_drawn(visit, answers):
    """It would stand beside a row that is not its neighbor; scrolling back reads it."""
    answers.cursor = "more"
    page = visit.page
    page.evaluate(OPEN)
    event(page, "candle", candle(NOW - 50 * MINUTE, origin="backfill"))
    event(page, "correction", candle(NOW - 40 * MINUTE, revision=2, cause="repair"))
    assert page.evaluate("[series.candles.rows.length, told.changes, told.corrections]") == [
        10, 0, 1,
    ]  # fmt: skip


def test_a_correction_of_a_page_of_history_that_is_on_its_way_counts(visit, answers):
    answers.cursor = "more"
    page = visit.page
    page.evaluate(OPEN)
    at = NOW - 15 * MINUTE
    answers.rows = [candle(NOW - n * MINUTE) for n in range(20, 10, -1)]
    corrected = json.dumps(candle(at, "104.25", revision=2, cause="repair"))
    found = page.evaluate(f"""async () => {{
        const read = series.older();
        series.event("correction", {corrected});
        await read;
        return [series.candles.rows.length, series.candles.get({at}).close];
    }}""")
    assert found == [20, "104.25"]


def test_what_was_told_during_a_reload_that_fails_is_kept_and_all_is_read_again(visit, answers):
    page = visit.page
    page.evaluate(OPEN)
    answers.status = 503
    newest = json.dumps(candle(NOW))
    rows = page.evaluate(f"""async () => {{
        const read = series.load();
        series.event("candle", {newest});
        await read;
        return series.candles.rows.length;
    }}""")
    assert rows == 11 and page.evaluate("series.isBehind(0)")
    answers.status = 200
    answers.rows = [empty(NOW - 11 * MINUTE, 0.0, ["restart"]), *answers.rows, candle(NOW)]
    page.evaluate("series.tail()")
    assert page.evaluate("series.candles.rows.length") == 12
    assert not page.evaluate("series.isBehind(0)")


@pytest.mark.parametrize(("status", "refused"), [(404, True), (429, False), (503, False)])
def test_only_what_no_repetition_mends_counts_as_refused(visit, answers, status, refused):
    answers.status = status
    visit.page.evaluate(OPEN)
    assert visit.page.evaluate("series.refused") is refused
    answers.status = 200
    visit.page.evaluate("series.load()")
    assert visit.page.evaluate("[series.loaded, series.refused]") == [True, False]


def test_a_read_before_the_stream_is_open_is_known_as_such(visit, answers):
    page = visit.page
    page.evaluate(OPEN)
    assert page.evaluate("series.unheard") is False
    page.evaluate("() => { series.stream.live = false; return series.load(); }")
    assert page.evaluate("series.unheard") is True


def test_a_mean_is_interrupted_where_a_window_is_missing(visit, answers):
    means = """async ([closes, times]) => {
        const { movingAverage } = await import("/dashboard/averages.js");
        return movingAverage(closes, 2, times, 60000);
    }"""
    times = [n * MINUTE for n in (0, 1, 2, 4, 5, 6)]
    found = visit.page.evaluate(means, [[1, 2, 3, 4, 5, 6], times])
    assert found == [None, 1.5, 2.5, None, 4.5, 5.5]
