"""Prices of a polled feed that show up after their window has closed."""

from decimal import Decimal

from sqlalchemy import select

from app.market.ticks import Batch, Tick
from app.storage.database import reading
from app.storage.tables import candles
from tests.pipeline.house import MINUTE, START, prices, second


def row_of(house, minute=0, length=MINUTE):
    with reading(house.engine) as connection:
        columns = [candles.c[name] for name in ("revision", "high", "tick_count", "cause")]
        query = select(*columns).where(candles.c.interval_ms == length)
        query = query.where(candles.c.open_time == START + minute * MINUTE)
        return tuple(connection.execute(query).one())


def shown_late(number, at, price):
    """A poll that shows a price of second `at` for the first time."""
    asked = START + number * 1000
    tick = Tick("BTC_USDT", START + at * 1000, Decimal(price))
    return Batch(asked, asked + 20, "ok", ticks=[tick])


def test_a_price_that_a_poll_shows_after_its_window_has_closed_makes_a_revision(house):
    house.live(*prices(0, 50), *(second(number) for number in range(50, 61)))
    assert row_of(house) == (1, Decimal(9), 49, None)
    before = house.state.late_ticks
    house.live(shown_late(61, 55, 70))
    assert row_of(house) == (2, Decimal(70), 50, "late_tick")
    assert house.state.late_ticks == before + 1
    # It is older than the row before it: rule 12 knows no such tick.
    house.live(shown_late(62, 54, 99), *prices(63, 303))
    assert row_of(house) == (2, Decimal(70), 50, "late_tick")
    assert row_of(house, length=5 * MINUTE)[:2] == (1, Decimal(70))


def test_a_first_row_of_a_closed_window_changes_nothing_even_when_another_one_does(house):
    house.live(*prices(0, 50), *(second(number) for number in range(50, 61)))
    first = Tick("BTC_USDT", START + 56_000, Decimal(500), first=True)
    restart = Batch(START + 61_000, START + 61_020, "ok", ticks=[first], start=True)
    house.live(restart)
    assert row_of(house)[0] == 1
    house.live(shown_late(62, 58, 70))
    assert row_of(house) == (2, Decimal(70), 50, "late_tick")


def test_a_late_price_that_the_log_cannot_tell_all_about_is_only_counted(house):
    house.live(*prices(0, 50), *(second(number) for number in range(50, 61)))
    house.log.close()
    path = next(house.folder.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)
    house.restart()
    house.live(shown_late(61, 55, 70))
    assert row_of(house)[0] == 1
    assert house.state.late_ticks == 1
