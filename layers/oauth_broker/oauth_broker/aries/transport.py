"""One bounded HTTPS request: total time, body size, no redirects, no retries, no decompression.

What happened to a request that failed decides whether a refresh may be repeated, so the two failures are told apart
exactly: ``NotSent``, where not a byte of the request has left, and ``NoReply``, where it may have arrived.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol, Self

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from oauth_broker import VERSION

# RFC 9110 section 10.1.5. Without one, urllib3 names itself, and Aries could not tell the broker from other programs.
_USER_AGENT = f"aries-token-broker/{VERSION}"
# For each address of the host.
_CONNECT_SECONDS = 2
# No token answer comes near this; what is larger is not one.
_MAX_BODY_BYTES = 24 * 1024
# A pooled connection that was idle for longer may be dead without our knowing, above all after the process was frozen:
# a request sent into it would be lost with an unknown outcome. Some servers keep one for no more than five seconds.
_MAX_IDLE_SECONDS = 4


class NotSent(Exception):
    """The request has certainly not been sent."""


class NoReply(Exception):
    """The request may have been processed; no whole, readable answer came in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any final status, with at most 24 KiB of body, and its ``Retry-After`` as sent, or ''."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str = field(default="", repr=False)


class Transport(Protocol):
    """A way to send a POST."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send ``body`` and return the answer within ``seconds`` in all; raises NotSent or NoReply."""
        ...


class _Attempt:
    """The request under way in one thread: it ends at its deadline, whatever it waits for but the name's lookup."""

    def __init__(self, seconds: float) -> None:
        now = time.monotonic()
        # A request that leaves with less time than this may be processed without a chance to hear its answer.
        self.leaves_until = now + seconds / 2
        self._ends_at = now + seconds
        self.sent = False

    def left(self) -> float:
        """Return the seconds that are left; raises TimeoutError where there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left

    def __enter__(self) -> Self:
        _thread.attempt = self
        return self

    def __exit__(self, *exception: object) -> None:
        del _thread.attempt


class _Thread(threading.local):
    attempt: _Attempt


_thread = _Thread()


class _BoundedSocket(socket.socket):
    """Waits for nothing longer than the request may take.

    The timeout of a socket starts anew with every byte; an answer of one byte a second would never meet it.
    """

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_thread.attempt.left())
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_thread.attempt.left())
        super().sendall(*args)


class _BoundedTLSSocket(ssl.SSLSocket):
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(_thread.attempt.left())
        super().do_handshake(block)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_thread.attempt.left())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(_thread.attempt.left())
        return super().send(*args)


def _connected(made: socket.socket, address: Any) -> socket.socket:
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(min(_CONNECT_SECONDS, _thread.attempt.left()))
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


class _WatchedConnection(HTTPConnection):
    """Notes when the first byte is about to leave, and lets none leave that could not be answered in time."""

    def _new_conn(self) -> socket.socket:
        """Connect within the deadline, to however many addresses: urllib3's own takes its time for each.

        How long it takes to look up the name is for the resolver to bound: the template does, by ``RES_OPTIONS``.
        """
        failure: Exception = OSError("no address")
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, str(error)) from error
        for family, kind, protocol, _, address in found:
            try:
                return _connected(_BoundedSocket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        raise NewConnectionError(self, str(failure)) from failure

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        if time.monotonic() >= _thread.attempt.leaves_until:
            raise TimeoutError("too little time left to hear the answer")
        _thread.attempt.sent = True
        super().request(*args, **options)


class _WatchedHTTPSConnection(_WatchedConnection, HTTPSConnection):
    """The same over TLS."""


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


class _WatchedAdapter(HTTPAdapter):
    """Reads the certificates of those it trusts once, when it is made.

    Left alone, requests has them read anew for every connection, which takes more time than all the rest of a refresh.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        self.context = create_urllib3_context()
        self.context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        self.context.sslsocket_class = _BoundedTLSSocket
        super().init_poolmanager(*args, ssl_context=self.context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedHTTPSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = None


class RequestsTransport:
    """A transport with one pool of connections, made once a process.

    An adapter of requests without its session, which would know cookies, redirects, proxies and a .netrc: nothing but
    what is given here goes out, and nothing that came with one user's answer goes along with another's request.
    """

    def __init__(self) -> None:
        self._adapter = _WatchedAdapter(pool_connections=1, pool_maxsize=8)
        # The wall clock, since the other stands still while Lambda freezes the process.
        self._used_at = 0.0

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._adapter.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """See Transport."""
        all_headers = {**headers, "accept": "application/json"}
        with _Attempt(seconds) as attempt, self._answer("POST", url, body, all_headers, attempt, seconds) as response:
            return Reply(response.status_code, _read(response), response.headers.get("retry-after", ""))

    def status_of(self, url: str, seconds: float) -> int:
        """Send a GET and return the status of the answer; its body is not read, and its connection closed.

        Raises NotSent or NoReply, and takes no more than ``seconds`` in all, apart from looking up the name.
        """
        with _Attempt(seconds) as attempt, self._answer("GET", url, None, {}, attempt, seconds) as response:
            return response.status_code

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        attempt: _Attempt,
        seconds: float,
    ) -> Iterator[requests.Response]:
        """Send a request and yield the answer, of which no more than the head has been read."""
        if time.time() - self._used_at > _MAX_IDLE_SECONDS:
            self.close()
        self._used_at = time.time()
        request = _prepared(method, url, body, headers)
        try:
            timeouts = (min(_CONNECT_SECONDS, seconds), seconds)
            with self._adapter.send(request, stream=True, timeout=timeouts) as response:
                yield response
        except (requests.RequestException, HTTPError, OSError) as error:
            raise (NoReply if attempt.sent else NotSent)(type(error).__name__) from error
        finally:
            self._used_at = time.time()


def _prepared(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """Put a request together. Its own ``prepare`` parses the URL, which the settings have checked, again and again."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, body
    request.headers = CaseInsensitiveDict({**headers, "accept-encoding": "identity", "user-agent": _USER_AGENT})
    if body is not None:
        request.headers["content-length"] = str(len(body))
    return request


def _read(response: requests.Response) -> bytes:
    raw = response.raw
    if response.status_code < HTTPStatus.OK:
        # An interim answer: the final one follows on this connection, which is closed with it.
        raise NoReply("interim")
    # Read as it comes over the wire: what is not decompressed cannot blow up.
    body: bytes = raw.read(_MAX_BODY_BYTES + 1, decode_content=False)
    if len(body) > _MAX_BODY_BYTES:
        raise NoReply("too_large")
    # http.client takes the end of a connection for the end of a head and of a body, wherever it comes.
    is_framed = raw.chunked or raw.length_remaining is not None
    if raw.length_remaining or not (is_framed or body):
        raise NoReply("cut_short")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise NoReply("encoded")
    return body
