import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchanges import trades_adapter
from app.exchanges.base import ExchangeError, Trade, Unavailable
from app.exchanges.http import Response
from app.exchanges.poloniex_trades import PoloniexTrades
from app.market.coverage import ALL

ROWS = [
    {
        "symbol": "BTC_USDT",
        "amount": "248.3516391",
        "quantity": "0.01149",
        "takerSide": "sell",
        "createTime": 1_661_123_520_381 + n,
        "price": "21614.59",
        "id": str(60_184_114 + n),
        "ts": 1_661_123_520_900 + n,
    }
    for n in range(3)
]


class Stream:
    """Stands where WebSocket stands: gives what it was given, message by message."""

    def __init__(self, *messages):
        self.messages, self.told = list(messages), []

    def receive(self, seconds):
        message = self.messages.pop(0) if self.messages else None
        if isinstance(message, Exception):
            raise message
        return message

    def send(self, text):
        self.told.append(json.loads(text))

    def open(self):
        self.told.append("open")

    def close(self):
        self.told.append("close")


class Answers:
    """Stands where Http stands."""

    def __init__(self, body=b"[]"):
        self.body, self.asked = body, []

    def get(self, path, params=None):
        self.asked.append((path, params))
        return Response(self.body, None)

    def close(self):
        self.asked.append("close")


def encoded(message):
    return message if isinstance(message, bytes | None) else json.dumps(message).encode()


def hear(*messages):
    return PoloniexTrades(Stream(*map(encoded, messages)), Answers()).receive(5)


def pushed(*rows):
    return {"channel": "trades", "data": list(rows)}


def test_a_pushed_trade_goes_by_its_own_time_and_its_quantity():
    heard = hear(pushed(*ROWS))
    assert same(heard.trades, ROWS)
    assert (heard.trades[0].size, heard.trades[0].time) == ("0.01149", 1_661_123_520_381)
    assert [trade.id for trade in heard.trades] == ["60184114", "60184115", "60184116"]
    assert (heard.messages, heard.rejected) == (1, {})


def told(row, symbol="BTC_USDT"):
    """The row as a trade."""
    names = ("id", "price", "quantity", "createTime", "takerSide")
    return Trade(row.get("symbol", symbol), *(row[name] for name in names))


def same(trades, rows):
    """Whether the trades, which have a type of their own, are those of the rows."""
    return [fields(trade) for trade in trades] == [fields(told(row)) for row in rows]


def fields(trade):
    return trade.symbol, trade.id, trade.price, trade.size, trade.time, trade.side


def test_what_is_followed_is_told_and_what_is_confirmed_is_joined():
    stream = Stream(
        encoded({"event": "subscribe", "channel": "trades", "symbols": ["A_USDT", "B_USDT"]}),
        encoded({"event": "subscribe", "channel": "book_lv2", "symbols": ["C_USDT"]}),
        encoded({"event": "unsubscribe", "channel": "trades", "symbols": ["A_USDT"]}),
    )
    adapter = PoloniexTrades(stream, Answers())
    adapter.connect()
    adapter.follow({"B_USDT", "A_USDT"})
    adapter.unfollow({"A_USDT"})
    adapter.ping()
    adapter.hang_up()
    both = {"channel": ["trades"], "symbols": ["A_USDT", "B_USDT"]}
    assert stream.told == [
        "open",
        {"event": "subscribe", **both},
        {"event": "unsubscribe", "channel": ["trades"], "symbols": ["A_USDT"]},
        {"event": "ping"},
        "close",
    ]
    heard = adapter.receive(5)
    assert heard.joined == ["A_USDT", "B_USDT"] and heard.messages == 3


def test_everything_is_followed_in_one_word():
    stream = Stream(encoded({"event": "subscribe", "channel": "trades", "symbols": ["all"]}))
    adapter = PoloniexTrades(stream, Answers())
    adapter.follow({ALL, "BTC_USDT"})
    assert stream.told == [{"event": "subscribe", "channel": ["trades"], "symbols": ["all"]}]
    assert adapter.receive(5).joined == [ALL]


def test_signs_of_life_and_refusals_are_told_apart():
    heard = hear({"event": "pong"}, b"", {"event": "error", "message": "no\nsuch \x1bsymbol"})
    assert (heard.messages, heard.pongs, heard.refused) == (3, 1, ["no such symbol"])
    assert heard.rejected == {}


NONSENSE = [
    *(b"<html>", b"[]", b"null", b"5", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"event":"pong"'),
    *({"event": "maintenance"}, {"channel": "book_lv2", "data": ROWS}, {"event": 5}),
    *({"channel": "trades", "data": "none"}, {"channel": "trades", "data": None}),
]


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
def test_a_message_that_is_not_known_is_counted_and_costs_nothing_else(message):
    heard = hear(pushed(ROWS[0]), message, pushed(ROWS[1]), {"event": "pong"})
    assert same(heard.trades, ROWS[:2])
    assert (heard.messages, heard.pongs) == (4, 1)
    assert heard.rejected == {"message_unknown": 1}


BAD = [
    (name, value)
    for name in ("symbol", "quantity", "createTime", "price", "id")
    for value in (..., None, True, [], {})
]


@pytest.mark.parametrize("name, value", [*BAD, ("createTime", "soon"), ("createTime", 1.5)])
def test_one_bad_row_costs_itself_only(name, value):
    bad = {**ROWS[1], name: value}
    if value is ...:
        del bad[name]
    heard = hear(pushed(ROWS[0], bad, ROWS[2]))
    if name == "symbol" and value is ...:
        # Without a symbol it is nobody's.
        assert [trade.symbol for trade in heard.trades] == ["BTC_USDT", "", "BTC_USDT"]
    else:
        assert same(heard.trades, [ROWS[0], ROWS[2]])
        assert heard.rejected == {"row_malformed": 1}


@pytest.mark.parametrize("row", [b"null", b"5", b'"x"', b"[]", b'{"symbol":"\\ud800"}', b'"\xff"'])
def test_a_row_that_is_none_costs_itself_only(row):
    message = encoded(pushed(ROWS[0], "here", ROWS[2])).replace(b'"here"', row)
    heard = hear(message)
    assert same(heard.trades, [ROWS[0], ROWS[2]])
    assert heard.rejected == {"row_malformed": 1}


@pytest.mark.parametrize("name", ["quantity", "price"])
def test_a_bare_nan_costs_its_own_row_only(name):
    message = encoded(pushed(ROWS[0], {**ROWS[1], name: float("nan")}, ROWS[2]))
    heard = hear(message)
    assert same([heard.trades[0], heard.trades[-1]], [ROWS[0], ROWS[2]])
    odd = heard.trades[1:-1]
    assert [getattr(one, {"quantity": "size"}.get(name, name)) for one in odd] == ["NaN"]


def test_numbers_instead_of_text_and_text_instead_of_numbers_keep_every_digit():
    text = json.dumps(pushed(ROWS[0])).replace('"21614.59"', "0.10000000000000000055")
    text = text.replace('"0.01149"', "1e-17").replace("1661123520381", '"1661123520381"')
    heard = hear(text.replace('"60184114"', "60184114").encode())
    (trade,) = heard.trades
    assert fields(trade)[1:5] == ("60184114", "0.10000000000000000055", "1e-17", 1_661_123_520_381)


def test_a_trade_without_a_side_is_a_trade():
    row = {name: value for name, value in ROWS[0].items() if name != "takerSide"}
    assert [trade.side for trade in hear(pushed(row)).trades] == [""]


def test_receiving_ends_when_it_should_however_much_comes():
    stream = Stream()
    stream.receive = lambda seconds: encoded({"event": "pong"})
    heard = PoloniexTrades(stream, Answers()).receive(0.05)
    assert heard.pongs == heard.messages > 1


def test_what_came_before_an_error_is_told_before_it():
    error = Unavailable("closed")
    stream = Stream(encoded(pushed(ROWS[0])), error, encoded(pushed(ROWS[1])))
    adapter = PoloniexTrades(stream, Answers())
    assert same(adapter.receive(5).trades, ROWS[:1])
    with pytest.raises(Unavailable) as found:
        adapter.receive(5)
    assert found.value is error
    assert same(adapter.receive(5).trades, ROWS[1:2]), "it is told once"


def test_recent_trades_are_told_oldest_first_with_their_symbol():
    rows = [{name: row[name] for name in row if name != "symbol"} for row in reversed(ROWS)]
    http = Answers(encoded(rows))
    found = PoloniexTrades(Stream(), http).recent("BTC_USDT")
    assert same(found, ROWS)
    assert http.asked == [("/markets/BTC_USDT/trades", {"limit": "1000"})]


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"code":500}', b"[null]", b'["x"]'])
def test_recent_trades_that_are_none_are_an_error_of_the_exchange(body):
    with pytest.raises(Unavailable):
        PoloniexTrades(Stream(), Answers(body)).recent("BTC_USDT")


def test_recent_trades_of_which_one_cannot_be_read_are_told_without_it():
    found = PoloniexTrades(Stream(), Answers(encoded([ROWS[2], {}, ROWS[0]]))).recent("BTC_USDT")
    assert same(found, [ROWS[0], ROWS[2]])


def test_a_symbol_cannot_leave_its_place_in_the_path():
    http = Answers(encoded(ROWS))
    PoloniexTrades(Stream(), http).recent("../timestamp?x=")
    assert http.asked[0][0] == "/markets/..%2Ftimestamp%3Fx%3D/trades"


def test_the_addresses_are_a_matter_of_configuration():
    settings = {"POLONIEX_URL": "http://a", "POLONIEX_WS_URL": "ws://a"}
    adapter = trades_adapter("poloniex", settings=settings)
    assert isinstance(adapter, PoloniexTrades) and adapter.name == "poloniex"
    adapter.close()
    with pytest.raises(ValueError, match="unknown exchange"):
        trades_adapter("nowhere", settings=settings)


messages = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | messages.map(encoded))
def test_any_bytes_are_heard_or_an_error_of_the_exchange(data):
    with contextlib.suppress(ExchangeError):
        hear(data, pushed(ROWS[0]))
    with contextlib.suppress(ExchangeError):
        PoloniexTrades(Stream(), Answers(data or b"")).recent("BTC_USDT")


@given(messages, st.sampled_from([*ROWS[0], "channel", "event", "data", "symbols", "message"]))
def test_any_value_in_any_field_leaves_other_messages_alone(value, name):
    row = {**ROWS[1], name: value}
    heard = hear(pushed(ROWS[0], row), {**pushed(ROWS[0]), name: value}, pushed(ROWS[2]))
    assert fields(heard.trades[0]) == fields(told(ROWS[0]))
    assert fields(heard.trades[-1]) == fields(told(ROWS[2]))
