"""Leads from another address of this machine to servers on its loopback address."""

from __future__ import annotations

import socket
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

from tests.local.serving import HOST

# Linux: take an address before an interface has it. An engine may make its network with the first container.
_IP_FREEBIND = 15
_CHUNK = 65536


class Relay:
    """Hands connections to a port under ``address`` on to the same port of the loopback address."""

    def __init__(self, address: str, port: int) -> None:
        """Start to wait for connections."""
        self._server = _Server((address, port), _Connection)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name=f"relay-{port}")
        self._thread.start()

    def close(self) -> None:
        """Free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    server_address: tuple[str, int]
    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()


class _Connection(BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        # Either side may hang up at any time.
        with suppress(OSError), socket.create_connection((HOST, self.server.server_address[1])) as server:
            answers = Thread(target=_copy, args=(server, self.request), daemon=True)
            answers.start()
            _copy(self.request, server)
            answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
