"""The README's examples, run as they stand there, and its table of settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.simulator.server import Server
from tests.support import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)


def shape(value):
    """What must agree between the answer shown and the one given."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return "a price"
    if isinstance(value, str) and len(value) > 40:
        return "a cursor"
    return value if isinstance(value, str | None) else type(value).__name__


def test_the_examples_give_the_answers_shown(make_service):
    assert len(EXAMPLES) == 5
    with Server() as simulator:
        service = make_service(
            INTERVALS="5s,1m,5m,10m",
            POLONIEX_URL=simulator.url,
            POLONIEX_LEGACY_URL=simulator.url,
        )
        service.upgrade()
        service.start()
        eventually(service.ready, 20)
        path = "/candlesticks?symbol=BTC_USDT&limit=5"
        eventually(lambda: {"coverage": 1.0}.items() <= newest(service, path).items(), 25)
        for command, shown in EXAMPLES:
            done = subprocess.run(
                [
                    "sh",
                    "-c",
                    command.replace("localhost:5000", service.base.removeprefix("http://")),
                ],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
            assert shape(json.loads(done.stdout)) == shape(json.loads(shown)), command


def newest(service, path):
    rows = service.get(path)["data"]
    return rows[-1] if len(rows) > 1 else {}


def names_in(text, pattern):
    return set(re.findall(pattern, text, re.MULTILINE))


def test_every_setting_is_in_the_readme_and_in_the_example_file():
    known = names_in((ROOT / "config.py").read_text(), r'_get\(\s*"([A-Z_]+)"')
    assert len(known) > 15
    table = README.split("## Configuration")[1].split("\n## ")[0]
    assert (
        names_in(table, r"`([A-Z]+_?[A-Z_]*)`") - {"SYMBOL", "DEBUG", "INFO", "WARNING", "ERROR"}
        == known
    )
    assert names_in((ROOT / ".env.example").read_text(), r"^([A-Z_]+)=") == known


def test_the_example_file_holds_the_defaults():
    from dotenv import dotenv_values

    from config import load

    example = load(dict(dotenv_values(ROOT / ".env.example")))
    assert example == load({})


@pytest.mark.parametrize("target", ["setup", "run", "demo", "test", "lint", "help", "bench"])
def test_make_lists_its_targets(target):
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\w", listed, re.MULTILINE)
