"""What may go wrong between a client and the service, by what the client should do about it."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import msgspec
import requests
import urllib3

from app.feeding.plain import plain


class Away(Exception):
    """The service does not answer now, and may do so later. wait: so many seconds at least."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class WrongAnswer(Exception):
    """Asking again would not help: another program, or one of another version."""


class Refused(WrongAnswer):
    """The service does not take the question. problem: as it answered."""

    def __init__(self, text: str, problem: "Problem") -> None:
        super().__init__(text)
        self.problem = problem


class Problem(msgspec.Struct):
    """An error as the API tells it."""

    detail: str = ""
    parameter: str = ""
    allowed: list[str] | str = ""
    did_you_mean: str = ""

    @property
    def text(self) -> str:
        """All of it in one line."""
        allowed = self.allowed if isinstance(self.allowed, str) else ", ".join(self.allowed)
        text = plain(self.detail, 500)
        if allowed:
            text += f" Allowed: {plain(allowed, 500)}."
        return f"{text} Did you mean {plain(self.did_you_mean)}?" if self.did_you_mean else text


def translate(error: Exception) -> Exception:
    """What a failure to get an answer means, by the error that caused it."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return WrongAnswer(f"its certificate is not good: {plain(cause.verify_message)}")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, TimeoutError):
            return Away(f"https is not spoken there ({plain(cause.reason or 'broken off', 80)})")
        if isinstance(cause, socket.gaierror):
            return Away("its name is not known here")
        if isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
            return Away("no answer in time")
        if isinstance(cause, OSError) and cause.strerror:
            return Away(plain(cause.strerror, 80).lower())
    return Away("the connection broke")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors inside an error, the innermost first."""
    inner: list[Any] = [getattr(error, "reason", None), error.__cause__, error.__context__]
    for one in [*inner, *error.args]:
        if isinstance(one, BaseException) and one is not error:
            yield from _causes(one)
    yield error
