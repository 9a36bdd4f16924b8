"""Configuration from the environment (and `.env`). A bad value refuses to start, by name."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from app.exchanges import EXCHANGES, SOURCES
from app.market.agreement import Sample
from app.market.coverage import ALL, ALL_NAME
from app.market.ticks import Rejected, canonical_symbol
from app.market.windows import MINUTE, parse_intervals
from app.storage.database import database_url

MAIN_COINS = "BTC_USDT,ETH_USDT,LTC_USDT,XRP_USDT,TRX_USDT"
DATABASES = ("sqlite", "mysql")
SECRET = ("API_KEY", "DATABASE_URL")
SAMPLED = 20
"""So many series of a feed are compared with the exchange's own candles where none are named."""
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

T = TypeVar("T")


class ConfigError(ValueError):
    """A variable has a value that is not allowed; the text names both."""


@dataclass(frozen=True, slots=True)
class Config:
    """What can be configured, checked. Lengths are ms unless the name says otherwise."""

    database_url: URL
    data_dir: Path
    host: str
    port: int
    exchange: str
    symbols: tuple[tuple[str, str], ...]
    source: str
    intervals: tuple[int, ...]
    poll_ms: int
    grace_ms: int
    ticks_keep_days: int
    candles_keep_days: int
    warm_start_ms: int
    agreement_symbols: tuple[tuple[str, str], ...]
    agreement_ms: int
    max_streams: int
    api_key: str
    allowed_hosts: tuple[str, ...]
    log_level: str
    settings: Mapping[str, str]

    @property
    def on_loopback(self) -> bool:
        """Whether HOST can be reached from this machine only."""
        return _is_loopback(self.host)

    def sample(self, exchange: str) -> Sample:
        """Of which series of an exchange the agreement is measured, as far as they are
        subscribed."""
        named = self.agreement_symbols or self.symbols
        symbols = tuple(symbol for one, symbol in named if one == exchange)
        return Sample(symbols or (ALL,), None if self.agreement_symbols else SAMPLED)


def load(environment: Mapping[str, str] | None = None) -> Config:
    """The configuration, from `environment` or else from `.env` overridden by the process's own
    environment. ConfigError names the first variable that is wrong."""
    if environment is None:
        known = {name: value for name, value in dotenv_values(".env").items() if value is not None}
        environment = {**known, **os.environ}
    return _Reader(environment).config()


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def config(self) -> Config:
        data_dir = Path(self._get("DATA_DIR", "./data", str)).absolute()
        host = self._get("HOST", "127.0.0.1", str)
        exchange = self._get("EXCHANGE", "poloniex", _one_of(EXCHANGES))
        config = Config(
            database_url=self._get(
                "DATABASE_URL", f"sqlite:///{data_dir / 'candlekeep.db'}", _database
            ),
            data_dir=data_dir,
            host=host,
            port=self._get("PORT", "5000", _whole(1, 65535)),
            exchange=exchange,
            symbols=self._get("SYMBOLS", MAIN_COINS, lambda text: _symbols(text, exchange), True),
            source=self._get("SOURCE", "ticker", _one_of(SOURCES)),
            intervals=self._get("INTERVALS", "1m,5m,10m", parse_intervals),
            poll_ms=self._get("POLL_SECONDS", "1", _milliseconds("0.1", "60")),
            grace_ms=self._get("GRACE_SECONDS", "2", _milliseconds("0", "60")),
            ticks_keep_days=self._get("TICKS_KEEP_DAYS", "7", _whole(1, 36500)),
            candles_keep_days=self._get("CANDLES_KEEP_DAYS", "0", _whole(0, 36500)),
            warm_start_ms=self._get("WARM_START_MINUTES", "500", _whole(0, 43_200)) * MINUTE,
            agreement_symbols=self._get(
                "AGREEMENT_SYMBOLS", "", lambda text: _symbols(text, exchange), True
            ),
            agreement_ms=self._get("AGREEMENT_MINUTES", "5", _whole(1, 720)) * MINUTE,
            max_streams=self._get("MAX_STREAMS", "250", _whole(1, 5_000)),
            api_key=self._get("API_KEY", "", _key, True),
            allowed_hosts=self._get("ALLOWED_HOSTS", "", _words, True),
            log_level=self._get("LOG_LEVEL", "INFO", _one_of(LOG_LEVELS)),
            settings={
                "POLONIEX_API": self._get(
                    "POLONIEX_API", "current", _one_of(("current", "legacy"))
                ),
                "POLONIEX_URL": self._get("POLONIEX_URL", "https://api.poloniex.com", _http_url),
                "POLONIEX_LEGACY_URL": self._get(
                    "POLONIEX_LEGACY_URL", "https://poloniex.com", _http_url
                ),
                "POLONIEX_WS_URL": self._get(
                    "POLONIEX_WS_URL", "wss://ws.poloniex.com/ws/public", _ws_url
                ),
            },
        )
        self._check_exposure(config)
        return config

    def _get(
        self, name: str, default: str, parse: Callable[[str], T], may_be_empty: bool = False
    ) -> T:
        """An empty variable counts as one that is not set, except where empty means something."""
        text = self._environment.get(name, default).strip()
        if not text and not may_be_empty:
            text = default
        try:
            return parse(text)
        except ValueError as error:
            # Logs and screens are read by others too.
            shown = "(not shown)" if name in SECRET else repr(text)
            raise ConfigError(f"{name}={shown}: {error}") from None

    def _check_exposure(self, config: Config) -> None:
        published = self._get("PUBLISHED_ON_LOOPBACK", "0", _one_of(("0", "1"))) == "1"
        if not config.on_loopback and not config.api_key and not published:
            raise ConfigError(
                f"HOST={config.host!r} can be reached from other machines: set API_KEY (or, for a"
                " container whose port is published on 127.0.0.1 only, PUBLISHED_ON_LOOPBACK=1)"
            )


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"allowed: {', '.join(allowed)}")
        return text

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"allowed: a whole number from {least} to {most}")
        return int(text)

    return parse


def _milliseconds(least: str, most: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            seconds = Decimal(text)
            allowed = text.isascii() and Decimal(least) <= seconds <= Decimal(most)
        except InvalidOperation:
            allowed = False
        if not allowed:
            raise ValueError(f"allowed: seconds from {least} to {most}, decimals too")
        return int(seconds * 1000)

    return parse


def _database(text: str) -> URL:
    try:
        url = database_url(text)
    except ArgumentError:
        raise ValueError("allowed: a URL such as mysql://user:password@host/database") from None
    if url.get_backend_name() not in DATABASES:
        raise ValueError(f"allowed: {', '.join(DATABASES)}")
    if url.host and any(sign in f"{url.host}{url.database}" for sign in "@:#?"):
        raise ValueError(
            "in user and password write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F, % as %25"
        )
    return url


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("allowed: a URL that begins with https:// or http://")
    return text.rstrip("/")


def _ws_url(text: str) -> str:
    if not text.startswith(("ws://", "wss://")):
        raise ValueError("allowed: a URL that begins with wss:// or ws://")
    return text


def _symbols(text: str, exchange: str) -> tuple[tuple[str, str], ...]:
    return tuple(_symbol(word, exchange) for word in _words(text))


def _symbol(word: str, default: str) -> tuple[str, str]:
    exchange, _, symbol = word.rpartition(":")
    exchange = exchange or default
    if exchange not in EXCHANGES:
        raise ValueError(f"{exchange!r} is not one of {', '.join(EXCHANGES)}")
    if symbol == ALL_NAME:
        return exchange, ALL
    try:
        return exchange, canonical_symbol(symbol)
    except Rejected:
        raise ValueError(f"{word!r} is not a symbol such as BTC_USDT") from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _key(text: str) -> str:
    if text and (len(text) < 16 or not text.isascii() or not text.isprintable()):
        raise ValueError("allowed: at least 16 printable ASCII characters")
    return text


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
