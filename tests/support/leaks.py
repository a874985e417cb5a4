"""A watch over every test: no secret that the product has handled may stand in anything that it wrote.

Secrets are met where they enter and where they are made: in the type ``Secret``, in the requests (body, cookies,
authorization, state and code of a callback) and in what is sent to browsers (cookies, states and codes of redirects).
What is written is met at the telemetry, the error answers, the failures' reasons and descriptions, the operator's
answers, and standard output, error and log as the test runner captures them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from oauth_broker.errors import BrokerError, OAuthError
from oauth_broker.messages import HttpRequest, HttpResponse
from oauth_broker.operator_endpoint import OperatorEndpoint
from oauth_broker.secret import Secret
from tests.local import function_log
from tests.support.world import Recorded

# What is shorter is no secret but a malformed value, and may well be a word of a message.
_LEAST_LENGTH = 12
_SECRET_PARAMETERS = frozenset({"state", "code"})


@dataclass
class Watch:
    """What one test's product has handled, and what it has written, by channel."""

    secrets: set[str] = field(default_factory=set)
    written: dict[str, set[str]] = field(default_factory=dict)
    _guessing: bool = False

    def begin(self) -> None:
        """Forget the test before."""
        self.secrets.clear()
        self.written.clear()

    def secret(self, value: str) -> None:
        """Look for this value from now on."""
        if len(value) >= _LEAST_LENGTH and not self._guessing:
            self.secrets.add(value)

    @contextmanager
    def guessing(self) -> Iterator[None]:
        """What is sent within is no secret: an attacker tries, for one, what stands in the log."""
        self._guessing = True
        try:
            yield
        finally:
            self._guessing = False

    def wrote(self, channel: str, text: str) -> None:
        """Keep what the product has written."""
        self.written.setdefault(channel, set()).add(text)

    def leaks(self) -> list[str]:
        """The channels in which a secret stands, as it is or percent-encoded."""
        by_beginning: dict[str, set[str]] = {}
        for value in self.secrets | {quote(value, safe="") for value in self.secrets}:
            by_beginning.setdefault(value[:_LEAST_LENGTH], set()).add(value)
        return sorted(
            channel for channel, texts in self.written.items() if any(_stands_in(text, by_beginning) for text in texts)
        )

    def request(self, request: HttpRequest) -> None:
        """Meet the secrets that a caller sends."""
        self.secret(request.body)
        self.secret(request.headers.get("authorization", ""))
        for cookie in request.cookies:
            self.secret(cookie.partition("=")[2])
        self._parameters(request.raw_query)

    def response(self, event: Mapping[str, Any]) -> None:
        """Meet the secrets that a browser is given, and read what a caller is told of a failure."""
        for cookie in event["cookies"]:
            self.secret(cookie.partition("=")[2].partition(";")[0])
        headers = dict(event["headers"])
        self._parameters(urlsplit(headers.pop("location", "")).query)
        if event["statusCode"] >= 400:
            self.wrote("error answer", event["body"] + json.dumps(headers))

    def _parameters(self, query: str) -> None:
        for name, value in parse_qsl(query, errors="replace"):
            if name in _SECRET_PARAMETERS:
                self.secret(value)


def _stands_in(text: str, by_beginning: Mapping[str, set[str]]) -> bool:
    """Whether one of the values stands in the text: in one pass, since some tests make a hundred thousand of them."""
    return any(
        text.startswith(value, at)
        for at in range(len(text) - _LEAST_LENGTH + 1)
        for value in by_beginning.get(text[at : at + _LEAST_LENGTH], ())
    )


WATCH = Watch()


def _after(cls: type, method: str, note: Callable[..., object]) -> Any:
    """Have ``note`` called with the result and the arguments of every call of ``method``."""
    real = getattr(cls, method)

    def noted(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        note(result, *arguments, **named)
        return result

    # A class method is bound already, and would be given the class once more.
    return mock.patch.object(cls, method, staticmethod(noted) if hasattr(real, "__self__") else noted)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch whatever runs in this process."""
    wrote = WATCH.wrote
    notes = [
        _after(Secret, "__init__", lambda _, self, value: WATCH.secret(value)),
        _after(HttpRequest, "from_event", lambda request, *_: WATCH.request(request)),
        _after(HttpResponse, "to_event", lambda event, *_: WATCH.response(event)),
        _after(BrokerError, "__init__", lambda _, self, *given: wrote("failure", repr(self) + self.reason)),
        _after(OAuthError, "__init__", lambda _, self, *given, **named: wrote("failure", self.description)),
        _after(OperatorEndpoint, "__call__", lambda answer, *_: wrote("operator's answer", json.dumps(answer))),
        _after(Recorded, "log", lambda _, self, *line: wrote("log line", json.dumps(line, default=repr))),
        _after(Recorded, "count", lambda _, self, *metric: wrote("metric", repr(metric))),
        _after(Recorded, "measure", lambda _, self, *metric: wrote("metric", repr(metric))),
        _after(function_log._Router, "write", lambda _, self, text: wrote("output of a function", text)),
        _after(pytest.CaptureFixture, "readouterr", lambda read, self: wrote("output", read.out + read.err)),
    ]
    with ExitStack() as stack:
        for note in notes:
            stack.enter_context(note)
        yield WATCH
