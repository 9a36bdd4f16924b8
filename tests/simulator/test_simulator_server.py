import os
import signal
import socket
import subprocess
import sys
from decimal import Decimal
from http.client import HTTPConnection

import pytest
import requests
from click.testing import CliRunner

from app.simulator.cli import simulate
from app.simulator.server import Server
from app.simulator.stream import EPOCH
from app.simulator.tape import DAY
from tests.support import eventually

NOW = 1_760_000_000_000


class Clock:
    def __init__(self):
        self.time = NOW

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with Server(seed=7, markets=60, now=clock) as server:
        yield server


@pytest.fixture
def get(server):
    with requests.Session() as session:
        session.trust_env = False
        yield lambda path, **more: session.get(server.url + path, timeout=5, **more)


def rows(answer):
    return {row["symbol"]: row for row in answer.json()}


def test_prices_are_the_last_trades_of_all_markets(server, get):
    priced = rows(get("/markets/price"))
    assert list(priced) == list(server.exchange.markets)
    for symbol, row in priced.items():
        trade = server.exchange.last_trade(symbol, NOW)
        assert row == {
            "symbol": symbol,
            "price": row["price"],
            "time": trade.time,
            "dailyChange": "0.00",
            "ts": min(trade.time + 9, NOW),
        }
        assert Decimal(row["price"]) == trade.price


def test_prices_are_plain_and_without_trailing_zeros(get):
    prices = [row["price"] for row in get("/markets/price").json()]
    assert not any("e" in price.lower() for price in prices)
    assert not any("." in price and price.endswith(("0", ".")) for price in prices)
    assert any(price.startswith("0.0000000000001") for price in prices)


def test_the_price_of_one_market_is_its_row_of_all_prices(get):
    assert get("/markets/XRP_USDT/price").json() == rows(get("/markets/price"))["XRP_USDT"]


def test_time_passes_by_the_clock_that_was_given(clock, server, get):
    before = get("/markets/BTC_USDT/price").json()
    clock.time += 60_000
    after = get("/markets/BTC_USDT/price").json()
    assert before["time"] <= NOW < after["time"] <= clock.time
    clock.time = NOW
    assert get("/markets/BTC_USDT/price").json() == before


def test_a_trade_shows_from_its_own_millisecond_on(clock, server, get):
    trade = server.exchange.trades("BTC_USDT", NOW, NOW + 60_000)[0]
    clock.time = trade.time - 1
    assert get("/markets/BTC_USDT/price").json()["time"] < trade.time
    clock.time = trade.time
    row = get("/markets/BTC_USDT/price").json()
    assert row["time"] == row["ts"] == trade.time


def test_timestamp_and_date_header_tell_the_simulators_time(get):
    answer = get("/timestamp")
    assert answer.json() == {"serverTime": NOW}
    assert answer.headers["Date"] == "Thu, 09 Oct 2025 08:53:20 GMT"


def test_markets_say_how_they_are_traded(get):
    listed = rows(get("/markets"))
    assert len(listed) == 60
    bitcoin = listed["BTC_USDT"]
    limits = bitcoin.pop("symbolTradeLimit")
    assert bitcoin == {
        "symbol": "BTC_USDT",
        "baseCurrencyName": "BTC",
        "quoteCurrencyName": "USDT",
        "displayName": "BTC/USDT",
        "state": "NORMAL",
        "visibleStartTime": bitcoin["visibleStartTime"],
        "tradableStartTime": bitcoin["visibleStartTime"],
        "crossMargin": {"supportCrossMargin": False, "maxLeverage": 1},
    }
    assert (limits["priceScale"], limits["minQuantity"]) == (2, "0.000001")


def test_one_market_is_a_list_of_one(get):
    assert get("/markets/ETH_BTC").json() == [rows(get("/markets"))["ETH_BTC"]]


def test_a_paused_market_is_listed_and_keeps_its_last_price(get):
    assert get("/markets/BCHSV_USDT").json()[0]["state"] == "PAUSE"
    assert get("/markets/BCHSV_USDT/price").json()["time"] < NOW - DAY
    assert get("/public?command=returnTicker").json()["USDT_BCHSV"]["isFrozen"] == "1"


def test_return_ticker_reverses_the_pairs_and_gives_no_times(server, get):
    ticker = get("/public?command=returnTicker").json()
    assert len(ticker) == 60
    last = server.exchange.last_trade("BTC_USDT", NOW).price
    assert ticker["USDT_BTC"] == {
        "id": 1,
        "last": f"{last:.8f}",
        "lowestAsk": f"{last + Decimal('0.01'):.8f}",
        "highestBid": f"{last - Decimal('0.01'):.8f}",
        "percentChange": "0.00000000",
        "baseVolume": "0.00000000",
        "quoteVolume": "0.00000000",
        "isFrozen": "0",
        "postOnly": "0",
        "high24hr": "0.00000000",
        "low24hr": "0.00000000",
    }


def test_return_ticker_does_not_cut_tiny_prices_to_nothing(server, get):
    row = get("/public?command=returnTicker").json()["BTC_BABYDOGE"]
    assert Decimal(row["last"]) == server.exchange.last_trade("BABYDOGE_BTC", NOW).price


@pytest.mark.parametrize("query", ["", "?command=", "?command=returnNothing"])
def test_an_unknown_legacy_command_is_an_error_in_a_success(get, query):
    answer = get("/public" + query)
    assert (answer.status_code, answer.json()) == (200, {"error": "Invalid command."})


@pytest.mark.parametrize(
    "path", ["/markets/NO_SUCH", "/markets/NO_SUCH/price", "/markets/btc_usdt"]
)
def test_an_unknown_symbol_is_refused_as_poloniex_does(get, path):
    answer = get(path)
    assert answer.status_code == 400
    assert answer.json() == {"code": 24101, "message": "Invalid symbol!"}


@pytest.mark.parametrize("path", ["/", "/markets/", "/nothing", "/markets/BTC_USDT/nothing", "//["])
def test_an_unknown_path_is_not_found_in_json(get, path):
    answer = get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, 404)
    assert answer.headers["Content-Type"] == "application/json"


def test_a_market_without_a_trade_yet_has_no_price(clock, get):
    clock.time = EPOCH - 2_000 * DAY
    assert get("/markets/price").json() == []
    assert get("/public?command=returnTicker").json() == {}
    assert get("/markets/BTC_USDT/price").status_code == 400


def test_answers_are_compressed_only_for_those_who_ask(get):
    plain = get("/markets/price", headers={"Accept-Encoding": "identity"})
    packed = get("/markets/price", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
    assert packed.json() == plain.json()


def test_one_connection_serves_many_polls(server):
    connection = HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=5)
    ends = set()
    for _ in range(3):
        connection.request("GET", "/markets/price")
        assert connection.getresponse().read()
        ends.add(connection.sock.getsockname())
    connection.close()
    assert len(ends) == 1


def test_a_stopped_exchange_is_gone_for_those_already_connected(clock):
    with requests.Session() as session:
        with Server(now=clock) as server:
            assert session.get(server.url + "/timestamp", timeout=5).ok
        with pytest.raises(requests.ConnectionError):
            session.get(server.url + "/timestamp", timeout=5)


def test_an_exchange_comes_back_on_the_same_port(clock):
    with Server(seed=7, now=clock) as first:
        before = requests.get(first.url + "/markets/price", timeout=5).json()
    with Server(seed=7, port=int(first.url.rpartition(":")[2]), now=clock) as second:
        assert requests.get(second.url + "/markets/price", timeout=5).json() == before


def test_a_client_that_hangs_up_disturbs_nobody(server, get, capfd):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    for _ in range(20):
        with socket.create_connection(address) as client:
            # Linger 0 sends a reset instead of a farewell.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"GET /markets HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    assert get("/timestamp").ok
    assert capfd.readouterr().err == ""


def start(*options):
    code = "from app.simulator.cli import simulate; simulate()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_listens_and_ends_silently(number):
    with start("--seed", "7", "--markets", "3") as process:
        line = process.stdout.readline()
        url = line.rpartition("POLONIEX_URL=")[2].split()[0]
        socket_url = url.replace("http:", "ws:") + "/ws/public"
        assert f"POLONIEX_LEGACY_URL={url} POLONIEX_WS_URL={socket_url}\n" in line
        assert len(requests.get(url + "/markets", timeout=5).json()) == 3
        process.send_signal(number)
        assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0


def test_the_command_tells_empty_candles_and_limits_requests_as_it_is_told():
    with start("--empty-candles", "flat", "--rate-limit", "1") as process:
        url = process.stdout.readline().rpartition("POLONIEX_URL=")[2].split()[0]
        path = "/markets/XMR_BTC/candles?interval=MINUTE_1&limit=500"
        assert len(requests.get(url + path, timeout=5).json()) == 500
        eventually(lambda: requests.get(url + "/timestamp", timeout=5).status_code == 429)
        process.terminate()


def run(*options):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(simulate, options)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.exit_code == 1
    assert (
        result.output == f"Error: port {port} on 127.0.0.1 is taken; choose another with --port\n"
    )


def test_an_address_that_is_not_ours_is_named():
    result = run("--host", "192.0.2.1")
    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot listen on 192.0.2.1, port 5080: ")


@pytest.mark.parametrize(
    "options",
    [
        ["--markets", "0"],
        ["--markets", "3001"],
        ["--port", "65536"],
        ["--empty-candles", "null"],
        ["--rate-limit", "0"],
        ["--rate-limit", "1001"],
    ],
)
def test_impossible_options_are_refused(options):
    assert run(*options).exit_code == 2
