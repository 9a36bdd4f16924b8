from dataclasses import replace
from decimal import Decimal

import pytest

from app.market.verdict import Compared, Difference, Gap, Row, Undecided, sentence

WHOLE = Row(412, Decimal(1), (), "live", Decimal(1), ())
PART = Row(412, Decimal("0.88"), ("outage",), "live", Decimal("0.88"), ("outage",))
THEIRS = Row(9, Decimal(1), (), "exchange", Decimal("0.62"), ("restart",))
SAME, NONE = Compared(412), Compared(0)
CLOSE = Difference("close", "1.9", "1.8")
OTHER = Compared(412, [CLOSE])
MANY = Compared(9, [*OTHER.differences * 3, Difference("volume", "1", "2")] * 2)
MORE = Compared(412, [CLOSE, Difference("high", "2", "3"), Difference("volume", None, "7")])
AWAY = "timeout"


@pytest.mark.parametrize(
    ("window", "theirs", "expected"),
    [
        (WHOLE, SAME, "Same as Poloniex's own candle: 412 trades, fully observed."),
        (
            replace(WHOLE, ticks=1),
            SAME,
            "Same as Poloniex's own candle: 1 trade, fully observed.",
        ),
        (
            PART,
            SAME,
            "Same as Poloniex's own candle: 412 trades, though 88 % of the window was observed"
            " (outage).",
        ),
        (
            PART,
            OTHER,
            "Differs from Poloniex's own candle in close (ours 1.9, theirs 1.8): 88 % of the"
            " window was observed (outage).",
        ),
        (
            WHOLE,
            MORE,
            "Differs from Poloniex's own candle in close (ours 1.9, theirs 1.8), high (ours 2,"
            " theirs 3) and volume (ours unknown, theirs 7), though the window was fully observed.",
        ),
        (
            WHOLE,
            MANY,
            "Differs from Poloniex's own candle in close (ours 1.9, theirs 1.8), close (ours 1.9,"
            " theirs 1.8), close (ours 1.9, theirs 1.8) and 5 more, though the window was fully"
            " observed.",
        ),
        (
            replace(PART, share=Decimal("0.9999"), reasons=("outage", "sequence_gap")),
            NONE,
            "Poloniex's own candles show no trade, ours has 412 trades, 99.99 % of the window was"
            " observed (outage, sequence_gap).",
        ),
        (
            WHOLE,
            AWAY,
            "412 trades, fully observed; not compared with Poloniex's own candle (timeout).",
        ),
        (
            THEIRS,
            SAME,
            "Taken from Poloniex's own candle, because 38 % of the window was not observed"
            " (restart).",
        ),
        (THEIRS, AWAY, None),
        (
            replace(THEIRS, taken=2, parts=10),
            OTHER,
            "Taken from Poloniex's own candle in 2 of its 10 parts, because 38 % of the window was"
            " not observed (restart), which differs now: close (ours 1.9, theirs 1.8).",
        ),
        (replace(THEIRS, watched=Decimal(1)), SAME, "Taken from Poloniex's own candle."),
        (Gap("no_trade", ()), NONE, "No candle: nobody traded."),
        (Gap("no_trade", ()), AWAY, "No candle: nobody traded."),
        (
            Gap("no_trade", ()),
            Compared(1),
            "No candle: we saw nobody trade, yet Poloniex's own candle has 1 trade.",
        ),
        (
            Gap("exchange_down", ("exchange_down", "outage")),
            AWAY,
            "No candle: not observed (exchange_down).",
        ),
        (
            Gap("not_observed", ("outage", "restart")),
            Compared(3),
            "No candle: not observed (outage, restart); Poloniex's own candle has 3 trades.",
        ),
        (
            Gap("not_observed", ("not_stored",)),
            Compared(3),
            "No candle: candles of this interval were not stored then, or are not kept"
            " (not_stored).",
        ),
        (
            Gap("not_subscribed", ("not_subscribed",)),
            Compared(3),
            "No candle: the symbol was not subscribed then.",
        ),
        (
            Undecided("the window closes at 12:30"),
            AWAY,
            "No candle yet: the window closes at 12:30.",
        ),
    ],
)
def test_every_case_has_its_sentence(window, theirs, expected):
    if expected is None:
        # What it is made of is known without asking again.
        expected = sentence("Poloniex", "trades", window, SAME)
    assert sentence("Poloniex", "trades", window, theirs) == expected


@pytest.mark.parametrize(
    ("window", "theirs", "expected"),
    [
        (
            WHOLE,
            SAME,
            "412 prices were seen, fully observed; Poloniex's own candle has the same prices.",
        ),
        (
            replace(PART, ticks=1),
            OTHER,
            "1 price was seen, 88 % of the window was observed (outage); Poloniex's own candle"
            " differs in close (ours 1.9, theirs 1.8).",
        ),
        (
            WHOLE,
            NONE,
            "412 prices were seen, fully observed; Poloniex's own candles show no trade.",
        ),
        (
            WHOLE,
            AWAY,
            "412 prices were seen, fully observed; not compared with Poloniex's own candle"
            " (timeout).",
        ),
    ],
)
def test_candles_of_last_prices_are_samples(window, theirs, expected):
    told = sentence("Poloniex", "ticker", window, theirs)
    assert told == f"Samples, not trades: {expected}"


def test_a_ticker_without_new_prices_may_have_missed_trades():
    told = sentence("Poloniex", "ticker", Gap("no_trade", ()), Compared(2))
    assert told == "No candle: no price was new to us, yet Poloniex's own candle has 2 trades."
