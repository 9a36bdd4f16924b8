"""Who may write: the matrix of hosts, pages and keys."""

import logging

import pytest

KEY = "correct-horse-battery"


def post(client, host="localhost:5000", method="POST", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(
        "/candlesticks?symbol=BTC_USDT" if method == "DELETE" else "/candlesticks",
        method=method,
        base_url="http://localhost:5000",
        headers={"Host": host, **names},
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:5000",
        "LOCALHOST:5000",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:5000",
    ],
)
def test_names_of_this_machine_are_let_in(client, host):
    assert post(client, host).status_code == 202


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::2]:5000",
        "localhost@evil.example",
        "localhost evil",
        "[::1",
        "",
        "192.168.1.5:5000",
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_other_hosts_are_refused(client, host, method):
    answer = post(client, host, method)
    assert answer.status_code == 403
    assert answer.mimetype == "application/problem+json"
    assert answer.json["parameter"] == "Host"


def test_the_configuration_can_add_hosts(make_app):
    client = make_app(ALLOWED_HOSTS="candles.example, box:5000").test_client()
    for host in ("candles.example", "Candles.Example:8080", "box", "127.0.0.1:5000"):
        assert post(client, host).status_code in (200, 202)
    assert post(client, "other.example").status_code == 403


def test_with_the_key_any_name_of_the_service_will_do(make_app):
    client = make_app(HOST="0.0.0.0", API_KEY=KEY).test_client()
    assert post(client, "192.168.7.7:5000", X_API_Key=KEY).status_code == 202
    assert post(client, "192.168.7.7:5000").status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost:5000",
        "http://localhost",
        "http://localhost:5001",
        "http://localhost:5000.evil.example",
        "http://127.0.0.1:5000",
        "null",
        "",
        "file://",
    ],
)
def test_pages_of_other_origins_are_refused_with_a_key_too(client, make_app, origin):
    assert post(client, Origin=origin).json["parameter"] == "Origin"
    keyed = make_app(API_KEY=KEY).test_client()
    assert post(keyed, Origin=origin, X_API_Key=KEY).status_code == 403


def test_our_own_pages_are_let_in(client):
    own = {"Origin": "http://localhost:5000", "Sec_Fetch_Site": "same-origin"}
    assert post(client, **own).status_code == 202


def test_a_request_from_another_site_is_refused(client):
    answer = post(client, Sec_Fetch_Site="cross-site")
    assert (answer.status_code, answer.json["parameter"]) == (403, "Sec-Fetch-Site")


def test_what_a_proxy_says_counts_for_nothing(client):
    forged = {
        "X_Forwarded_Host": "localhost",
        "X_Forwarded_For": "127.0.0.1",
        "Forwarded": "host=localhost",
    }
    assert post(client, "evil.example", **forged).status_code == 403
    assert post(client, X_Forwarded_Host="evil.example").status_code == 202
    assert (
        post(client, Origin="https://localhost:5000", X_Forwarded_Proto="https").status_code == 403
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"X_API_Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
        {"Authorization": "Basic eDp5", "X_API_Key": KEY},
    ],
)
def test_the_key_lets_in(make_app, headers):
    assert post(make_app(API_KEY=KEY).test_client(), **headers).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_API_Key": ""},
        {"X_API_Key": KEY[:-1]},
        {"X_API_Key": KEY + "x"},
        {"X_API_Key": KEY.upper()},
        {"X_API_Key": "ключ".encode().decode("latin-1")},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_without_the_key_nothing_is_written(make_app, caplog, headers, method):
    caplog.set_level(logging.DEBUG)
    answer = post(make_app(API_KEY=KEY).test_client(), method=method, **headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.mimetype == "application/problem+json"
    assert KEY not in answer.text and KEY not in caplog.text


def test_reading_is_free(make_app):
    client = make_app(API_KEY=KEY).test_client()
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert client.get("/candlesticks", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/candle-sticke", "/nowhere", "/status"])
def test_every_address_is_guarded(client, path):
    assert client.post(path, headers={"Host": "evil.example"}).status_code == 403
