"""A client of the simulator's websocket, for tests."""

import json

import websocket


class Client:
    def __init__(self, url):
        self.socket = websocket.create_connection(url, timeout=5, http_no_proxy=["*"])

    def send(self, message):
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def hear(self):
        return json.loads(self.socket.recv())

    def ask(self, message):
        self.send(message)
        return self.hear()

    def subscribe(self, *symbols):
        message = {"event": "subscribe", "channel": ["trades"], "symbols": list(symbols)}
        assert self.ask(message) == {**message, "channel": "trades"}
        return self

    def frames(self):
        """The rows of each frame up to now: a pong comes after all that was pushed before."""
        self.send({"event": "ping"})
        frames = []
        while (message := self.hear()) != {"event": "pong"}:
            assert message["channel"] == "trades"
            frames.append(message["data"])
        return frames

    def rows(self):
        return [row for frame in self.frames() for row in frame]

    def ids(self):
        return [int(row["id"]) for row in self.rows()]

    def end(self):
        """How it ends: the code of a closing frame, None after a bare end, or `reset`. What was
        pushed before is not looked at."""
        try:
            while True:
                opcode, frame = self.socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(frame[:2], "big")
        except ConnectionResetError:
            return "reset"
        except websocket.WebSocketConnectionClosedException:
            return None
