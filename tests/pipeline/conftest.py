import pytest

from tests.pipeline.house import House


@pytest.fixture
def house(engine, tmp_path):
    house = House(engine, tmp_path / "log")
    yield house
    house.log.close()
