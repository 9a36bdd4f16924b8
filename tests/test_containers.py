"""Container files are read here, as no engine runs where the tests do."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from config import load

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
IMAGE_ENVIRONMENT = dict(
    part.split("=", 1)
    for part in re.findall(r'(\w+=(?:"[^"]*"|\S+))', re.search("^ENV (.*)$", DOCKERFILE, re.M)[1])
)


def test_the_containers_start_in_order():
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["app"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    assert SERVICES["migrate"]["command"] == ["candlekeep", "db", "upgrade"]
    # The server answers on its socket while it still sets itself up.
    assert "-h 127.0.0.1" in SERVICES["db"]["healthcheck"]["test"][1]


def test_a_migration_that_cannot_work_does_not_go_on_forever():
    assert re.fullmatch(r"on-failure:[1-5]", SERVICES["migrate"]["restart"])
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


def test_nothing_can_be_reached_from_another_machine():
    assert "ports" not in SERVICES["db"] and "ports" not in SERVICES["migrate"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["app"]["ports"])
    assert SERVICES["app"]["environment"]["PUBLISHED_ON_LOOPBACK"] == "1"
    assert SERVICES["db"]["environment"]["MYSQL_ROOT_HOST"] == "localhost"


def test_what_must_last_is_on_volumes():
    volumes = {
        tuple(entry.split(":"))
        for service in SERVICES.values()
        for entry in service.get("volumes", [])
    }
    assert volumes == {("data", "/data"), ("db", "/var/lib/mysql")}
    assert {name for name, _ in volumes} == set(COMPOSE["volumes"])
    assert IMAGE_ENVIRONMENT["DATA_DIR"] == "/data"


def test_our_containers_run_without_rights_that_they_do_not_need():
    for name in ("migrate", "app"):
        service = SERVICES[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == "/tmp"
    assert re.search(r"^USER candlekeep$", DOCKERFILE, re.MULTILINE)
    assert "-slim" in DOCKERFILE.splitlines()[0]
    assert "--worker-tmp-dir /dev/shm" in IMAGE_ENVIRONMENT["GUNICORN_CMD_ARGS"]


def test_every_setting_reaches_the_containers():
    known = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    given = SERVICES["app"]["environment"]
    assert given.keys() == known
    assert SERVICES["migrate"]["environment"] == given
    fixed = {name for name, value in given.items() if value is not None}
    assert fixed == {"DATABASE_URL", "DATA_DIR", "HOST", "PORT", "PUBLISHED_ON_LOOPBACK"}


def test_the_settings_of_the_containers_are_allowed_and_agree_with_the_database():
    given = {name: value for name, value in SERVICES["app"]["environment"].items() if value}
    given["DATABASE_URL"] = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", given["DATABASE_URL"])
    config = load(given)
    database = SERVICES["db"]["environment"]
    assert config.database_url.host == "db"
    assert config.database_url.username == database["MYSQL_USER"]
    assert config.database_url.database == database["MYSQL_DATABASE"]
    assert database["MYSQL_PASSWORD"] == f"${{MYSQL_PASSWORD:-{config.database_url.password}}}"
    assert SERVICES["app"]["ports"][0].endswith(f":{config.port}")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_asks_the_service_and_no_proxy(status, healthy):
    command = json.loads(re.search(r"^HEALTHCHECK .* CMD +(\[.*\])$", DOCKERFILE, re.M)[1])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        elsewhere = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        done = subprocess.run(
            [sys.executable, *command[1:]],
            env={**os.environ, **elsewhere, "PORT": str(server.server_port)},
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert (done.returncode == 0) is healthy


def test_every_file_that_the_image_needs_goes_into_it():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for needed in ("app", "migrations", "config.py", "wsgi.py", "requirements.txt", "README.md"):
        assert (ROOT / needed).exists() and needed not in ignored
    # Their own names for what is installed: the libraries first, then the commands.
    assert "-e ." in (ROOT / "requirements.txt").read_text().splitlines()
    assert DOCKERFILE.index("COPY requirements.txt") < DOCKERFILE.index("COPY . .")
    assert "--no-deps -e ." in DOCKERFILE
