"""The commands as a person types them, in a folder that is not the repository."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from pathlib import Path
from unittest.mock import patch

import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from app import checks, cli
from app.simulator.server import Server
from app.storage.schema import MIGRATIONS
from app.storage.tables import db, series
from tests.support import eventually, free_port

ROOT = Path(__file__).parents[1]
CANDLEKEEP = str(Path(sys.executable).with_name("candlekeep"))
COMMANDS = ["backfill", "copy", "db", "doctor", "explain", "fold", "rebuild", "run", "simulate"]
COMMANDS += ["ticks", "verify"]


@pytest.fixture
def folder(tmp_path):
    """Somebody else's project, with modules of the same names as ours."""
    for name in ("wsgi", "config", "app"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is another program')\n")
    return tmp_path


def environment(**settings):
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return {name: value for name, value in {**kept, **settings}.items() if value is not None}


def candlekeep(folder, *arguments, **settings):
    return subprocess.run(
        [CANDLEKEEP, *arguments],
        cwd=folder,
        env=environment(**{"DATABASE_URL": None, **settings}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def running(folder, **settings):
    with subprocess.Popen(
        [CANDLEKEEP, "run"],
        cwd=folder,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def invoke(folder, monkeypatch, *arguments, **settings):
    """The same within this process, where no other modules are in the way."""
    monkeypatch.chdir(folder)
    with patch.dict(os.environ, environment(**{"DATABASE_URL": None, **settings}), clear=True):
        return CliRunner().invoke(cli.main, arguments)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def test_the_service_runs_from_any_folder_and_doctor_finds_it_there(folder):
    port = free_port()
    with Server() as simulator:
        settings = {
            "PORT": str(port),
            "POLONIEX_URL": simulator.url,
            "POLONIEX_LEGACY_URL": simulator.url,
        }
        done = candlekeep(folder, "db", "upgrade", **settings)
        assert done.returncode == 0, done.stderr
        assert (folder / "data" / "candlekeep.db").exists()
        with running(folder, DATABASE_URL=None, **settings) as process:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 15)
            found = candlekeep(folder, "doctor", **settings)
            assert found.returncode == 0, found.stdout
            assert f"Candlekeep is running at 127.0.0.1:{port}" in found.stdout
            assert "a running service is building" in found.stdout
            target = f"sqlite:///{folder / 'target.db'}"
            assert candlekeep(folder, "db", "upgrade", DATABASE_URL=target).returncode == 0
    assert process.returncode == 0
    # TARGET_URL in the environment, so that a password is in no list of processes.
    copied = candlekeep(folder, "copy", TARGET_URL=target, **settings)
    assert copied.returncode == 0, copied.stderr
    assert "subscriptions 5" in copied.stdout and "set DATABASE_URL" in copied.stdout


def test_help_and_version_need_no_right_settings(folder, monkeypatch):
    for arguments in (["--help"], []):
        done = invoke(folder, monkeypatch, *arguments, INTERVALS="7m")
        lines = done.output.partition("Commands:")[2].strip().splitlines()
        assert [line.split()[0] for line in lines] == COMMANDS
        assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    done = invoke(folder, monkeypatch, "--version", INTERVALS="7m")
    assert done.output == f"Candlekeep {version('candlekeep')}\n"


def test_the_simulator_needs_no_right_settings(folder):
    with subprocess.Popen(
        [CANDLEKEEP, "simulate", "--port", "0"],
        cwd=folder,
        env=environment(DATABASE_URL="nonsense", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("Simulated Poloniex at http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "value"), [("INTERVALS", "7m"), ("POLL_SECONDS", "0"), ("HOST", "0.0.0.0")]
)
@pytest.mark.parametrize("arguments", [["run"], ["db", "upgrade"], ["copy", "sqlite:///x.db"]])
def test_a_wrong_setting_is_one_line(folder, monkeypatch, arguments, name, value):
    done = invoke(folder, monkeypatch, *arguments, **{name: value})
    assert done.exit_code == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"candlekeep: {name}={value!r}")


@pytest.mark.parametrize("arguments", [["run"], ["db", "upgrade"]])
def test_a_data_folder_that_cannot_be_made_is_one_line(folder, monkeypatch, arguments):
    done = invoke(folder, monkeypatch, *arguments, DATA_DIR=str(folder / "wsgi.py" / "data"))
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "DATA_DIR=" in line and "cannot be made" in line


def test_a_copy_that_cannot_be_is_one_line(folder, monkeypatch):
    done = invoke(folder, monkeypatch, "copy", "sqlite:///target.db")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "the source" in line and "is not there" in line
    assert not list(folder.rglob("*.db"))


def test_a_refused_copy_shows_no_progress(folder, monkeypatch):
    for name in ("source.db", "target.db"):
        engine = create_engine(f"sqlite:///{folder / name}")
        db.metadata.create_all(engine)
        with engine.begin() as connection:
            head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
            connection.execute(text(f"CREATE TABLE alembic_version AS SELECT '{head}' version_num"))
            connection.execute(
                series.insert().values(exchange="poloniex", source="ticker", symbol="BTC_USDT")
            )
        engine.dispose()
    done = invoke(
        folder, monkeypatch, "copy", "sqlite:///target.db", DATABASE_URL="sqlite:///source.db"
    )
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the target has rows already (series)" in done.stderr


def test_settings_are_read_from_a_file_of_the_folder_or_one_that_is_named(folder, monkeypatch):
    for name, arguments in ((".env", []), ("other.env", ["--env-file", "other.env"])):
        (folder / name).write_text("PORT=wrong\n")
        done = invoke(folder, monkeypatch, *arguments, "run")
        assert done.exit_code == 1 and "PORT='wrong'" in done.stderr
        (folder / name).unlink()


def test_what_doctor_finds_decides_its_exit_code(folder, monkeypatch):
    done = invoke(folder, monkeypatch, "doctor", PORT="wrong", POLONIEX_URL="http://127.0.0.1:1")
    assert done.exit_code == 1 and done.stdout.startswith("FAIL  settings     PORT='wrong'")
    found = [checks.Finding(checks.Level.WARN, "disk", "half full")]
    monkeypatch.setattr("app.doctor.examine", lambda _: iter(found))
    done = invoke(folder, monkeypatch, "doctor")
    assert (done.exit_code, done.stdout) == (0, "warn  disk         half full\n")


def test_the_same_commands_are_those_of_flask():
    plugins = {entry.name: entry.load() for entry in entry_points(group="flask.commands")}
    ours = {name: command for name, command in cli.main.commands.items() if name != "db"}
    assert plugins.items() >= ours.items()


def test_who_simulates_or_folds_waits_for_no_library_of_the_others():
    """Database, HTTP and migrations take a second to import."""
    program = "import sys, app.cli, app.folding.cli, app.simulator.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "app.simulator.server" in done.stdout.split(), done.stderr
    assert not {"sqlalchemy", "requests", "alembic"} & set(done.stdout.split())
