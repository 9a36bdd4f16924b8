"""GET /agreement: how far our candles say the same as the exchange's own, and where they do not."""

from decimal import Decimal
from typing import Any

import msgspec
from flask import Response, request
from flask_restful import Resource

from app.api.context import reply, services
from app.api.problems import Problem
from app.api.question import Question, read_agreement_question
from app.api.times import shown
from app.market.agreement import CANDLE, fields, share
from app.market.coverage import ALL_NAME
from app.market.ticks import plain
from app.market.windows import DAY, LATEST, MINUTE, WEEK, interval_text, window_open
from app.storage import agreed
from app.storage.agreed import Agreed, Difference, TooMany


class AgreedJson(msgspec.Struct):
    """A day of an interval. symbol: `all` for all together; share: of the windows compared those
    that agree, rounded down to 4 places; fields: in how many windows each differed; the distances
    are those of prices, in relation to the exchange's. None where nothing was compared."""

    symbol: str
    interval: str
    day: int | str | None
    compared: int
    matching: int
    repaired: int
    share: float | None
    fields: dict[str, int]
    mean_distance: str | None
    worst_distance: str | None


class DifferenceJson(msgspec.Struct):
    """A window in which they differ; ours, theirs: what was compared, None where that side has no
    candle."""

    symbol: str
    interval: str
    open_time: int | str | None
    differing: list[str]
    distance: str | None
    ours: dict[str, str | None] | None
    theirs: dict[str, str | None] | None


class Agreement(Resource):
    """Read only."""

    def get(self) -> Response:
        """By day and interval, and of symbols that are named by symbol; of the last week by
        default. The worst differences of all that."""
        shared = services()
        question, as_iso = read_agreement_question(request, shared.config)
        start, end = _range(question, shared.hub.now((question.exchange, question.source)))
        asked = question.exchange, question.source, question.intervals, start, end
        symbols = question.symbols
        try:
            days = agreed.agreed(shared.engine, *asked, symbols, symbols is not None)
            worst = agreed.worst(shared.engine, *asked, symbols)
        except TooMany:
            detail = "That is too much for one answer. Name symbols, or ask for less time."
            raise Problem(400, detail, parameter="start") from None
        names = (*fields(question.source), CANDLE)
        meta = {"exchange": question.exchange, "source": question.source, "count": len(days)}
        if not any(day.compared for day in days):
            meta["hint"] = (
                "Nothing was compared in that time. AGREEMENT_SYMBOLS says which series are,"
                f" {shared.config.agreement_ms // MINUTE} minutes after a window has closed."
            )
        return reply(
            {
                "data": [_day(day, names, as_iso) for day in days],
                "worst": [_difference(one, as_iso) for one in worst],
                "meta": meta,
            }
        )


def recent_agreement() -> dict[str, Any]:
    """Of each feed and interval, all symbols together. StoreError where the database does not
    answer."""
    shared = services()
    since = yesterday(shared.hub.clock())
    return {
        "since": since,
        "shares": [
            {
                "exchange": count.exchange,
                "source": count.source,
                "interval": interval_text(count.interval),
                "compared": count.compared,
                "matching": count.matching,
                "share": _number(count.share),
            }
            for count in agreed.counts_since(shared.engine, since)
        ],
    }


def yesterday(now: int) -> int:
    """00:00 UTC of the day before (ms): the days since then have the last 24 hours in them."""
    return window_open(now - DAY, DAY)


def _range(question: Question, now: int) -> tuple[int, int]:
    end = LATEST if question.end is None else question.end
    if question.start is not None:
        return question.start, end
    return max(0, min(end, now) - WEEK), end


def _day(day: Agreed, names: tuple[str, ...], as_iso: bool) -> AgreedJson:
    return AgreedJson(
        day.symbol or ALL_NAME,
        interval_text(day.interval),
        shown(day.day, as_iso),
        day.compared,
        day.matching,
        day.repaired,
        _number(share(day.matching, day.compared)),
        {name: day.differing[name] for name in names},
        _text(day.mean_distance),
        _text(day.worst_distance),
    )


def _difference(one: Difference, as_iso: bool) -> DifferenceJson:
    return DifferenceJson(
        one.symbol,
        interval_text(one.interval),
        shown(one.open_time, as_iso),
        one.differing.split(","),
        _text(one.distance),
        None if one.ours is None else msgspec.json.decode(one.ours),
        None if one.theirs is None else msgspec.json.decode(one.theirs),
    )


def _number(share: Decimal | None) -> float | None:
    return None if share is None else float(share)


def _text(distance: Decimal | None) -> str | None:
    return None if distance is None else plain(distance)
