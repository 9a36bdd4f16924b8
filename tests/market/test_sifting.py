from decimal import Decimal

from app.market.sifting import sequences
from app.market.ticks import Tick


def test_what_has_an_id_precedes_what_has_none_wherever_reading_began():
    with_id, without = (Tick("X", 1, Decimal(1), id=number) for number in (10**18 - 1, None))
    for place in (0, 10**9):
        first, second = sequences([without, with_id], place)
        assert second < first
