"""A watch over every test: no secret of the product may stand in its output.

The watch meets secrets at their entry and at their making: in the type ``Secret``, in the requests (body, cookies,
authorization, state and code of a callback), in the answers to browsers (cookies, states and codes of redirects), at
the Aries simulator (its client secret, codes and tokens), and in the removed rows of cleanup (ids, hashes, sealed
tokens, the verifier of a sign-in under way).

The watch reads the output in the telemetry, the events, the error answers, the redirects and pages, the failures'
reasons and descriptions, the operator's answers, and standard output, error and log as the test runner captures them.

If functions run in other processes, the test must pass on their requests, their answers and their log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests

from oauth_broker.errors import BrokerError, OAuthError
from oauth_broker.events.bus import EventBus
from oauth_broker.operations.cleanup import Cleanup
from oauth_broker.operator.endpoint import OperatorEndpoint
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest, HttpResponse
from tests.local import function_log
from tests.local.aries import AriesCore
from tests.support.telemetry import Recorded
from tests.support.world import Answer

# A shorter value is malformed and no secret. It may well be a word of a message.
_LEAST_LENGTH = 12
_SECRET_PARAMETERS = frozenset(
    {"state", "code", "code_verifier", "access_token", "refresh_token", "token", "backend_handle", "client_secret"}
)
# A redirect shows these beside the secrets.
_TOLD_PARAMETERS = frozenset({"error", "error_description", "error_uri"})
# A log line may show these attributes of a row.
_TOLD_ATTRIBUTES = frozenset(
    {
        "client_id",
        "failed_error",
        # If an operator ended the session, this is the operator's request.
        "lease_id",
        "provider_redirect_uri",
        "redirect_uri",
        "reference",
        "scope",
        "status",
        "timeline",
        "token_scope",
    }
)
_LINK = re.compile(r'<a href="([^"]*)">')


@dataclass
class Watch:
    """The secrets in the tests of one module so far, and the output of one test by channel."""

    secrets: set[str] = field(default_factory=set)
    written: dict[str, set[str]] = field(default_factory=dict)
    _module: object = None
    _new: list[str] = field(default_factory=list)
    # Stays from test to test, because some modules make a hundred thousand secrets.
    _by_beginning: dict[str, list[str]] = field(default_factory=dict)
    _guessing: bool = False

    def begin(self, module: object = None) -> None:
        """Forget the output. Forget the secrets only for another module, because fixtures of a module live on."""
        self.written.clear()
        if module is None or module != self._module:
            self.secrets.clear()
            self._new.clear()
            self._by_beginning.clear()
        self._module = module

    def secret(self, value: str) -> None:
        """Look for this value from now on."""
        if len(value) >= _LEAST_LENGTH and value not in self.secrets and not self._guessing:
            self.secrets.add(value)
            self._new.append(value)

    @contextmanager
    def guessing(self) -> Iterator[None]:
        """Ignore the values sent within, because an attacker also tries, for example, values from the log."""
        self._guessing = True
        try:
            yield
        finally:
            self._guessing = False

    def wrote(self, channel: str, text: str) -> None:
        """Keep a text of the product's output."""
        self.written.setdefault(channel, set()).add(text)

    def leaks(self) -> list[str]:
        """Return the channels with a secret in them, as it is or percent-encoded."""
        while self._new:
            value = self._new.pop()
            for form in {value, quote(value, safe="")}:
                self._by_beginning.setdefault(form[:_LEAST_LENGTH], []).append(form)
        # Copies, because the threads of a running stack may write meanwhile.
        written = [(channel, text) for channel, texts in self.written.copy().items() for text in texts.copy()]
        return sorted({channel for channel, text in written if _stands_in(text, self._by_beginning)})

    def request(self, request: HttpRequest) -> None:
        """Meet the secrets in a caller's request."""
        self.secret(request.body)
        self.secret(request.headers.get("authorization", ""))
        for cookie in request.cookies:
            self.secret(cookie.partition("=")[2])
        self._parameters(request.raw_query)

    def response(self, event: Mapping[str, Any]) -> None:
        """Meet the secrets for a browser, and read the output beside them."""
        headers = dict(event["headers"])
        self._browser_is_given(headers.pop("location", ""), event["cookies"])
        self.wrote("header", json.dumps(headers))
        if event["statusCode"] >= 400:
            self.wrote("error answer", event["body"])
        elif headers.get("content-type", "").startswith("text/html"):
            # A page may have one link back to the app, in place of a redirect.
            for location in _LINK.findall(event["body"])[:1]:
                self._browser_is_given(unescape(location), ())
            self.wrote("page", _LINK.sub("", event["body"], count=1))

    def removed(self, records: Iterable[object]) -> None:
        """Meet the secrets of removed rows in a stream's records."""
        for record in records:
            match record:
                case {"dynamodb": {"OldImage": Mapping() as image}}:
                    for name in image.keys() - _TOLD_ATTRIBUTES:
                        self._attribute(image[name])

    def _attribute(self, value: object) -> None:
        match value:
            case {"S": str(text)} | {"B": str(text)}:
                self.secret(text)
            case {"L": [*parts]}:
                for part in parts:
                    self._attribute(part)

    def answer(self, answer: Answer) -> None:
        """Meet the secrets in an answer from another process to an app or a browser."""
        self._browser_is_given(answer.headers.get("location", ""), answer.cookies)
        self.body(answer.body)

    def exchange(self, response: requests.Response) -> None:
        """Meet the secrets in a request to another process, and in the response."""
        sent = response.request
        self._parameters(urlsplit(sent.url or "").query)
        self.body(sent.body.decode() if isinstance(sent.body, bytes) else sent.body or "")
        self._browser_is_given(
            response.headers.get("location", ""), [f"{cookie.name}={cookie.value}" for cookie in response.cookies]
        )
        self.body(response.text)

    def body(self, text: str) -> None:
        """Meet the secrets in a form or a JSON object."""
        try:
            members = json.loads(text)
        except ValueError:
            self._parameters(text)
        else:
            self.members(members if isinstance(members, dict) else {})

    def members(self, *objects: Mapping[str, object]) -> None:
        """Meet the secrets among these members."""
        for members in objects:
            for name in _SECRET_PARAMETERS & members.keys():
                self.secret(str(members[name]))

    def _browser_is_given(self, location: str, cookies: Iterable[str]) -> None:
        for cookie in cookies:
            self.secret(cookie.partition("=")[2].partition(";")[0])
        parameters = dict(parse_qsl(urlsplit(location).query, errors="replace"))
        self.members(parameters)
        for name in _TOLD_PARAMETERS & parameters.keys():
            self.wrote("redirect", parameters[name])

    def _parameters(self, query: str) -> None:
        self.members(dict(parse_qsl(query, errors="replace")))


def _stands_in(text: str, by_beginning: Mapping[str, list[str]]) -> bool:
    """Tell whether the text contains a value, in one pass: some tests make a hundred thousand values."""
    return any(
        text.startswith(value, at)
        for at in range(len(text) - _LEAST_LENGTH + 1)
        for value in by_beginning.get(text[at : at + _LEAST_LENGTH], ())
    )


WATCH = Watch()


def _after(cls: type, method: str, note: Callable[..., object]) -> Any:
    """Call ``note`` with the result and the arguments of every call of ``method``."""
    real = getattr(cls, method)

    def noted(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        note(result, *arguments, **named)
        return result

    # A class method is already bound. As a plain function, it would get the class once more.
    return mock.patch.object(cls, method, staticmethod(noted) if hasattr(real, "__self__") else noted)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch everything in this process."""
    wrote, secret = WATCH.wrote, WATCH.secret
    notes = [
        _after(Secret, "__init__", lambda _, self, value: WATCH.secret(value)),
        _after(HttpRequest, "from_event", lambda request, *_: WATCH.request(request)),
        _after(HttpResponse, "to_event", lambda event, *_: WATCH.response(event)),
        _after(BrokerError, "__init__", lambda _, self, *given: wrote("failure", repr(self) + self.reason)),
        _after(OAuthError, "__init__", lambda _, self, *given, **named: wrote("failure", self.description)),
        _after(Cleanup, "delete_secrets", lambda _, self, records, *more, **named: WATCH.removed(records)),
        _after(OperatorEndpoint, "__call__", lambda answer, *_: wrote("operator's answer", json.dumps(answer))),
        _after(AriesCore, "__init__", lambda _, self, client_id, client_secret, *rest, **named: secret(client_secret)),
        _after(AriesCore, "approve", lambda code, *_: secret(code)),
        _after(AriesCore, "token", lambda answered, self, body: WATCH.members(body, answered[1])),
        _after(EventBus, "_entry", lambda entry, *_: wrote("event", json.dumps(entry))),
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


@contextmanager
def watching_requests() -> Iterator[None]:
    """Meet the secrets in the requests of the library ``requests`` to other processes, and in the responses."""
    with _after(requests.Session, "send", lambda response, *_, **__: WATCH.exchange(response)):
        yield
