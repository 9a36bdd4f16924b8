"""The tables. Times are UTC epoch ms; prices keep every digit on every database."""

import sqlite3
from decimal import Decimal
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.market.agreement import CANDLE, FIELDS
from app.market.ticks import plain

db = SQLAlchemy()

COMPARED = (*FIELDS, CANDLE)
"""What two candles may differ in."""


def decimal_type(dialect: Dialect, precision: int, scale: int) -> TypeEngine[Any]:
    """What a database keeps exact decimals in."""
    kind = Text() if dialect.name == "sqlite" else Numeric(precision, scale)
    return dialect.type_descriptor(kind)


class ExactDecimal(TypeDecorator[Decimal]):
    """DECIMAL(precision, scale); text on SQLite, whose NUMERIC is a float and loses digits. Its
    driver knows how to write it, see below."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self._digits = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return decimal_type(dialect, *self._digits)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


sqlite3.register_adapter(Decimal, plain)


def word(length: int) -> String:
    """Up to `length` ASCII characters, compared byte by byte: MySQL's default would take `btc` for
    `BTC`."""
    return String(length).with_variant(
        VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql"
    )


def _price() -> ExactDecimal:
    return ExactDecimal(36, 18)


def _volume() -> ExactDecimal:
    """A price times a size has the decimals of both, and a sum of many has more digits."""
    return ExactDecimal(65, 30)


def _distance() -> ExactDecimal:
    """The highest price is 10**36 times the lowest, and sums have more digits."""
    return ExactDecimal(65, 18)


def _candle_columns() -> list[Column[Any]]:
    """What a candle and a replaced revision of it have in common, after their keys."""
    return [
        *(Column(name, _price(), nullable=False) for name in ("open", "high", "low", "close")),
        *(Column(name, _volume()) for name in ("volume", "quote_volume", "taker_buy_volume")),
        Column("tick_count", Integer, nullable=False),
        Column("first_tick_time", BigInteger),
        Column("last_tick_time", BigInteger),
        Column("coverage", ExactDecimal(5, 4), nullable=False),
        Column("reasons", word(160), nullable=False),
        Column("origin", word(16), nullable=False),
        Column("cause", word(16)),
        Column("stored_at", BigInteger, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("first_tick_id", BigInteger),
        Column("last_tick_id", BigInteger),
    ]


series = db.Table(
    "series",
    Column("id", Integer, primary_key=True),
    Column("exchange", word(24), nullable=False),
    Column("symbol", word(32), nullable=False),
    Column("source", word(16), nullable=False),
    UniqueConstraint("exchange", "source", "symbol", name="uq_series"),
)

candles = db.Table(
    "candles",
    Column("series_id", ForeignKey("series.id"), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("open_time", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    *_candle_columns(),
    Index("ix_candles_time", "interval_ms", "open_time", "series_id"),
    Index("ix_candles_sequence", "sequence"),
)

candle_revisions = db.Table(
    "candle_revisions",
    Column("series_id", ForeignKey("series.id"), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("open_time", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    *_candle_columns(),
    Column("replaced_at", BigInteger, nullable=False),
    Index("ix_candle_revisions_time", "interval_ms", "open_time", "series_id"),
    Index("ix_candle_revisions_sequence", "sequence"),
)

# Candles that came into being when their window had been told to be without one. They replace no
# row, so that nothing else would find them among all candles.
late_candles = db.Table(
    "late_candles",
    Column("series_id", ForeignKey("series.id"), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("open_time", BigInteger, primary_key=True, autoincrement=False),
    Index("ix_late_candles_time", "interval_ms", "open_time", "series_id"),
)

unobserved = db.Table(
    "unobserved",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("start_time", BigInteger, primary_key=True, autoincrement=False),
    Column("end_time", BigInteger, nullable=False),
    Column("reason", word(16), nullable=False),
    Index("ix_unobserved_time", "exchange", "source", "end_time"),
)

# Trades that did not come, though those before and after them did.
missing_ids = db.Table(
    "missing_ids",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("after_id", BigInteger, primary_key=True, autoincrement=False),
    Column("before_id", BigInteger, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Index("ix_missing_ids_time", "exchange", "source", "end_time"),
)

# How far the trade ids of a symbol are known, up to the position of the feed.
known_ids = db.Table(
    "known_ids",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("lowest_id", BigInteger, nullable=False),
    Column("highest_id", BigInteger, nullable=False),
    Column("highest_time", BigInteger, nullable=False),
)

# What was not observed by the feed, and then fetched for one symbol.
recovered = db.Table(
    "recovered",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("start_time", BigInteger, primary_key=True, autoincrement=False),
    Column("end_time", BigInteger, nullable=False),
    Index("ix_recovered_time", "exchange", "source", "end_time"),
)

# Of what the exchange's own candles have told, windows without one included.
histories = db.Table(
    "histories",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("start_time", BigInteger, primary_key=True, autoincrement=False),
    Column("end_time", BigInteger, nullable=False),
    Index("ix_histories_time", "exchange", "source", "end_time"),
)

# What commands have asked of whoever builds: `reached` (ms) is how far it has come.
tasks = db.Table(
    "tasks",
    Column("id", Integer, primary_key=True),
    Column("kind", word(16), nullable=False),
    Column("exchange", word(24), nullable=False),
    Column("source", word(16), nullable=False),
    Column("symbol", word(32), nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Column("reached", BigInteger, nullable=False),
    Column("state", word(16), nullable=False),
    Column("message", String(300), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Index("ix_tasks_state", "state", "exchange", "source"),
)

# How many windows of a day (ms of its 00:00 UTC) agreed with the exchange's own candles, and in how
# many each field differed. `through`: what ended by then (ms) has been compared.
agreements = db.Table(
    "agreements",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("through", BigInteger, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("matching", Integer, nullable=False),
    Column("repaired", Integer, nullable=False),
    *(Column(f"{name}_differs", Integer, nullable=False) for name in COMPARED),
    Column("distance_sum", _distance(), nullable=False),
    Column("distance_max", _distance(), nullable=False),
    Index("ix_agreements_day", "day", "exchange", "source"),
)

# The same of all days, also of those that retention has deleted: a counter never falls.
agreement_totals = db.Table(
    "agreement_totals",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("compared", BigInteger, nullable=False),
    Column("matching", BigInteger, nullable=False),
)

# The worst of them, both sides as JSON.
differences = db.Table(
    "differences",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("symbol", word(32), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("open_time", BigInteger, primary_key=True, autoincrement=False),
    Column("differing", word(160), nullable=False),
    Column("distance", _distance()),
    Column("ours", Text),
    Column("theirs", Text),
    Column("compared_at", BigInteger, nullable=False),
    Index("ix_differences_time", "exchange", "source", "interval_ms", "open_time"),
)

feed_positions = db.Table(
    "feed_positions",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("log_id", word(32), nullable=False),
    Column("resume", BigInteger, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("closed_through", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    # How often what had been readable was changed or deleted: what is cached then is void.
    Column("revised", BigInteger, nullable=False),
    # What closed before (ms) was built from another log, and cannot be put together from this one.
    Column("log_since", BigInteger, nullable=False),
)

stored_intervals = db.Table(
    "stored_intervals",
    Column("exchange", word(24), primary_key=True),
    Column("source", word(16), primary_key=True),
    Column("interval_ms", Integer, primary_key=True, autoincrement=False),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False),
)

subscriptions = db.Table(
    "subscriptions",
    Column("id", Integer, primary_key=True),
    Column("exchange", word(24), nullable=False),
    Column("source", word(16), nullable=False),
    Column("symbol", word(32), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("pending", Boolean, nullable=False),
    # An open subscription ends at FOREVER, so there is one of them for each symbol at most.
    UniqueConstraint("exchange", "source", "symbol", "until", name="uq_subscription"),
)
