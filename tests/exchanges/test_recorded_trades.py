"""Recorded trades of Poloniex, over its websocket and over HTTP, are read whole."""

import json

from app.exchanges.poloniex_trades import PoloniexTrades
from tests.exchanges.test_poloniex_trades import Answers, Stream, encoded, hear, same
from tests.recorded import FOLDER, needs_recordings


def recorded_messages():
    """What a connection of August 2022 brought."""
    for path in sorted((FOLDER / "poloniex").glob("ws_trades_*.raw")):
        for line in path.read_text().splitlines():
            text = line.partition(": ")[2]
            if text and not line.startswith("wss:"):
                yield json.loads(text)


@needs_recordings
def test_of_a_recorded_connection_every_trade_is_heard():
    sent = list(recorded_messages())
    trades = [m for m in sent if m.get("channel") == "trades" and "data" in m]
    rows = [row for message in trades for row in message["data"]]
    heard = hear(*sent)
    assert len(rows) == 8 and same(heard.trades, rows)
    assert heard.messages == len(sent) > 300
    confirmed = [m for m in sent if m.get("event") == "subscribe" and m["channel"] == "trades"]
    assert heard.joined == [symbol for message in confirmed for symbol in message["symbols"]]
    # The other channel of these connections, and that it is confirmed.
    assert heard.rejected == {"message_unknown": len(sent) - len(trades) - len(confirmed)}
    assert heard.refused == [] and heard.pongs == 0


@needs_recordings
def test_recorded_recent_trades_are_told_oldest_first():
    path = FOLDER / "poloniex" / "rest_candles_trades_2024-2026.json"
    answers = json.loads(path.read_text())["/markets/BTC_USDT/trades"]
    assert [len(answer["body"]) for answer in answers] == [500, 5, 5]
    for answer in answers:
        found = PoloniexTrades(Stream(), Answers(encoded(answer["body"]))).recent("BTC_USDT")
        assert same(found, reversed(answer["body"]))
        assert found[0].time <= found[-1].time
