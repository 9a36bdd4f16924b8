"""What the README shows of folding, run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().split("## Candles of trades that you have\n")[1]
SECTION = SECTION.split("\n## ")[0]


def run(*command, folder):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_gives_the_candles_shown(tmp_path):
    ((command, shown),) = re.findall(
        r"```sh\n(printf.*?)```\n\n```text\n(.*?)```", SECTION, re.DOTALL
    )
    assert run("sh", "-c", command, folder=tmp_path) == shown


def test_the_library_prints_what_is_shown_in_ten_lines():
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    shown = re.search(r"print.*  # (.*)", code)[1]
    assert run(sys.executable, "-c", code, folder=ROOT) == shown + "\n"
