"""The candles that are there, page by page: the last of each market, or all since a time."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from app.feeding.candles import Candle
from app.feeding.service import Meta, Page, Service
from app.feeding.trouble import WrongAnswer

MOST_ROWS = 1_000
"""What the API gives in one page."""

MAX_PAGES = 10
MAX_QUIET = 50
"""So many markets that trade seldom are asked for one by one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be shown. Texts are as they were given: the API knows how they may be spelled.
    interval: empty for the shortest; symbols: none for all; exchange and source: None for the
    service's defaults; count: candles of each market; include_open: open ones among them; every:
    whether each closed candle counts, not only the newest ones."""

    interval: str
    count: int
    symbols: tuple[str, ...] = ()
    exchange: str | None = None
    source: str | None = None
    include_open: bool = True
    every: bool = False

    def query(self) -> dict[str, str]:
        """As parameters of the stream, and of the newest candles."""
        given = {
            "interval": self.interval,
            "symbol": ",".join(self.symbols),
            "exchange": self.exchange,
            "source": self.source,
        }
        return {name: value for name, value in given.items() if value}

    def query_of_candles(self) -> dict[str, str]:
        """As parameters of GET /candlesticks."""
        return {**self.query(), "include_open": "1" if self.include_open else "0"}


@dataclass(frozen=True, slots=True)
class Row:
    """A candle, and its JSON as it came."""

    candle: Candle
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Candles by open time, and what their first page says of itself."""

    rows: list[Row]
    meta: Meta


def read_row(raw: bytes) -> Row:
    """WrongAnswer for what is no candle."""
    try:
        return Row(msgspec.json.decode(raw, type=Candle), raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WrongAnswer(f"what came is no candle: {error}") from error


def last(service: Service, question: Question) -> Rows:
    """The last candles of each market."""
    reader = _Reader(service, question)
    if question.symbols:
        for symbol in question.symbols:
            reader.one(symbol)
    else:
        reader.every()
    return reader.found()


def since(service: Service, question: Question, start: int) -> Iterator[Rows]:
    """All candles that open at `start` (ms) or later, page by page."""
    query = {**question.query_of_candles(), "start": str(start)}
    cursor: str | None = None
    while True:
        page = _page(service, query, MOST_ROWS, cursor)
        yield Rows([read_row(bytes(raw)) for raw in page.data], page.meta)
        cursor = page.meta.next_cursor
        if cursor is None:
            return


class _Reader:
    """Gathers the last candles of markets."""

    def __init__(self, service: Service, question: Question) -> None:
        self._service, self._question = service, question
        self._query = question.query_of_candles()
        self._rows: dict[tuple[str, int], Row] = {}
        self._meta: Meta | None = None

    def one(self, symbol: str) -> None:
        """Of one market."""
        self._take(
            _page(self._service, {**self._query, "symbol": symbol}, self._question.count, None)
        )

    def every(self) -> None:
        """Of all markets: the newest rows of all together, and what those lack of markets that
        trade seldom."""
        symbols = self._symbols()
        wanted = self._question.count * len(symbols)
        pages = min(MAX_PAGES, max(1, math.ceil(wanted / MOST_ROWS)))
        cursor: str | None = None
        for _ in range(pages):
            page = _page(self._service, self._query, min(wanted, MOST_ROWS) or MOST_ROWS, cursor)
            self._take(page)
            cursor = page.meta.next_cursor
            if cursor is None:
                return
        counts = Counter(symbol for symbol, _ in self._rows)
        quiet = [symbol for symbol in symbols if counts[symbol] < self._question.count]
        for symbol in quiet[:MAX_QUIET]:
            self.one(symbol)

    def found(self) -> Rows:
        """By open time."""
        if self._meta is None:
            raise WrongAnswer("there is nothing to ask for")
        rows = sorted(
            self._rows.values(), key=lambda row: (row.candle.open_time, row.candle.symbol)
        )
        return Rows(rows, self._meta)

    def _symbols(self) -> list[str]:
        """Of every market that has a closed candle."""
        query, cursor = self._question.query(), None
        symbols: list[str] = []
        for _ in range(MAX_PAGES):
            page = _page(self._service, query, MOST_ROWS, cursor, "/candlesticks/latest")
            symbols += [read_row(bytes(raw)).candle.symbol for raw in page.data]
            cursor = page.meta.next_cursor
            if cursor is None:
                break
        return symbols

    def _take(self, page: Page) -> None:
        # What is known of no candle at all is said of the first page.
        self._meta = self._meta or page.meta
        for raw in page.data:
            row = read_row(bytes(raw))
            self._rows[row.candle.symbol, row.candle.open_time] = row


def _page(
    service: Service,
    query: dict[str, str],
    limit: int,
    cursor: str | None,
    path: str = "/candlesticks",
) -> Page:
    more = {"cursor": cursor} if cursor else {}
    return service.page(path, {**query, "limit": str(limit), **more})
