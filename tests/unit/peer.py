"""Small raw socket servers: peers that answer properly, oddly, slowly or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return a whole answer with a Content-Length. ``length`` may be a lie."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """One accepted connection of a script."""

    def __init__(self, connection: socket.socket, peer: Peer) -> None:
        self._connection = connection
        self._peer = peer

    def read_request(self) -> bytes | None:
        """Read one request and keep it in ``peer.requests``. Return None if the client has closed the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            received = self._connection.recv(65536)
            if not received:
                return None
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        while len(body) < int((lengths or [b"0"])[0]):
            body += self._connection.recv(65536)
        self._peer.requests.append(head + b"\r\n\r\n" + body)
        return body

    def read_some(self) -> None:
        """Read the first bytes."""
        self._connection.recv(65536)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def trickle(self, data: bytes, interval: float = 0.02) -> None:
        """Send a byte at a time for as long as the client listens."""
        for index in range(len(data)):
            if self._peer.stopping.wait(interval):
                return
            self.send(data[index : index + 1])

    def hang(self) -> None:
        """Say nothing until the server stops."""
        self._peer.stopping.wait()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


Script = Callable[[Wire], None]


def answering(*answers: bytes) -> Script:
    """Answer one request after the other on an open connection, with the last answer again and again."""

    def script(wire: Wire) -> None:
        index = 0
        while wire.read_request() is not None:
            wire.send(answers[min(index, len(answers) - 1)])
            index += 1

    return script


def answering_once(data: bytes) -> Script:
    """Read one request, send these bytes and close."""

    def script(wire: Wire) -> None:
        if wire.read_request() is not None:
            wire.send(data)

    return script


def silent(wire: Wire) -> None:
    """Read one request and never answer."""
    wire.read_request()
    wire.hang()


def closing(wire: Wire) -> None:
    """Read one request and close the connection."""
    wire.read_request()


class Peer:
    """A server on a port of loopback that plays ``scripts``, one a connection, the last one again and again."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._scripts = scripts
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/token"

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        # Closing a listening socket does not wake the thread in accept(). A connection does.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            self._thread.join()
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self.stopping.is_set():
                connection.close()
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._play, args=(script, connection), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, script: Script, connection: socket.socket) -> None:
        # The client may go at any time, and mostly does.
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._open.append(connection)
                script(Wire(connection, self))
        connection.close()


@contextmanager
def black_hole(address: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port that neither accepts a connection nor refuses one: its queue of waiting connections is full."""
    waiting = [socket.socket() for _ in range(4)]
    with socket.create_server((address, 0), backlog=0) as listening:
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        try:
            yield listening.getsockname()[1]
        finally:
            for one in waiting:
                one.close()
