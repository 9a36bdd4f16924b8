import contextlib
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchanges import history_adapter
from app.exchanges.base import ExchangeError, OwnCandle, Refused, Unavailable, Unknown
from app.exchanges.poloniex_candles import PoloniexCandles, parse_candles
from app.market.history import judged
from app.market.ticks import Minute
from app.market.windows import MINUTE
from tests.exchanges.test_http import Peer, answer, client
from tests.exchanges.test_poloniex import Answers, body

OPEN = 1_720_120_800_000
FIVE = 5 * MINUTE
NAMES = (
    *("low", "high", "open", "close", "amount", "quantity", "buyTakerAmount"),
    *("buyTakerQuantity", "tradeCount", "ts", "weightedAverage", "interval"),
    *("startTime", "closeTime"),
)
ROW = [
    *("0.000004964", "0.000005001", "0.000004965", "0.000004997", "225.870214421", "45238739"),
    *("183.254931443", "36708858.5", 14, 1_720_121_097_116, "0.000004992", "MINUTE_5"),
    *(OPEN, OPEN + FIVE - 1),
]
TOLD = OwnCandle(
    open_time=OPEN,
    open="0.000004965",
    high="0.000005001",
    low="0.000004964",
    close="0.000004997",
    volume="45238739",
    quote_volume="225.870214421",
    taker_buy_volume="36708858.5",
    count=14,
)


def row(place=0, **others):
    """A row of the window at this place after OPEN, of which some fields are others."""
    begin = OPEN + place * FIVE
    named = dict(zip(NAMES, ROW, strict=True))
    return [*{**named, "startTime": begin, "closeTime": begin + FIVE - 1, **others}.values()]


def parsed(*rows, windows=10):
    data = rows[0] if rows and isinstance(rows[0], bytes) else body(rows)
    return parse_candles(data, FIVE, OPEN, OPEN + windows * FIVE)


def opened(found):
    """The places of the windows that were told."""
    return [(candle.open_time - OPEN) // FIVE for candle in found.candles]


def judge(candle):
    return judged(*msgspec.structs.astuple(candle))


def test_a_row_becomes_a_candle_as_sent():
    found = parsed(row())
    assert (found.candles, found.rejected) == ([TOLD], {})
    numbers = map(Decimal, msgspec.structs.astuple(TOLD)[1:8])
    assert judge(TOLD) == Minute(OPEN, *numbers, 14)


def test_all_that_is_asked_for_is_in_the_request():
    http = Answers(candles=body([row()]))
    PoloniexCandles(http).candles("BTC_USDT", FIVE, OPEN, OPEN + 500 * FIVE)
    params = {"interval": "MINUTE_5", "startTime": str(OPEN), "limit": "500"}
    last = {"endTime": str(OPEN + 500 * FIVE - 1)}
    assert http.asked == [("/markets/BTC_USDT/candles", {**params, **last})]


@pytest.mark.parametrize(
    "length, start, end",
    [
        (FIVE, OPEN, OPEN + 500 * FIVE + 1),
        (FIVE, OPEN, OPEN),
        (FIVE, OPEN, OPEN - FIVE),
        (FIVE, 0, FIVE),
        (2 * MINUTE, OPEN, OPEN + FIVE),
    ],
)
def test_what_no_one_request_can_answer_is_the_callers_fault(length, start, end):
    http = Answers()
    with pytest.raises(ValueError, match="no one answer"):
        PoloniexCandles(http).candles("BTC_USDT", length, start, end)
    assert http.asked == []


def test_a_symbol_cannot_leave_its_place_in_the_path():
    http = Answers(candles=b"[]")
    PoloniexCandles(http).candles("../timestamp?x=", MINUTE, OPEN, OPEN + MINUTE)
    assert http.asked[0][0] == "/markets/..%2Ftimestamp%3Fx%3D/candles"


@pytest.mark.parametrize("data", [b"[]", b"[ ]", b" [\r\n] \n"])
def test_no_rows_are_no_candles(data):
    found = parsed(data)
    assert (found.candles, found.rejected) == ([], {})


def test_candles_come_in_order_however_they_were_told():
    assert opened(parsed(row(2), row(0), row(3), row(1))) == [0, 1, 2, 3]


def test_of_two_rows_of_one_window_the_last_counts():
    found = parsed(row(1, tradeCount=1), row(0), row(1, tradeCount=2))
    assert opened(found) == [0, 1] and found.candles[1].count == 2
    assert found.rejected == {}


def test_rows_of_other_windows_than_asked_for_are_left_out():
    found = parsed(row(-1), row(0), row(9), row(10), row(5_000))
    assert opened(found) == [0, 9] and found.rejected == {}


@pytest.mark.parametrize(
    "others",
    [
        {"startTime": OPEN + 1_000, "closeTime": OPEN + FIVE + 999},
        {"startTime": OPEN + MINUTE, "closeTime": OPEN + MINUTE + FIVE - 1},
        {"startTime": OPEN // 1_000, "closeTime": (OPEN + FIVE) // 1_000 - 1},
        {"startTime": OPEN - 1_000, "closeTime": OPEN + FIVE - 1_001},
        {"closeTime": OPEN + 2 * FIVE},
        {"closeTime": OPEN + MINUTE - 1},
        {"interval": "MINUTE_1", "closeTime": OPEN + MINUTE - 1},
        {"interval": "MINUTE_10"},
        {"interval": "minute_5"},
        {"interval": ""},
    ],
)
def test_a_row_of_no_such_window_is_counted_and_costs_itself_only(others):
    found = parsed(row(0), row(0, **others), row(2))
    assert opened(found) == [0, 2]
    assert found.candles[0] == TOLD
    assert found.rejected == {"window_malformed": 1}


NEEDED = [name for name in NAMES if name not in ("ts", "weightedAverage")]


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, True, [], {}, "x" * 101])
def test_one_bad_row_costs_itself_only(name, value):
    found = parsed(row(0), row(1, **{name: value}), row(2))
    assert opened(found) == [0, 2] and found.rejected == {"row_malformed": 1}


@pytest.mark.parametrize("bad", [None, 5, "x", {}, {"code": 500}, [], ROW[:13], ["\ud800"] * 14])
def test_a_row_that_is_none_costs_itself_only(bad):
    found = parsed(row(0), bad, row(2))
    assert opened(found) == [0, 2] and found.rejected == {"row_malformed": 1}


@pytest.mark.parametrize("value", [0, None, "", OPEN, 1.5, float("nan"), [{}]])
@pytest.mark.parametrize("name", ["ts", "weightedAverage"])
def test_what_is_not_needed_may_say_anything(name, value):
    found = parsed(row(**{name: value}))
    assert (found.candles, found.rejected) == ([TOLD], {})


def test_more_fields_than_are_known_do_no_harm():
    assert parsed([*row(), "new", {"er": 1}]).candles == [TOLD]


def test_a_bare_nan_is_left_to_be_judged_and_hurts_no_other_row():
    found = parsed(row(0), row(1, high=float("nan")), row(2))
    assert opened(found) == [0, 1, 2] and found.candles[1].high == "NaN"
    assert found.candles[0] == TOLD


def test_numbers_instead_of_text_and_text_instead_of_numbers_keep_every_digit():
    data = body([row(tradeCount="14", startTime=str(OPEN), closeTime=str(OPEN + FIVE - 1))])
    data = data.replace(b'"45238739"', b"0.10000000000000000055").replace(b'"36708858.5"', b"1e-17")
    (candle,) = parsed(data).candles
    assert (candle.volume, candle.taker_buy_volume) == ("0.10000000000000000055", "1e-17")
    assert (candle.open_time, candle.count) == (OPEN, 14)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"<html>Attention Required!</html>", "not_json"),
        (b"", "not_json"),
        (b"[[1,2", "not_json"),
        (b"{}", "unexpected_answer"),
        (b'{"code":500,"message":"System error"}', "unexpected_answer"),
        (b"null", "unexpected_answer"),
        (b"[null]", "unexpected_answer"),
        (b'["x", 5]', "unexpected_answer"),
        (b'[{"code":24101}]', "unexpected_answer"),
        (b"[[]]", "unexpected_answer"),
    ],
)
def test_what_is_no_list_of_candles_may_become_one_later(data, reason):
    with pytest.raises(Unavailable) as found:
        ask(Answers(candles=data))
    assert found.value.reason == reason


def ask(http):
    return PoloniexCandles(http).candles("BTC_USDT", FIVE, OPEN, OPEN + 10 * FIVE)


def failure(status, data, *headers):
    """How asking fails where the exchange answers this."""
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(data)}", "", ""]
    with Peer(answer("\r\n".join(lines).encode() + data)) as peer, client(peer.url) as http:
        with pytest.raises(ExchangeError) as found:
            ask(http)
        return found.value


NOT_LISTED = b'{\n  "code" : 24101,\n  "message" : "Invalid symbol!"\n}'
MISSPELLED = b'{\n  "code" : 400,\n  "message" : "Invalid path variable symbol."\n}'


@pytest.mark.parametrize("status", [400, 404, 200])
@pytest.mark.parametrize("data", [NOT_LISTED, MISSPELLED, b'{"code":"24101"}', b'{"code":10040}'])
def test_a_symbol_that_is_not_listed_is_told_apart_from_an_answer_that_may_come(status, data):
    error = failure(status, data)
    assert type(error) is Unknown
    assert (error.reason, error.retry_after) == ("unknown_symbol", None)
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "status, data, kind, reason",
    [
        (400, b'{"code":24102,"message":"Invalid K-line type!"}', Unavailable, "http_400"),
        (400, b'{"code":400,"message":"Busy."}', Unavailable, "http_400"),
        (400, b'{"code":null,"message":5}', Unavailable, "http_400"),
        (400, b"<html>", Unavailable, "http_400"),
        (400, b"", Unavailable, "http_400"),
        (400, b"[" * 1_000, Unavailable, "http_400"),
        (500, b'{"code":500,"message":"System error"}', Unavailable, "http_500"),
        (403, NOT_LISTED, Refused, "http_403"),
        (200, b"<html>", Unavailable, "not_json"),
    ],
)
def test_other_errors_are_what_they_are_everywhere(status, data, kind, reason):
    error = failure(status, data)
    assert (type(error), error.reason) == (kind, reason)


def test_how_long_to_wait_is_told():
    error = failure(429, b"slow down", "Retry-After: 7")
    assert (type(error), error.reason, error.retry_after) == (Unavailable, "http_429", 7)


def test_one_adapter_answers_again_after_an_error():
    good = body([row()])
    scripts = [
        b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%b" % (len(NOT_LISTED), NOT_LISTED),
        b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%b" % (len(good), good),
    ]
    with Peer(lambda peer, line: answer(scripts.pop(0))(peer, line)) as peer:
        with client(peer.url) as http:
            with pytest.raises(Unknown):
                ask(http)
            assert ask(http).candles == [TOLD]


@pytest.mark.parametrize("api", ["current", "legacy"])
def test_candles_come_from_the_current_api_whatever_quotes_come_from(api):
    with Peer(answer(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n[]")) as peer:
        settings = {"POLONIEX_API": api, "POLONIEX_URL": peer.url, "POLONIEX_LEGACY_URL": "x"}
        adapter = history_adapter("poloniex", settings=settings)
        assert isinstance(adapter, PoloniexCandles)
        assert (adapter.name, adapter.most) == ("poloniex", 500)
        assert adapter.lengths == (MINUTE, FIVE, 10 * MINUTE)
        assert adapter.candles("BTC_USDT", MINUTE, OPEN, OPEN + MINUTE).candles == []
        adapter.close()
        with pytest.raises(ValueError, match="unknown exchange"):
            history_adapter("nowhere", settings=settings)
    assert peer.requests[0].startswith(b"GET /markets/BTC_USDT/candles?interval=MINUTE_1&")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | values.map(body))
def test_any_bytes_are_candles_or_an_error_of_the_exchange(data):
    with contextlib.suppress(ExchangeError):
        parsed(data)


@given(values, st.sampled_from(NAMES))
def test_any_value_in_any_field_leaves_other_rows_alone(value, name):
    found = parsed(row(0), row(1, **{name: value}), row(2))
    assert found.candles[0] == TOLD and opened(found)[-1] == 2
    assert sum(found.rejected.values()) + len(found.candles) in (2, 3)
