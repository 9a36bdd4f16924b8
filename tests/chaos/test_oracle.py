"""The oracle and the reader find what they are there for: each sabotage of rows is told."""

import pytest

from app.market.ticks import TICKER, TRADES
from tests.chaos.market import EXACT, Market
from tests.chaos.oracle import NEAR_MS, Disturbance, Oracle
from tests.chaos.reader import Reader, said
from tests.service.tape import LENGTHS, NUMBERS, truth

START = 1_800_000_000_000
END = START + 60_000
ALL_NAMES = (*NUMBERS, "tick_count", "first_tick_time", "last_tick_time")


class Stored:
    """Answers as a service that has stored these rows."""

    def __init__(self, market):
        self.rows = {source: [] for source in (TICKER, TRADES)}
        self.silent, self.revisions = [], []
        for source in self.rows:
            for symbol in market.markets if source == TRADES else EXACT:
                for interval, length in LENGTHS.items():
                    found = truth(market.trades(symbol, START, END), length)
                    for moment, values in found.items():
                        row = dict(zip(ALL_NAMES, values, strict=True))
                        row |= {name: str(row[name]) for name in NUMBERS}
                        self.rows[source].append(
                            {"symbol": symbol, "interval": interval, "open_time": moment}
                            | {"coverage": 1, "reasons": [], "revision": 1, **row}
                        )

    def get(self, path):
        source = TRADES if "source=trades" in path else TICKER
        data = self.rows[source]
        if path.startswith("/gaps"):
            data = self.silent
        elif "/revisions" in path:
            data = self.revisions
        return {"data": data, "meta": {"next_cursor": None}}


@pytest.fixture
def market():
    return Market(3, START - 60_000, END)


@pytest.fixture
def stored(market):
    return Stored(market)


def of(stored, source, symbol, interval="1s", place=0):
    rows = stored.rows[source]
    return [row for row in rows if (row["symbol"], row["interval"]) == (symbol, interval)][place]


def found(market, stored, *disturbances):
    oracle = Oracle(market)
    oracle.disturbances += disturbances
    return oracle.problems(stored, START, END)


def test_what_was_stored_as_it_was_is_no_problem(market, stored):
    assert found(market, stored) == []


@pytest.mark.parametrize(
    ("source", "change", "told"),
    [
        (TRADES, {"volume": "0.1"}, "instead of"),
        (TRADES, {"close": "0.000000000000000001"}, "instead of"),
        (TICKER, {"high": "999999"}, "instead of"),
        (TICKER, {"tick_count": 2}, "instead of"),
        (TICKER, {"coverage": 0.5, "reasons": ["outage"]}, "far from any fault"),
        (TRADES, {"open_time": START + 7, "symbol": "STALE_USDT"}, "invented"),
    ],
)
def test_a_digit_that_differs_is_told(market, stored, source, change, told):
    of(stored, source, "SLOW1_USDT").update(change)
    assert told in " ".join(found(market, stored))


def test_a_row_that_is_missing_or_there_twice_is_told(market, stored):
    row = of(stored, TICKER, "SLOW1_USDT")
    stored.rows[TICKER].append(row)
    assert "doubled" in found(market, stored)[0]
    stored.rows[TICKER] = [one for one in stored.rows[TICKER] if one is not row]
    assert "missing" in found(market, stored)[0]


def near(row, *blinds):
    return Disturbance(row["open_time"] + NEAR_MS, row["open_time"] + NEAR_MS, frozenset(blinds))


def test_near_a_fault_a_candle_may_be_partial_and_what_is_in_it_must_have_happened(market, stored):
    row = of(stored, TICKER, "SLOW1_USDT", "10s", 2)
    fault = near(row, TICKER)
    row |= {"coverage": 0.7, "reasons": ["restart"]}
    assert found(market, stored, fault) == []
    assert "far from any" in found(market, stored, near(row, TRADES))[0]
    row["low"] = "0.5"
    assert "holds more than" in found(market, stored, fault)[0]


def test_a_hole_may_reach_from_a_fault_to_the_trade_before_and_no_further(market, stored):
    rows = [of(stored, TRADES, "QUIET_USDT"), of(stored, TRADES, "BUSY1_USDT")]
    for row in rows:
        row |= {"coverage": 0.5, "reasons": ["sequence_gap"]}
    later = rows[0]["open_time"] + 20_000
    (problem,) = found(market, stored, Disturbance(later, later, frozenset((TRADES,))))
    assert "BUSY1_USDT" in problem and "far from any fault" in problem
    assert len(found(market, stored, Disturbance(later, later, frozenset((TICKER,))))) == 2


def test_near_a_fault_a_candle_may_be_missing_but_not_called_silent(market, stored):
    row = of(stored, TICKER, "SLOW1_USDT")
    stored.rows[TICKER].remove(row)
    fault = near(row, TICKER)
    assert found(market, stored, fault) == []
    stored.silent = [row]
    assert "called silent" in found(market, stored, fault)[0]


def test_what_was_shown_well_before_a_fault_is_not_lost(market, stored):
    row = of(stored, TICKER, "SLOW1_USDT")
    stored.rows[TICKER].remove(row)
    (trade,) = market.trades("SLOW1_USDT", row["open_time"], row["open_time"] + 1_000)
    fault = near(row, TICKER)
    market.first_shown["SLOW1_USDT", trade.id] = fault.begin - 600
    assert "lost: 1 trades" in found(market, stored, fault)[0]
    market.first_shown["SLOW1_USDT", trade.id] = fault.begin - 400
    assert found(market, stored, fault) == []


def row(**changes):
    keys = {"symbol": "A_B", "interval": "1s", "open_time": START}
    return {**keys, "revision": 1, "open": "1", "coverage": 1, **changes}


def listed(revision, before):
    return row(revision=revision) | {"before": before}


def reader_of(stored, *answers, closed_through=START + 1_000):
    reader = Reader(stored)
    for answer in answers:
        reader.take(TICKER, answer, closed_through)
    return reader


def test_a_reader_finds_what_changed_silently_vanished_or_went_back(stored):
    assert reader_of(stored, [row()], [row()]).violations == []
    assert "silently" in reader_of(stored, [row()], [row(open="2")]).violations[0]
    assert "silently" in reader_of(stored, [row()], [row(coverage=0.5)]).violations[0]
    assert "revision 2, then 1" in reader_of(stored, [row(revision=2)], [row()]).violations[0]
    later = row(open_time=START + 5)
    assert (
        "vanished" in reader_of(stored, [row(open_time=1), later], [row(open_time=1)]).violations[0]
    )


def test_a_reader_wants_what_it_was_shown_to_be_listed_as_a_revision(stored):
    stored.rows = {TICKER: [row(revision=2)], TRADES: []}
    reader = reader_of(stored, [row()], [row(revision=2)])
    assert "not listed" in reader.problems(stored, START)[0]
    stored.revisions = [listed(2, said(row(open="3")))]
    assert "not listed" in reader.problems(stored, START)[0]
    stored.revisions = [listed(2, said(row()))]
    assert reader.problems(stored, START) == []
    stored.rows[TICKER] = []
    assert "vanished" in reader.problems(stored, START)[0]


def test_a_window_that_was_decided_and_empty_may_be_filled_by_a_revision_only(stored):
    stored.rows = {TICKER: [row()], TRADES: []}
    reader = reader_of(stored, [], [row()])
    assert "not listed" in reader.problems(stored, START)[0]
    stored.revisions = [listed(1, None)]
    assert reader.problems(stored, START) == []
