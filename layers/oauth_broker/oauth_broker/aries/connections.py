"""Sockets and connections with one deadline for a whole request. They note the moment before its first byte leaves."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import Any, Self

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

# For each address of the host.
CONNECT_SECONDS = 2


class Attempt:
    """The request under way in one thread. Its deadline ends every wait except the lookup of the name."""

    def __init__(self, seconds: float) -> None:
        now = time.monotonic()
        # If a request left later, it could be processed without a chance to hear its answer.
        self.leaves_until = now + seconds / 2
        self._ends_at = now + seconds
        self.sent = False

    def left(self) -> float:
        """Return the seconds left. Raises TimeoutError if there are none."""
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
    attempt: Attempt


_thread = _Thread()


class _BoundedSocket(socket.socket):
    """Ends every wait at the request's deadline.

    The timeout of a socket starts anew with every byte. An answer of one byte a second would never reach the timeout.
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
        made.settimeout(min(CONNECT_SECONDS, _thread.attempt.left()))
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


class _WatchedConnection(HTTPConnection):
    """Notes the moment before the first byte leaves. Sends no byte if the answer could not come in time."""

    def _new_conn(self) -> socket.socket:
        """Connect within the deadline, however many addresses there are: urllib3's own method has a timeout for each.

        The resolver bounds the lookup of the name: the template sets ``RES_OPTIONS``.
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


class BoundedAdapter(HTTPAdapter):
    """Reads the trusted certificates once, at its start.

    The adapter of requests has them read anew for every connection. Each time takes longer than all the rest of a
    refresh.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of watched connections, and their TLS context."""
        self.context = create_urllib3_context()
        self.context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        self.context.sslsocket_class = _BoundedTLSSocket
        super().init_poolmanager(*args, ssl_context=self.context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedHTTPSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Set the connection up as requests does, but keep the certificates of the context."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = None
