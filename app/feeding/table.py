"""What the table says, cut to the size of the terminal. No I/O; every text of the service is made
plain first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.feeding.candles import Candle
from app.feeding.following import CONNECTING, LIVE, LOST, POLLING, Link
from app.feeding.plain import plain
from app.market.windows import MINUTE, parse_length

ENDED = "ended"
GAP = 2
NARROWER = (
    {"volume"},
    {"why"},
    {"high", "low"},
    {"open"},
    {"change"},
    {"coverage"},
    {"opens"},
)
"""What is left out first where the terminal is narrow. What is never left out: of which market, how
much, and whether that is final."""

_COLUMNS: tuple[str, ...] = (
    "market",
    "opens",
    "open",
    "high",
    "low",
    "close",
    "change",
    "volume",
    "coverage",
    "why",
)
_COLUMNS += ("state",)
_LEFT = ("market", "opens", "why", "state")
_STYLES = {LIVE: "green", POLLING: "green", LOST: "bold yellow"}

Cells = dict[str, tuple[str, str]]
"""Of one candle: column -> (text, style)."""


@dataclass(frozen=True, slots=True)
class Times:
    """How times are written: UTC, or those of this machine."""

    local: bool = False

    @property
    def zone(self) -> str:
        """Its name, for the heading."""
        return "local" if self.local else "UTC"

    def second(self, seconds: float) -> str:
        """The time of day of epoch seconds."""
        return f"{self._moment(seconds):%H:%M:%S}"

    def window(self, open_time: int, interval: int, now: float) -> str:
        """An open time (ms), without what goes without saying at `now` (epoch seconds)."""
        moment, today = self._moment(open_time / 1000), self._moment(now)
        text = f"{moment:%H:%M:%S}" if interval % MINUTE else f"{moment:%H:%M}"
        return text if moment.date() == today.date() else f"{moment:%Y-%m-%d} {text}"

    def _moment(self, seconds: float) -> datetime:
        moment = datetime.fromtimestamp(seconds, UTC)
        return moment.astimezone() if self.local else moment


@dataclass(frozen=True, slots=True)
class Sight:
    """The moment of looking: epoch and monotonic seconds, and the size of the terminal."""

    now: float
    monotonic: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown. columns: by name; rows: as many as fit; foot: what does not; notice: where
    there is nothing, why."""

    head: tuple[tuple[str, str], ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[tuple[str, str], ...], ...] = ()
    foot: tuple[tuple[str, str], ...] = ()
    zone: str = ""
    notice: str = ""

    def rendered(self) -> RenderableType:
        """For rich, which gets no markup."""
        lines: list[RenderableType] = [_line(text, style) for text, style in self.head]
        if self.rows:
            lines.append(self._table())
        if self.notice:
            lines += [Text(), Text(self.notice)]
        return Group(*lines, *(_line(text, style) for text, style in self.foot))

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
        for name in self.columns:
            heading = Text(_heading(name, self.zone), no_wrap=True, overflow="ellipsis")
            table.add_column(
                heading,
                justify="left" if name in _LEFT else "right",
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in self.rows:
            table.add_row(*(Text(text, style) for text, style in row))
        return table


Markets = Sequence[tuple[str, Sequence[Candle]]]


def view(link: Link, markets: Markets, sight: Sight, times: Times) -> View:
    """What fits into the terminal."""
    head = _head(link, sight, times)
    if not markets:
        return View(head, zone=times.zone, notice=_notice(link))
    length = parse_length(link.interval)
    lines = max(sight.height - len(head) - 1, 1)
    shown, foot = _fitting(markets, lines)
    rows = [
        _cells(
            candle, symbol if not place else "", times.window(candle.open_time, length, sight.now)
        )
        for symbol, candles in shown
        for place, candle in enumerate(candles)
    ]
    columns = _columns(rows, sight.width, times)
    picked = tuple(tuple(row[name] for name in columns) for row in rows)
    return View(head, columns, picked, foot, times.zone)


def _head(link: Link, sight: Sight, times: Times) -> tuple[tuple[str, str], ...]:
    feed = f"{link.feed[0]} {link.feed[1]}" if link.feed else ""
    first = "  ".join(plain(part) for part in ("Candlekeep", link.interval, feed, link.url) if part)
    lines = [(first, "bold"), (_state(link, sight, times), _STYLES.get(link.state, ""))]
    if link.trouble:
        lines.append((link.trouble, "yellow"))
    return tuple(lines)


def _state(link: Link, sight: Sight, times: Times) -> str:
    heard = f"last data {times.second(link.heard)} {times.zone}" if link.heard else ""
    if link.state == LOST:
        seconds = max(0, round(link.retry_at - sight.monotonic))
        when = f"reconnecting in {seconds} s" if seconds else "reconnecting"
        return ", ".join(part for part in (f"{when}: {link.why}", heard) if part)
    words = {CONNECTING: "connecting", POLLING: "live (read every few seconds)"}
    return ", ".join(part for part in (words.get(link.state, link.state), heard) if part)


def _notice(link: Link) -> str:
    away = link.state == LOST and link.heard is None
    return advice(link.url) if away else link.hint


def advice(url: str) -> str:
    """What to do where nobody answers."""
    return (
        f"Is the service running at {url}? `candlekeep run` starts it, --url names another one."
        " This goes on by itself as soon as it answers."
    )


def _fitting(
    markets: Markets, lines: int
) -> tuple[list[tuple[str, Sequence[Candle]]], tuple[tuple[str, str], ...]]:
    """Whole markets as long as there are lines, and where some are left out a line that says so."""
    if sum(len(candles) for _, candles in markets) <= lines:
        return list(markets), ()
    left, shown = lines - 1, []
    for symbol, candles in markets:
        if len(candles) > left:
            break
        shown.append((symbol, candles))
        left -= len(candles)
    if not shown:
        symbol, candles = markets[0]
        shown = [(symbol, candles[-max(left, 1) :])]
    more = len(markets) - len(shown)
    text = f"{more} more of {len(markets)} markets: choose with --symbol {_example(markets)}"
    return shown, ((text if more else "the oldest candles do not fit", "dim"),)


def _example(markets: Markets) -> str:
    return plain(",".join(symbol for symbol, _ in markets[-2:]), 40)


def _cells(candle: Candle, symbol: str, time: str) -> Cells:
    state = "corrected" if candle.revision > 1 else ""
    change = _change(candle)
    # That of an open candle grows until it ends: it says nothing yet.
    part = _percent(candle.coverage) if candle.closed else ""
    return {
        "market": (plain(symbol, 24), "bold"),
        "opens": (time, ""),
        **{name: (getattr(candle, name), "") for name in ("open", "high", "low", "close")},
        "change": (change, _color(change)),
        "volume": (candle.volume or "", ""),
        "coverage": (part, "yellow" if candle.coverage < 1 else "dim"),
        "why": (plain(", ".join(candle.reasons), 40), "yellow"),
        "state": ("open" if not candle.closed else state, "" if candle.closed else "bold cyan"),
    }


def _change(candle: Candle) -> str:
    begin, end = Decimal(candle.open), Decimal(candle.close)
    if not begin:
        return ""
    text = f"{(end - begin) * 100 / begin:+.2f} %"
    return text if text.strip("+-0. %") else "0.00 %"


def _color(change: str) -> str:
    return {"+": "green", "-": "red"}.get(change[:1], "")


def _percent(share: float) -> str:
    """Of at most 4 places, which are kept."""
    return f"{Decimal(str(share)) * 100:.2f}".rstrip("0").rstrip(".") + " %"


def _columns(rows: Sequence[Cells], width: int, times: Times) -> tuple[str, ...]:
    """Those that fit beside one another; none in which nothing would stand."""
    names = [name for name in _COLUMNS if _filled(name, rows)]
    for out in NARROWER:
        if _width(names, rows, times) <= width:
            break
        names = [name for name in names if name not in out]
    return tuple(names)


def _filled(name: str, rows: Sequence[Cells]) -> bool:
    return name not in ("volume", "why") or any(row[name][0] for row in rows)


def _width(names: Sequence[str], rows: Sequence[Cells], times: Times) -> int:
    widths = (
        max(cell_len(_heading(name, times.zone)), *(cell_len(row[name][0]) for row in rows))
        for name in names
    )
    return sum(widths) + GAP * (len(names) - 1)


def _heading(name: str, zone: str) -> str:
    return {"opens": f"opens ({zone})", "state": ""}.get(name, name)


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
