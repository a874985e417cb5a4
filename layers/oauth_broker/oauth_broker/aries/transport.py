"""One bounded HTTPS request: total time, body size, no redirects, no retries, no decompression.

The fate of a failed request decides whether a refresh may be repeated. Two failures tell the fates apart exactly. After
``NotSent``, not a byte of the request has left. After ``NoReply``, the request may have arrived.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from oauth_broker import VERSION
from oauth_broker.aries.connections import CONNECT_SECONDS, Attempt, BoundedAdapter

# RFC 9110 section 10.1.5. urllib3 would name itself, and Aries could not tell the broker from other programs.
_USER_AGENT = f"aries-token-broker/{VERSION}"
# Token answers are far smaller. A larger answer is no token answer.
_MAX_BODY_BYTES = 24 * 1024
# After a longer idle time a pooled connection may be dead unnoticed, above all after the process was frozen. A request
# on it would be lost with an unknown outcome. Some servers keep an idle connection for no more than five seconds.
_MAX_IDLE_SECONDS = 4


class NotSent(Exception):
    """The request has certainly not been sent."""


class NoReply(Exception):
    """The request may have been processed, but no whole, readable answer came in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any final status, with at most 24 KiB of body, and its ``Retry-After`` as sent, or ''."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str = field(default="", repr=False)


class Transport(Protocol):
    """A way to send a POST."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send ``body`` and return the answer within ``seconds`` in all. Raises NotSent or NoReply."""
        ...


class RequestsTransport:
    """A transport with a pool of connections for each of two hosts, made once a process.

    It uses an adapter of requests, but no session. A session would add cookies, redirects, proxies and a .netrc. A
    request has none of these, and no part of one user's answer goes along with another's request.
    """

    def __init__(self) -> None:
        self._adapter = BoundedAdapter(pool_connections=2, pool_maxsize=8)
        # The wall clock, because the monotonic clock stands still while Lambda freezes the process.
        self._used_at = 0.0

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._adapter.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """See Transport."""
        return self._reply("POST", url, body, headers, seconds)

    def get(self, url: str, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send a GET and return the answer within ``seconds`` in all. Raises NotSent or NoReply."""
        return self._reply("GET", url, None, headers, seconds)

    def status_of(self, url: str, seconds: float) -> int:
        """Send a GET and return the status of the answer. Its body is not read, and its connection is closed.

        Raises NotSent or NoReply. Takes at most ``seconds`` in all, apart from the lookup of the name.
        """
        with Attempt(seconds) as attempt, self._answer("GET", url, None, {}, attempt, seconds) as response:
            return response.status_code

    def _reply(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float) -> Reply:
        all_headers = {**headers, "accept": "application/json"}
        with Attempt(seconds) as attempt, self._answer(method, url, body, all_headers, attempt, seconds) as response:
            return Reply(response.status_code, _read(response), response.headers.get("retry-after", ""))

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        attempt: Attempt,
        seconds: float,
    ) -> Iterator[requests.Response]:
        """Send a request and yield the answer with only its head read."""
        if time.time() - self._used_at > _MAX_IDLE_SECONDS:
            self.close()
        self._used_at = time.time()
        request = _prepared(method, url, body, headers)
        try:
            timeouts = (min(CONNECT_SECONDS, seconds), seconds)
            with self._adapter.send(request, stream=True, timeout=timeouts) as response:
                yield response
        except (requests.RequestException, HTTPError, OSError) as error:
            raise (NoReply if attempt.sent else NotSent)(type(error).__name__) from error
        finally:
            self._used_at = time.time()


def _prepared(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """Put a request together. The settings have checked the URL, but ``prepare`` of requests parses it every time."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, body
    request.headers = CaseInsensitiveDict({**headers, "accept-encoding": "identity", "user-agent": _USER_AGENT})
    if body is not None:
        request.headers["content-length"] = str(len(body))
    return request


def _read(response: requests.Response) -> bytes:
    raw = response.raw
    if response.status_code < HTTPStatus.OK:
        # The final answer follows an interim answer on this connection, but the broker closes the connection here.
        raise NoReply("interim")
    # The body is not decompressed, and so cannot blow up.
    body: bytes = raw.read(_MAX_BODY_BYTES + 1, decode_content=False)
    if len(body) > _MAX_BODY_BYTES:
        raise NoReply("too_large")
    # http.client takes an early end of a connection for the end of a head or of a body.
    is_framed = raw.chunked or raw.length_remaining is not None
    if raw.length_remaining or not (is_framed or body):
        raise NoReply("cut_short")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise NoReply("encoded")
    return body
