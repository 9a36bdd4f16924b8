"""Commands that are imported only when they are called: whoever simulates an exchange waits for no
database library."""

from importlib import import_module
from typing import Any

import click


class Later(click.Command):
    """Stands for the command `where`, such as `app.folding.cli:fold`, in lists of commands."""

    def __init__(self, name: str, where: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._where = where

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """That of the command itself, which click invokes then."""
        module, _, name = self._where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command.make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Where this one is called directly, and not by a group."""
        return ctx.command.invoke(ctx)
