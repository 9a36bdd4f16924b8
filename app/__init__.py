"""Candlekeep: candlesticks from live quotes, that can be trusted.

This module imports nothing of it: whoever folds a file or simulates an exchange should not wait for
the web side and its database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config import Config


def create_app(config: "Config") -> "Flask":
    """The Flask application for `config`."""
    from app.web import build

    return build(config)
