"""Six time zones and three locales: the host's never move a window, a digit or a letter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZONES = {
    "UTC": 0,
    "America/New_York": -4,
    "America/Sao_Paulo": -3,
    "Asia/Kathmandu": 5.75,
    "Australia/Lord_Howe": 10.5,
    "Pacific/Apia": 13,
}
LOCALES = {"C": ".", "tr_TR.UTF-8": ",", "de_DE.UTF-8": ","}


@pytest.fixture(scope="module")
def made_locales(tmp_path_factory):
    """A folder with the locales that this system can make; nothing is installed."""
    folder = tmp_path_factory.mktemp("locales")
    for name in LOCALES:
        language, _, encoding = name.partition(".")
        if encoding and shutil.which("localedef"):
            command = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
            subprocess.run(command, capture_output=True, check=False)
    return folder


def told(folder, locales, zones, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    if any(folder.iterdir()):
        environment["LOCPATH"] = str(folder)
    command = [sys.executable, "-m", "tests.api.zoned", ",".join(locales), ",".join(zones)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def all_of_them(made_locales):
    return told(made_locales, LOCALES, ZONES)


def check(found, locale, zone, reference):
    if locale not in found:
        pytest.skip(f"{locale} is neither installed nor can localedef make it: not tried")
    # The system really is as strange as it should be.
    assert found[locale][zone]["system"] == [ZONES[zone], LOCALES[locale]]
    assert found[locale][zone]["told"] == reference


def test_what_is_told_is_right_to_begin_with(all_of_them):
    folded, *dates = all_of_them["C"]["UTC"]["told"][:3]
    assert folded is True and dates == [1_743_301_800_000, 1_743_301_800_000]
    answers = {path: (status, text) for path, status, text in all_of_them["C"]["UTC"]["told"][3:]}
    assert {status for status, _ in answers.values()} == {200}
    path = "/candlesticks?symbol=lit_usdt&start=2025-03-09T07:00:00Z&limit=2&times=iso"
    assert [row["open_time"] for row in json.loads(answers[path][1])["data"]] == [
        "2025-03-09T07:00:00.000Z",
        "2025-03-09T07:01:00.000Z",
    ]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("zone", ZONES)
def test_no_zone_and_no_locale_changes_what_is_told(all_of_them, locale, zone):
    check(all_of_them, locale, zone, all_of_them["C"]["UTC"]["told"])


@pytest.mark.campaign
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("zone", ZONES)
def test_nor_does_a_process_that_was_started_there(made_locales, all_of_them, locale, zone):
    found = told(made_locales, [locale], [zone], LC_ALL=locale, LANG=locale, TZ=zone)
    check(found, locale, zone, all_of_them["C"]["UTC"]["told"])
