"""GET /metrics, in the text format of Prometheus. Every number is looked up when it is asked for;
nothing is counted here."""

from collections.abc import Iterable, Iterator, Sequence

from flask import Response, request
from flask_restful import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from app.api.agreement import yesterday
from app.api.context import services
from app.api.parameters import Parameters
from app.live.hub import Hub
from app.market.windows import interval_text
from app.storage import agreed
from app.storage.agreed import Count
from app.storage.database import StoreError

FEED = ("exchange", "source")
LANE = (*FEED, "interval")

COUNTERS = {
    "late_ticks": "Ticks that came after their window had closed",
    "revised": "Closed candles that were replaced, with a cause",
    "conflicts": "Rows that were stored already and differ",
}


class Metrics(Resource):
    """For a scraper."""

    def get(self) -> Response:
        """Of the feeds that run in this process, and of what is stored."""
        Parameters(request.args, ())
        shared = services()
        found = list(_feeds(shared.hub))
        up = GaugeMetricFamily("candlekeep_database_up", "1: it answers, 0: it does not")
        try:
            recent = agreed.counts_since(shared.engine, yesterday(shared.hub.clock()))
            found += [*_shares(recent), *_totals(agreed.totals(shared.engine))]
            up.add_metric((), 1)
        except StoreError:
            up.add_metric((), 0)
        registry = CollectorRegistry()
        registry.register(_Collected([*found, up]))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Collected(Collector):
    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _feeds(hub: Hub) -> Iterator[Metric]:
    states = list(hub.feeds.items())
    lag = GaugeMetricFamily(
        "candlekeep_lag_seconds", "How old the newest batch is that was folded in", labels=FEED
    )
    for feed, state in states:
        if state.applied_time is not None:
            lag.add_metric(feed, (hub.now(feed) - state.applied_time) / 1000)
    yield lag
    for name, what in COUNTERS.items():
        counter = CounterMetricFamily(
            f"candlekeep_{name}", f"{what}, since this process began", labels=FEED
        )
        for feed, state in states:
            counter.add_metric(feed, getattr(state, name))
        yield counter


def _shares(counts: Iterable[Count]) -> Iterator[Metric]:
    share = GaugeMetricFamily(
        "candlekeep_agreement_share",
        "Of the windows compared since 00:00 UTC of the day before, those that agree with the"
        " exchange's own candles",
        labels=LANE,
    )
    for count in counts:
        if count.share is not None:
            share.add_metric(_labels(count), float(count.share))
    yield share


def _totals(counts: Sequence[Count]) -> Iterator[Metric]:
    for name, what in (
        ("compared", "Windows that were compared with the exchange's own candles"),
        ("matching", "Those of them that agree in every field"),
    ):
        total = CounterMetricFamily(f"candlekeep_agreement_{name}", what, labels=LANE)
        for count in counts:
            total.add_metric(_labels(count), getattr(count, name))
        yield total


def _labels(count: Count) -> list[str]:
    return [count.exchange, count.source, interval_text(count.interval)]
