"""How faults of the stream are planned, and how they cut it."""

import pytest
import websocket

from app.simulator.faults import BadFault, read, split

SYMBOL = "BTC_USDT"


def hits(faulty):
    return [row["hits"] for row in faulty.faults.rows()]


@pytest.mark.parametrize(("form", "end"), [("reset", "reset"), ("close", 1012)])
def test_a_disconnect_cuts_everyone_and_refuses_new_ones_while_it_lasts(faulty, connect, form, end):
    clients = [connect(), connect()]
    faulty.faults.add("disconnect", form=form, lasting=10)
    assert [client.end() for client in clients] == [end, end]
    with pytest.raises((ConnectionResetError, websocket.WebSocketBadStatusException)) as found:
        connect()
    assert ("503" in str(found.value)) == (form == "close")
    assert hits(faulty) == [3]
    faulty.clock.time += 10_000
    assert connect().ask("ping") == {"event": "pong"}


def test_a_disconnect_of_no_seconds_refuses_nobody(faulty, connect):
    client = connect()
    faulty.faults.add("disconnect", seconds=0)
    assert client.end() == "reset"
    again = connect()
    for _ in range(3):
        assert again.ask("ping") == {"event": "pong"}


def test_a_disconnect_waits_for_its_time(faulty, connect):
    faulty.faults.add("disconnect", after=5)
    client = connect()
    faulty.clock.time += 4_999
    assert client.ask("ping") == {"event": "pong"}
    faulty.clock.time += 1
    assert client.end() == "reset"


def test_a_disconnect_that_is_called_off_lets_new_ones_in(faulty, connect):
    client = connect()
    faulty.faults.add("disconnect")
    assert client.end() == "reset"
    faulty.faults.clear()
    assert connect().ask("ping") == {"event": "pong"}


def test_a_fault_of_the_stream_is_planned_over_the_network(faulty, connect, ask):
    client = connect()
    made = ask("POST", "/_simulator/faults", json={"kind": "disconnect", "seconds": 0}).json()
    assert (made["kind"], made["form"]) == ("disconnect", "reset")
    assert client.end() == "reset"


def test_a_kind_of_the_stream_has_its_usual_seconds_and_form():
    assert read(split("late"), [SYMBOL]).seconds == 5
    assert read(split("hole"), [SYMBOL]).form == "stream"
    assert read(split("silence"), [SYMBOL]).form == "all"
    assert read(split(f"silence,symbol={SYMBOL}"), [SYMBOL]).form == "trades"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hole,count=3", "count: hole strikes a stream, not requests"),
        ("late,path=/markets", "path: late strikes a stream, not requests"),
        ("disconnect,share=0.5", "share: disconnect takes none"),
        ("silence,share=0.5", "share: silence takes none"),
        (f"disconnect,symbol={SYMBOL}", "symbol: disconnect takes none"),
        (f"silence,form=all,symbol={SYMBOL}", "symbol: silence all takes none"),
        ("hole,symbol=NO_SUCH", "symbol: 'NO_SUCH' is not listed"),
        ("late,seconds=601", "seconds: late takes up to 600"),
        ("hole,seconds=1", "seconds: hole takes none"),
        ("silence,form=reset", "form: silence takes all or trades"),
    ],
)
def test_a_key_that_means_nothing_on_a_stream_is_refused(text, problem):
    with pytest.raises(BadFault, match="^" + problem):
        read(split(text), [SYMBOL])
