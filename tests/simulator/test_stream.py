from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.markets import BUSY, DEAD, PAUSED
from app.simulator.stream import EPOCH, Exchange
from app.simulator.tape import DAY, MINUTE, Trade

NOW = 1_760_000_000_000
SMALL = Exchange(seed=7)
LARGE = Exchange(seed=7, markets=1_100)

symbols = st.sampled_from(list(SMALL.markets))
moments = st.integers(EPOCH - 10 * DAY, NOW + 1_000 * DAY)


@st.composite
def slices(draw):
    """A symbol and three ascending times, near enough to one another to be enumerated."""
    symbol = draw(symbols)
    reach = min(SMALL.markets[symbol].slot * 4, 4_000 * DAY)
    start = draw(moments)
    first, second = sorted(draw(st.integers(0, reach)) for _ in range(2))
    return symbol, start, start + first, start + second


def busy_hour():
    return SMALL.trades("BTC_USDT", NOW, NOW + 60 * MINUTE)


@given(slices())
def test_trades_are_the_same_in_any_slicing(sliced):
    symbol, start, cut, end = sliced
    parts = SMALL.trades(symbol, start, cut) + SMALL.trades(symbol, cut, end)
    assert SMALL.trades(symbol, start, end) == parts


def test_no_trade_is_lost_where_two_slots_meet():
    slot, listed = SMALL.markets["BTC_USDT"].slot, SMALL.markets["BTC_USDT"].listed
    cuts = [listed + number * slot for number in range(500)]
    parts = [trade for a, b in pairwise(cuts) for trade in SMALL.trades("BTC_USDT", a, b)]
    assert parts == SMALL.trades("BTC_USDT", cuts[0], cuts[-1])


@settings(max_examples=30)
@given(st.integers(0, 2**64), symbols, moments)
def test_one_seed_makes_one_exchange_whatever_was_asked_before(seed, symbol, time):
    one, other = Exchange(seed), Exchange(seed, markets=60)
    other.trades(symbol, time - MINUTE, time + 3 * MINUTE)
    other.last_trade(symbol, time + DAY)
    assert one.last_trade(symbol, time) == other.last_trade(symbol, time)
    assert one.trades(symbol, time, time + MINUTE) == other.trades(symbol, time, time + MINUTE)


def test_another_seed_makes_another_exchange():
    one, other = (Exchange(seed).trades("BTC_USDT", NOW, NOW + MINUTE) for seed in (7, 8))
    assert one != other


def test_a_seed_makes_the_same_trades_on_every_host():
    assert SMALL.trades("ETH_USDT", NOW, NOW + 1_500) == [
        Trade(110868977, NOW + 733, Decimal("3200.58"), Decimal("0.01103"), "BUY"),
        Trade(110868978, NOW + 1_072, Decimal("3200.58"), Decimal("0.10055"), "BUY"),
        Trade(110868979, NOW + 1_273, Decimal("3200.20"), Decimal("0.24634"), "SELL"),
    ]


@given(slices())
def test_the_last_trade_is_the_last_of_the_trades(sliced):
    symbol, start, _, end = sliced
    trades = SMALL.trades(symbol, start, end + 1)
    if trades:
        assert SMALL.last_trade(symbol, end) == trades[-1]


@given(symbols, st.lists(moments, min_size=2, max_size=6))
def test_the_last_trade_does_not_depend_on_earlier_questions(symbol, times):
    fresh = Exchange(seed=7)
    for time in times:
        trade = SMALL.last_trade(symbol, time)
        assert trade == Exchange(seed=7).last_trade(symbol, time) == fresh.last_trade(symbol, time)
        assert trade is None or trade.time <= time


@given(slices())
def test_ids_are_consecutive_and_in_the_order_of_time(sliced):
    symbol, start, _, end = sliced
    trades = SMALL.trades(symbol, start, end)
    assert [trade.id for trade in trades] == [trades[0].id + place for place in range(len(trades))]
    assert trades == sorted(trades, key=lambda trade: (trade.time, trade.id))


@given(slices())
def test_prices_and_quantities_are_positive_and_fit_their_scales(sliced):
    symbol, start, _, end = sliced
    market = SMALL.markets[symbol]
    for trade in SMALL.trades(symbol, start, end):
        assert trade.price > 0 and trade.quantity > 0
        assert trade.price.as_tuple().exponent == -market.price_scale
        assert trade.quantity.as_tuple().exponent == -market.quantity_scale
        assert trade.side in ("BUY", "SELL")


def test_nothing_trades_before_the_listing():
    assert SMALL.trades("BTC_USDT", 0, EPOCH - DAY) == []
    assert SMALL.last_trade("BTC_USDT", EPOCH - DAY) is None


def test_the_first_trade_has_id_1():
    listed = SMALL.markets["BTC_USDT"].listed
    assert SMALL.trades("BTC_USDT", 0, listed + 2 * MINUTE)[0].id == 1


def test_a_busy_market_trades_in_bursts():
    per_second = [0] * 3_600
    for trade in busy_hour():
        per_second[(trade.time - NOW) // 1_000] += 1
    assert max(per_second) >= 4
    assert per_second.count(0) > 1_000


def test_some_trades_share_a_millisecond_and_some_repeat_a_price():
    pairs = list(pairwise(busy_hour()))
    assert sum(a.time == b.time for a, b in pairs) > 50
    assert sum(a.price == b.price for a, b in pairs) > 50
    assert sum(a.time == b.time and a.price != b.price for a, b in pairs) > 20


def test_some_trades_lie_exactly_on_a_minute():
    assert sum(trade.time % MINUTE == 0 for trade in busy_hour()) > 10


def test_prices_move_but_do_not_jump():
    prices = [float(trade.price) for trade in SMALL.trades("BTC_USDT", NOW, NOW + DAY)]
    steps = [abs(b / a - 1) for a, b in pairwise(prices)]
    assert max(steps) < 0.002
    assert 1.005 < max(prices) / min(prices) < 1.3


def test_tiny_prices_keep_their_digits():
    trade = SMALL.last_trade("BABYDOGE_BTC", NOW)
    assert Decimal("0.00000000000005") < trade.price < Decimal("0.0000000000005")


def test_a_price_is_never_less_than_one_step():
    worthless = replace(SMALL.markets["BTC_USDT"], level=0.001)
    assert worthless.price(NOW, noise=0.5) == Decimal("0.01")


def test_most_markets_are_as_quiet_and_dead_as_recorded():
    ages = [NOW - LARGE.last_trade(symbol, NOW).time for symbol in LARGE.markets]

    def share(age):
        return sum(other > age for other in ages) / len(ages)

    assert share(MINUTE) == pytest.approx(0.9, abs=0.03)
    assert 0.5 < share(DAY) < 0.7
    assert 0.001 < 1 - share(5_000) < 0.08
    assert 500 < max(ages) / DAY < 2_500


def test_dead_markets_trade_every_few_weeks_or_years():
    dead = [market.symbol for market in LARGE.markets.values() if market.temper is DEAD]
    months = [len(LARGE.trades(symbol, NOW - 30 * DAY, NOW)) for symbol in dead]
    assert max(months) <= 2
    assert sum(months) < len(months) / 2


def test_a_paused_market_never_trades_again():
    paused = [market for market in LARGE.markets.values() if market.temper is PAUSED]
    for market in paused:
        last = LARGE.last_trade(market.symbol, NOW)
        assert last.time < market.until < NOW
        assert LARGE.trades(market.symbol, last.time + 1, NOW) == []
        assert last == LARGE.trades(market.symbol, last.time, NOW)[-1]


def test_a_small_exchange_is_the_beginning_of_a_large_one():
    assert list(LARGE.markets.values())[:40] == list(SMALL.markets.values())


def test_three_thousand_symbols_are_distinct_and_spelled_alike():
    markets = Exchange(seed=1, markets=3_000).markets
    assert len(markets) == 3_000
    assert all(symbol.replace("_", "", 1).isalnum() and symbol.isupper() for symbol in markets)
    assert {symbol.partition("_")[2] for symbol in markets} == {"USDT", "BTC", "TRX"}


def test_the_main_markets_come_first():
    assert list(SMALL.markets)[:2] == ["BTC_USDT", "ETH_USDT"]
    assert SMALL.markets["BTC_USDT"].temper is BUSY


@pytest.mark.parametrize("markets", [0, 3_001])
def test_an_impossible_number_of_markets_is_refused(markets):
    with pytest.raises(ValueError, match="1 to 3000"):
        Exchange(seed=1, markets=markets)


def test_an_unknown_symbol_is_a_key_error():
    with pytest.raises(KeyError):
        SMALL.trades("NO_SUCH", 0, NOW)
    with pytest.raises(KeyError):
        SMALL.last_trade("NO_SUCH", NOW)
