"""Servers on the loopback address, each on threads of this process."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

HOST = "127.0.0.1"


class PortTaken(Exception):
    """The port that was asked for is in use by another program, or kept for the administrator."""

    def __init__(self, port: int, error: OSError) -> None:
        why = "is already in use" if error.errno == errno.EADDRINUSE else "may not be used"
        super().__init__(f"Port {port} {why}. Choose another: make run PORT=9000 takes that and the four after it.")
        self.port = port


@contextmanager
def port_taken(port: int) -> Iterator[None]:
    """Turn the failure to take ``port`` into PortTaken."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTaken(port, error) from error
        raise


class _QuietHandler(WSGIRequestHandler):
    """Writes no access log: the query strings of this product hold codes."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Write nothing."""


class LoopbackServer:
    """A threaded HTTP server that holds its port, and so knows its URL, before the application behind it exists.

    Requests that arrive before ``serve`` wait in the listening socket's queue.
    """

    def __init__(self, port: int = 0) -> None:
        """Take ``port``, or any free one for 0; raises PortTaken."""
        with port_taken(port):
            self._socket = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._server: BaseWSGIServer | None = None
        self._thread: Thread | None = None

    def serve(self, app: Any, request_handler: type[WSGIRequestHandler] = _QuietHandler) -> None:
        """Start to answer with the WSGI application ``app``, once and for all; raises RuntimeError the second time."""
        if self._server is not None:
            # Of two servers at one socket, both wake up at a connection, and the one that comes too late waits for the
            # next: it could not be stopped.
            raise RuntimeError("The server has its application already")
        self._server = make_server(
            HOST, self.port, app, threaded=True, request_handler=request_handler, fd=self._socket.fileno()
        )
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name=f"port-{self.port}")
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._socket.close()
