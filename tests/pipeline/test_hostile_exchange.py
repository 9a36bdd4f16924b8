"""From whatever bytes an exchange sends to what is written down of them: either a batch that the
fold can take, or the documented error, and never much memory."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchanges.base import Answer, ExchangeError, Heard, Unavailable
from app.exchanges.poloniex import Poloniex, PoloniexLegacy
from app.exchanges.poloniex_trades import PoloniexTrades
from app.market.coverage import ALL, FOREVER
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.subscriptions import Subscriptions
from app.market.ticks import Batch
from app.pipeline.changes import Changes
from app.pipeline.fetching import Known
from app.pipeline.link import Held
from app.ticklog.records import encode, entries
from tests.exchanges.test_poloniex import Answers as Rest
from tests.exchanges.test_poloniex_trades import Answers, Stream

T = 1_760_000_000_000
PRICE = {"symbol": "BTC_USDT", "price": "2.5", "time": T - 50, "dailyChange": "0", "ts": T}
PAIR = {"id": 121, "last": "2.5", "isFrozen": "0"}
TRADE = {
    "symbol": "BTC_USDT",
    "amount": "5",
    "quantity": "2",
    "takerSide": "sell",
    "createTime": T - 50,
    "price": "2.5",
    "id": "17",
    "ts": T,
}

# Halves of a surrogate pair are no text, and JSON can carry them all the same.
ODD = [
    "",
    "NaN",
    "-NaN",
    "sNaN",
    "Infinity",
    "-0",
    "1_000",
    "１２",
    " 5 ",
    "1e400",
    "1e-400",
    "1e99",
]
ODD += ["0" * 100 + "1", "9" * 5_000, "+5", "0x5", "btc_usdt", "A" * 400, "\ud800"]
odd_text = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(ODD)
odd_numbers = st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([2**63, T * 1000, T])
values = st.recursive(
    st.none() | st.booleans() | odd_numbers | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)


def changed(row):
    """A row of which some fields are anything."""
    return st.dictionaries(st.sampled_from(sorted(row)), values, max_size=3).map(
        lambda some: row | some
    )


def spoiled(text, place, data):
    """The bytes of some JSON, perhaps with others in place of a part."""
    whole = text.encode()
    at = place % (len(whole) + 1)
    return whole[:at] + data + whole[at + 2 * len(data) :]


def bodies(shape):
    """JSON of about this shape, or what is left of it."""
    return st.builds(
        spoiled, shape.map(json.dumps), st.integers(0, 5_000), st.just(b"") | st.binary(max_size=4)
    )


prices = bodies(st.lists(changed(PRICE) | values, max_size=4) | values)
legacy = bodies(
    st.dictionaries(st.just("USDT_BTC") | odd_text, changed(PAIR) | values, max_size=4) | values
)
messages = bodies(
    st.fixed_dictionaries(
        {"channel": st.just("trades"), "data": st.lists(changed(TRADE) | values, max_size=4)}
    )
    | st.fixed_dictionaries(
        {},
        optional={
            "channel": st.just("trades") | values,
            "event": st.sampled_from(["subscribe", "error", "pong", "unsubscribe"]) | values,
            "data": values,
            "symbols": st.lists(odd_text, max_size=3) | values,
            "message": odd_text | values,
        },
    )
    | values
)


def logged(batch):
    """The batch, as the next process will read it."""
    (entry,) = entries(memoryview(encode(batch)), 0)
    assert entry.batch == batch


def poll(source):
    changes = Changes()
    for _ in range(2):
        with suppress(ExchangeError):
            answer: Answer = source.quotes()
            ticks, rejected = changes.ticks(answer, T, T + 50)
            logged(Batch(T, T + 50, "ok", ticks=ticks, rejected=dict(rejected)))
    with suppress(ExchangeError):
        assert all(isinstance(market.symbol, str) for market in source.markets())
    with suppress(ExchangeError):
        assert source.server_time() is None or min(source.server_time()) > 0


@given(prices)
def test_whatever_answers_as_prices_is_written_down_or_the_exchanges_error(body):
    poll(Poloniex(Rest(price=body, markets=body, timestamp=body)))


@given(legacy)
def test_whatever_answers_as_return_ticker_is_written_down_or_the_exchanges_error(body):
    poll(PoloniexLegacy(Rest(public=body)))


def hear(*said) -> Heard:
    return PoloniexTrades(Stream(*said), Answers()).receive(5)


def write_down(heard):
    held = Held()
    held.take(heard.trades, T, Known())
    joined = sorted(held.joined | set(heard.joined))
    rejected = dict(held.rejected + heard.rejected)
    logged(Batch(T, T, "ok", 0, 1_000, "", False, False, held.ticks, rejected, held.spoiled,
                 joined=joined))  # fmt: skip
    for text in heard.refused:
        assert text == text.encode().decode() and len(text) <= 120


@given(messages)
def test_whatever_is_pushed_is_written_down_or_the_exchanges_error(message):
    with suppress(ExchangeError):
        write_down(hear(message, json.dumps({"event": "pong"}).encode()))


@given(prices)
def test_whatever_answers_as_recent_trades_is_written_down_or_the_exchanges_error(body):
    body = body.replace(b'"price"', b'"quantity": "1", "createTime": 5, "id": "3", "price"')
    with suppress(ExchangeError):
        write_down(Heard(PoloniexTrades(Stream(), Answers(body)).recent("BTC_USDT")))


HALF = rb"\ud800"


@pytest.mark.parametrize(
    "said",
    [
        b'{"event":"error","message":"%s"}' % HALF,
        b'{"event":"subscribe","channel":"trades","symbols":["%s"],"message":5}' % HALF,
        b'{"channel":"trades","data":[{"symbol":"BTC_USDT","id":"%s","quantity":"1",'
        b'"price":5,"createTime":1759999999999}]}' % HALF,
    ],
    ids=["refusal", "confirmation", "id"],
)
def test_half_a_character_in_a_message_stops_nobody(said):
    write_down(hear(said))


def test_a_symbol_that_is_none_is_not_followed_for_being_confirmed():
    said = {"event": "subscribe", "channel": "trades", "symbols": ["BTC_USDT", "<b>", "x" * 9_999]}
    assert hear(json.dumps(said).encode()).joined == ["BTC_USDT"]


def test_texts_without_end_are_not_remembered():
    """Of each symbol the last quote is kept, so a few megabytes each would be gigabytes."""
    changes, endless = Changes(), "9" * 2**20
    for number in range(5):
        rows = [
            PRICE | {"symbol": f"S{number}"},
            PRICE | {"symbol": f"A{number}", "price": endless},
        ]
        rows += [PRICE | {"symbol": endless + str(number)}]
        answer = Poloniex(Rest(price=json.dumps(rows).encode())).quotes()
        changes.ticks(answer, T, T)
        rows = {"USDT_A": PAIR, "USDT_B": PAIR | {"last": endless}, f"{endless}_B": PAIR}
        answer = PoloniexLegacy(Rest(public=json.dumps(rows).encode())).quotes()
        changes.ticks(answer, T, T)
    kept = [*changes._known.values(), *changes._rejected.values()]
    assert kept and max(len(quote.symbol) + len(quote.price) for quote in kept) < 1_000


def test_ids_without_end_are_no_trades():
    rows = [TRADE | {"id": "x" * 9_999}, TRADE | {"id": "18"}]
    heard = hear(json.dumps({"channel": "trades", "data": rows}).encode())
    assert [trade.id for trade in heard.trades] == ["18"]
    assert heard.rejected == {"row_malformed": 1}


def test_an_answer_that_is_deeply_nested_is_given_up_at_once():
    for body in (b"[" * 8_000_000, b'{"a":' * 1_000_000, b"[" * 4_000_000 + b"]" * 4_000_000):
        for source in (Poloniex(Rest(price=body)), PoloniexLegacy(Rest(public=body))):
            with pytest.raises(Unavailable):
                source.quotes()


@pytest.mark.parametrize("unit", ["s", "us", "ns", "negative", "zero"])
def test_a_time_in_another_unit_makes_no_candle_of_another_century(unit):
    """A row in seconds is of 1970, long decided; one in microseconds is of the year 57,000."""
    fold, closed = FeedFold((60_000,), Pace(2_000, 2_000)), []
    watched, changes = Subscriptions([(ALL, 0, FOREVER)]), Changes()
    for second in range(130):
        now = T + second * 1_000
        told = {"s": now // 1000, "us": now * 1000, "ns": now * 10**6, "negative": -now, "zero": 0}
        rows = [PRICE | {"time": now - 50, "price": f"{second % 5 + 1}"}]
        rows += [PRICE | {"symbol": "ODD_USDT", "time": told[unit], "price": f"{second % 5 + 1}"}]
        answer = Poloniex(Rest(price=json.dumps(rows).encode())).quotes()
        ticks, rejected = changes.ticks(answer, now, now + 20)
        fold.apply(Batch(now, now + 20, "ok", ticks=ticks, rejected=dict(rejected)), watched)
        closing = fold.take_closing(watched)
        closed += closing.candles if closing else []
    assert all(T - 60_000 <= one.open_time < T + 130_000 for one in closed)
    assert len([one for one in closed if one.symbol == "BTC_USDT"]) == 2
    # A row without a time goes by its poll, as those of returnTicker do.
    assert ("ODD_USDT" in {one.symbol for one in closed}) is (unit == "zero")


def test_a_symbol_that_is_told_twice_hurts_no_other():
    rows = [PRICE, PRICE | {"price": "3"}, PRICE | {"symbol": "A_B"}, PRICE]
    ticks, rejected = Changes().ticks(
        Poloniex(Rest(price=json.dumps(rows).encode())).quotes(), T, T
    )
    assert {tick.symbol for tick in ticks} == {"BTC_USDT", "A_B"} and not rejected
    twice = b'{"USDT_A":{"last":"1"},"USDT_A":{"last":"2","last":"3"},"USDT_B":{"last":"4"}}'
    quotes = PoloniexLegacy(Rest(public=twice)).quotes().quotes
    assert [(quote.symbol, quote.price) for quote in quotes] == [("A_USDT", "3"), ("B_USDT", "4")]
