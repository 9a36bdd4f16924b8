import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchanges import ticker_adapter
from app.exchanges.base import ExchangeError, Market, Quote, Unavailable
from app.exchanges.decode import ChangedRows
from app.exchanges.http import Response
from app.exchanges.poloniex import Poloniex, PoloniexLegacy, parse_prices, parse_return_ticker
from app.market.ticks import Rejected, check_symbol, parse_price
from tests.recorded import FOLDER, needs_recordings

ROWS = [
    {"symbol": f"COIN{n}_USDT", "price": f"{n}.5", "time": 1_750_000_000_000 + n, "ts": 0}
    for n in range(5)
]


def body(rows):
    return json.dumps(rows).encode()


def prices(data):
    return parse_prices(data, ChangedRows())


class Answers:
    """Stands where Http stands: gives what it was given."""

    def __init__(self, **bodies):
        self.bodies, self.asked = bodies, []

    def get(self, path, params=None):
        self.asked.append((path, params))
        return Response(self.bodies[path.rpartition("/")[2]], 1_750_841_411_000)

    def close(self):
        self.asked.append("closed")


def test_every_row_becomes_a_quote_with_the_time_of_its_last_trade():
    answer = Poloniex(Answers(price=body(ROWS))).quotes()
    assert answer.quotes[2] == Quote("COIN2_USDT", "2.5", 1_750_000_000_002)
    assert (answer.listed, answer.rejected) == (5, {})
    assert answer.clock == (1_750_841_411_000, 1_750_841_411_999)


def test_only_rows_that_changed_are_told_again():
    http = Answers(price=body(ROWS))
    source = Poloniex(http)
    assert len(source.quotes().quotes) == 5
    assert source.quotes().quotes == []
    http.bodies["price"] = body([*ROWS[:4], {**ROWS[4], "price": "9"}])
    answer = source.quotes()
    assert ([quote.price for quote in answer.quotes], answer.listed) == (["9"], 5)
    http.bodies["price"] = body(ROWS[:2])
    assert source.quotes().listed == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"price": None},
        {"price": True},
        {"price": ["1"]},
        {"price": {}},
        {"time": None},
        {"time": "soon"},
        {"time": 1.5},
        {"time": True},
        {"symbol": None},
        {"symbol": 5.5},
    ],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_bad_row_costs_itself_only(bad, place):
    rows = [*ROWS]
    rows[place] = {**rows[place], **bad}
    found = prices(body(rows))
    good = [quote.symbol for quote in found.quotes]
    if "symbol" in bad and bad["symbol"] == 5.5:
        good = [symbol for symbol in good if symbol != "5.5"]
    else:
        assert found.rejected == {"row_malformed": 1}
    assert good == [row["symbol"] for i, row in enumerate(ROWS) if i != place]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_bare_nan_costs_its_own_row_only(text):
    data = body(ROWS).replace(b'"2.5"', text.encode())
    found = prices(data)
    assert len(found.quotes) == 5
    (odd,) = [quote for quote in found.quotes if quote.symbol == "COIN2_USDT"]
    with pytest.raises(Rejected):
        parse_price(odd.price)


def test_a_row_that_is_no_object_or_lacks_a_field_is_counted():
    found = prices(body([ROWS[0], None, 5, "x", [], {}, {"symbol": "A_B"}]))
    assert (len(found.quotes), found.rejected) == (1, {"row_malformed": 6})


def test_numbers_instead_of_text_keep_their_digits():
    data = body(ROWS).replace(b'"2.5"', b"0.10000000000000000055")
    data = data.replace(b"1750000000002", b'"1750000000002"')
    (odd,) = [quote for quote in prices(data).quotes if quote.symbol == "COIN2_USDT"]
    assert odd == Quote("COIN2_USDT", "0.10000000000000000055", 1_750_000_000_002)


BROKEN = [
    b"",
    b"[]",
    b"{}",
    b"null",
    b"5",
    b'"x"',
    b"<!DOCTYPE html><title>Just a moment...</title>",
    b'{"code":500,"message":"System error"}',
    b'{"error":"Invalid command."}',
    b"[" * 100_000,
    body(ROWS)[:-1],
    body(ROWS)[:150],
    b"\xff\xfe",
    b"[" + b"9" * 5_000 + b"",
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("parse", [prices, parse_return_ticker])
def test_what_is_not_the_answer_asked_for_is_an_error_of_the_exchange(parse, data):
    with pytest.raises(Unavailable) as found:
        parse(data)
    assert found.value.reason in ("not_json", "unexpected_answer")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_quotes_or_an_error_of_the_exchange(data):
    for parse in (prices, parse_return_ticker):
        with contextlib.suppress(ExchangeError):
            parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(json_values, st.sampled_from(["symbol", "price", "time"]))
def test_any_value_in_any_field_leaves_the_other_rows_alone(value, name):
    found = prices(json.dumps([ROWS[0], {**ROWS[1], name: value}, ROWS[2]]).encode())
    assert {"COIN0_USDT", "COIN2_USDT"} <= {quote.symbol for quote in found.quotes}


LEGACY = {
    "BTC_BTS": {"id": 14, "last": "0.00000239", "isFrozen": "0", "postOnly": "0"},
    "USDT_BTC": {"id": 121, "last": "50000.00000000", "isFrozen": "0"},
    "USDT_PLT": {"id": 300, "last": "0.1", "isFrozen": "1"},
    "USDT_OLD": {"id": 301, "last": "0.1", "isFrozen": 1},
}


def test_legacy_pairs_are_turned_around_and_frozen_markets_skipped():
    http = Answers(public=body(LEGACY))
    answer = PoloniexLegacy(http).quotes()
    assert answer.quotes == [
        Quote("BTS_BTC", "0.00000239", 0),
        Quote("BTC_USDT", "50000.00000000", 0),
    ]
    assert http.asked == [("/public", {"command": "returnTicker"})]


def test_one_bad_legacy_market_costs_itself_only():
    rows, rejected = parse_return_ticker(body({**LEGACY, "USDT_BAD": {"last": None}, "X": 5}))
    assert set(rows) == {"BTS_BTC", "BTC_USDT", "PLT_USDT", "OLD_USDT"}
    assert rejected == {"row_malformed": 2}


def test_markets_come_with_their_state():
    listing = [{"symbol": "A_USDT", "state": "PAUSE", "x": 1}, {"symbol": "B_USDT"}, {"state": 1}]
    assert Poloniex(Answers(markets=body(listing))).markets() == [
        Market("A_USDT", "PAUSE"),
        Market("B_USDT", "NORMAL"),
    ]
    states = {
        market.symbol: market.state
        for market in PoloniexLegacy(Answers(public=body(LEGACY))).markets()
    }
    assert states == {
        "BTS_BTC": "NORMAL",
        "BTC_USDT": "NORMAL",
        "PLT_USDT": "FROZEN",
        "OLD_USDT": "FROZEN",
    }


def test_the_exchanges_clock_is_read_from_timestamp():
    source = Poloniex(Answers(timestamp=b'{"serverTime":1750841411365}'))
    assert source.server_time() == (1_750_841_411_365, 1_750_841_411_365)
    assert PoloniexLegacy(Answers()).server_time() is None
    for bad in (b"{}", b"[]", b"null", b'{"serverTime":"x"}', b"<html>"):
        with pytest.raises(Unavailable):
            Poloniex(Answers(timestamp=bad)).server_time()


def test_the_form_is_a_matter_of_configuration():
    settings = {"POLONIEX_URL": "http://a", "POLONIEX_LEGACY_URL": "http://b"}
    for form, kind in (("current", Poloniex), ("legacy", PoloniexLegacy)):
        source = ticker_adapter("poloniex", settings={**settings, "POLONIEX_API": form})
        assert isinstance(source, kind) and source.name == "poloniex"
        source.close()
    with pytest.raises(ValueError, match="unknown exchange"):
        ticker_adapter("nowhere", settings=settings)


def recorded(name):
    return json.loads((FOLDER / name).read_text())


@needs_recordings
def test_a_recorded_answer_of_the_current_api_parses_whole():
    found = prices(recorded("poloniex/price.json")["body_text"].encode())
    assert (len(found.quotes), found.listed, found.rejected) == (1_087, 1_087, {})
    for quote in found.quotes:
        check_symbol(quote.symbol)
        assert parse_price(quote.price) > 0 and quote.time > 1_600_000_000_000
    listing = recorded("poloniex/markets.json")["body_text"].encode()
    markets = Poloniex(Answers(markets=listing)).markets()
    assert len(markets) == 1_093
    assert sum(market.state == "PAUSE" for market in markets) == 65
    shown = recorded("poloniex/timestamp.json")["body_text"].encode()
    assert Poloniex(Answers(timestamp=shown)).server_time() == (1_750_841_411_365,) * 2


def legacy_bodies():
    (cassette,) = recorded("poloniex_legacy/returnTicker_2017-10-02.json")
    yield cassette["response"]["body"], 101, 0
    for day, pairs, frozen in (("2021-04-17", 322, 1), ("2021-05-02", 331, 0)):
        text = (FOLDER / f"poloniex_legacy/returnTicker_{day}.raw").read_text()
        yield text.splitlines()[0].split(": ", 1)[1], pairs, frozen


@needs_recordings
def test_recorded_answers_of_return_ticker_parse_whole():
    for text, pairs, frozen in legacy_bodies():
        rows, rejected = parse_return_ticker(text.encode())
        assert (len(rows), rejected) == (pairs, {})
        answer = PoloniexLegacy(Answers(public=text.encode())).quotes()
        assert len(answer.quotes) == pairs - frozen
        for quote in answer.quotes:
            check_symbol(quote.symbol)
            assert parse_price(quote.price) > 0


@needs_recordings
def test_recorded_error_bodies_are_errors():
    bodies = [one["body"] for one in recorded("error_bodies.json") if "poloniex" in one["venue"]]
    assert len(bodies) >= 6
    for text in bodies:
        for parse in (prices, parse_return_ticker):
            with pytest.raises(Unavailable):
                parse(text.encode())


def test_quotes_are_compared_by_what_was_sent():
    one = msgspec.json.decode(body(ROWS[0]), type=Quote)
    assert one == Quote(ROWS[0]["symbol"], ROWS[0]["price"], ROWS[0]["time"])


@pytest.mark.parametrize("symbol", [b'"\\ud800"', b'"\xff"'])
def test_text_that_is_no_text_costs_its_own_row_only(symbol):
    found = prices(body(ROWS).replace(b'"COIN2_USDT"', symbol))
    assert (len(found.quotes), found.rejected) == (4, {"row_malformed": 1})


def test_a_list_without_one_readable_row_is_an_error_however_often_it_comes():
    changed = ChangedRows()
    for _ in range(3):
        with pytest.raises(Unavailable) as found:
            parse_prices(b'[{"code":500},null]', changed)
        assert found.value.reason == "unexpected_answer"
    assert len(parse_prices(body(ROWS), changed).quotes) == 5
    with pytest.raises(Unavailable):
        Poloniex(Answers(markets=b'[{"a":1}]')).markets()


@pytest.mark.parametrize("shown", [0, -1, 1_750_841_411, 1_750_841_411_365_000, 10**30])
def test_a_clock_of_another_unit_is_not_believed(shown):
    with pytest.raises(Unavailable):
        Poloniex(Answers(timestamp=b'{"serverTime":%d}' % shown)).server_time()


@pytest.mark.parametrize("pair", ["X", "_", "USDT_", "\ud800", "usdt_btc", "A_B_C"])
def test_a_legacy_pair_that_is_none_is_counted(pair):
    rows, rejected = parse_return_ticker(body({**LEGACY, pair: {"last": "1"}}))
    assert (len(rows), rejected) == (4, {"row_malformed": 1})
