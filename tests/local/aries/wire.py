"""The faults of the socket itself: silence, cut connections, and bytes one by one."""

import selectors
import socket
import struct
import threading
from collections.abc import Callable

from werkzeug.serving import WSGIRequestHandler

from tests.local.aries.answers import Answer, JsonAnswer, proper, spoil
from tests.local.aries.faults import Fault

_SLICE_SECONDS = 0.05


class ConnectionCut(ConnectionAbortedError):
    """Ends a request without a further byte. Werkzeug takes any ConnectionError of an application for a lost client."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


class CuttableHandler(WSGIRequestHandler):
    """Closes or resets the connection on ConnectionCut. It writes no access log, because query strings hold codes."""

    _reset = False

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        self.close_connection = True
        self._reset = isinstance(error, ConnectionCut) and error.reset

    def finish(self) -> None:
        super().finish()
        if self._reset:
            # Closing with a linger time of zero sends RST; done here, before the server would send FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Writes nothing."""


class Connection:
    """The client's connection, for writing to it directly. `stopping` is set when the server stops."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._socket = connection
        self._stopping = stopping

    def perform(self, fault: Fault, process: Callable[[], JsonAnswer], counterfeit: Callable[[], JsonAnswer]) -> Answer:
        """The answer of a request under `fault`. Raises ConnectionCut if no answer is left to send."""
        if fault.kind == "late":
            return self._late(fault, process)
        outcome = process() if fault.processes_first else counterfeit()
        match fault.kind:
            case "reset":
                raise ConnectionCut(reset=True)
            case "close":
                raise ConnectionCut
            case "hang":
                self._wait(fault.seconds)
                raise ConnectionCut
            case "truncated":
                answer = proper(outcome)
                self._socket.sendall(answer.head() + answer.body[: len(answer.body) // 2])
                raise ConnectionCut
            case "trickle_body":
                answer = proper(outcome)
                self._socket.sendall(answer.head())
                self._trickle(answer.body, fault.seconds)
                raise ConnectionCut
            case "trickle_headers":
                answer = proper(outcome)
                self._trickle(answer.head() + answer.body, fault.seconds)
                raise ConnectionCut
            case _:
                return spoil(fault, outcome)

    def _late(self, fault: Fault, process: Callable[[], JsonAnswer]) -> Answer:
        """Goes on even if the client has given up, because a late request is the dangerous one."""
        outcome = process() if fault.processes_first else None
        if self._stopping.wait(fault.seconds):
            raise ConnectionCut
        return proper(outcome or process())

    def _trickle(self, data: bytes, interval: float) -> None:
        for byte in data:
            self._wait(interval)
            self._socket.sendall(bytes([byte]))

    def _wait(self, seconds: float) -> None:
        """Waits; raises ConnectionCut as soon as the client is gone or the server stops."""
        slices = max(1, round(seconds / _SLICE_SECONDS))
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            for _ in range(slices):
                # The request has been read in full, so the only thing left to read is its end.
                if selector.select(seconds / slices) or self._stopping.is_set():
                    raise ConnectionCut
