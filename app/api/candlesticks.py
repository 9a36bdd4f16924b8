"""The resources of candles: what each method does is in `reading` and `writing`."""

from flask import Response
from flask_restful import Resource

from app.api import reading, writing


class Candlesticks(Resource):
    """Candles are read; their building is started and stopped."""

    def get(self) -> Response:
        """A page of candles, or all of a range as a stream."""
        return reading.get()

    def post(self) -> Response:
        """Start building."""
        return writing.post()

    def delete(self) -> Response:
        """Stop building; the candles stay."""
        return writing.delete()


class Latest(Resource):
    """Read only."""

    def get(self) -> Response:
        """The newest closed candle of each series."""
        return reading.latest()


class Revisions(Resource):
    """Read only."""

    def get(self) -> Response:
        """What changed of closed candles, when and why."""
        return reading.changes()


class Explain(Resource):
    """Read only."""

    def get(self) -> Response:
        """How one candle came to be what it is, or why there is none."""
        return reading.explanation()


class Gaps(Resource):
    """Read only."""

    def get(self) -> Response:
        """Windows without a fully observed candle."""
        return reading.gaps()
