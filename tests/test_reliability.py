"""What docs/reliability.md says of tests and of sabotages is there."""

import re
from pathlib import Path

import pytest

from tests.simulation.sabotage import SABOTAGES

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", TEXT)))


def test_many_tests_are_named():
    assert len(NAMED) > 80


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path, name):
    source = (TESTS / path).read_text()
    assert not name or f"def {name}(" in source


def test_each_defect_on_purpose_is_listed():
    table = TEXT.partition("## Defects on purpose")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([a-z][\w ]+) \| ", table, re.MULTILINE)) - {
        "safeguard taken away"
    } == (set(SABOTAGES))
