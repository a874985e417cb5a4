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
    """Another program uses the port, or it is reserved for the administrator."""

    def __init__(self, port: int, error: OSError) -> None:
        why = "is already in use" if error.errno == errno.EADDRINUSE else "needs an administrator's rights"
        super().__init__(f"Port {port} {why}. Choose another: make run PORT=9000 takes 9000 and the next four ports.")
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


class QuietHandler(WSGIRequestHandler):
    """Writes no access log: the query strings of this product hold codes."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Write nothing."""


class LoopbackServer:
    """A threaded HTTP server. It takes its port, and so knows its URL, before the application exists.

    Requests before ``serve`` wait in the queue of the listening socket.
    """

    def __init__(self, port: int = 0) -> None:
        """Take ``port``, or any free one for 0. Raises PortTaken."""
        with port_taken(port):
            self._socket = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._server: BaseWSGIServer | None = None
        self._thread: Thread | None = None

    def serve(self, app: Any, request_handler: type[WSGIRequestHandler] = QuietHandler) -> None:
        """Start to answer with the WSGI application ``app``, once and for all; raises RuntimeError the second time."""
        if self._server is not None:
            # Two servers at one socket both wake up at a connection. The later one waits for the next connection, and
            # could not be stopped.
            raise RuntimeError("The server already has its application")
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
