"""Times as options of commands: what the API takes, a command takes too."""

from typing import Any

import click

from app.api.problems import Problem
from app.api.times import parse_time


class Moment(click.ParamType[int]):
    """Epoch ms of a time as people write it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """BadParameter with what is allowed."""
        if isinstance(value, int):
            return value
        try:
            return parse_time(param.name if param and param.name else "time", value)
        except Problem as error:
            self.fail(f"{error.detail} Allowed: {error.members.get('allowed')}", param, ctx)


MOMENT = Moment()
