"""Container files are read here, as no engine runs where the tests do."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_containers_start_in_order():
    services = COMPOSE["services"]
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["app"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    assert services["migrate"]["command"] == ["flask", "db", "upgrade"]
    # The server answers on its socket while it still sets itself up.
    assert "-h 127.0.0.1" in services["db"]["healthcheck"]["test"][1]


def test_nothing_can_be_reached_from_another_machine():
    services = COMPOSE["services"]
    assert "ports" not in services["db"] and "ports" not in services["migrate"]
    assert all(port.startswith("127.0.0.1:") for port in services["app"]["ports"])
    assert services["app"]["environment"]["PUBLISHED_ON_LOOPBACK"] == "1"


def test_what_must_last_is_on_volumes():
    volumes = [
        entry.split(":")
        for service in COMPOSE["services"].values()
        for entry in service.get("volumes", [])
    ]
    assert sorted(volumes) == [["data", "/data"], ["db", "/var/lib/mysql"]]
    assert {name for name, _ in volumes} == set(COMPOSE["volumes"])
    assert "DATA_DIR=/data" in DOCKERFILE


def test_the_service_runs_without_rights_that_it_does_not_need():
    app = COMPOSE["services"]["app"]
    assert app["read_only"] is True and app["cap_drop"] == ["ALL"]
    assert re.search(r"^USER candlekeep$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE and "-slim" in DOCKERFILE.splitlines()[0]


def test_every_file_that_the_image_needs_goes_into_it():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for needed in ("app", "migrations", "config.py", "wsgi.py", "requirements.txt", "README.md"):
        assert (ROOT / needed).exists() and needed not in ignored
