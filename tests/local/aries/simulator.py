"""The simulator as one object: the rules, served over HTTP."""

import socket
from threading import Event, Thread
from types import TracebackType
from typing import Self

from werkzeug.serving import BaseWSGIServer, make_server

from tests.local.aries.core import AriesCore
from tests.local.aries.faults import FaultSwitches
from tests.local.aries.recording import CODE_GRANTS, RecordedRequest, Recorder
from tests.local.aries.web import AUTHORIZE_PATH, PROFILE_PATH, TOKEN_PATH, create_app
from tests.local.aries.wire import CuttableHandler

_POLL_SECONDS = 0.02


class AriesSimulator:
    """A strict Aries on a port. `core` has the rules and tokens, `faults` the faults to come, `recorder` the requests.

    Tests may change `core.behaviour`, `core.set_client_secrets` and `faults` while it runs.
    """

    def __init__(self, core: AriesCore) -> None:
        self.core = core
        self.faults = FaultSwitches()
        self.recorder = Recorder(core.now)
        self._stopping = Event()
        self._app = create_app(self.core, self.recorder, self.faults, lambda: self._stopping)
        self._running: tuple[BaseWSGIServer, Thread] | None = None
        self._host = ""
        self._port = 0

    def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Serves. Port 0 is the port of the last start, or a free one at first. Raises OSError if the port is taken."""
        if self._running:
            raise RuntimeError("The simulator is already running")
        # This code takes the port, because werkzeug ends the process if the port is taken.
        with socket.create_server((host, port or self._port), backlog=128) as listening:
            server = make_server(
                host, 0, self._app, threaded=True, request_handler=CuttableHandler, fd=listening.fileno()
            )
        self._host, self._port = host, server.port
        self._stopping = Event()
        thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="aries", daemon=True)
        thread.start()
        self._running = (server, thread)
        return self

    def stop(self) -> None:
        """Refuses connections until the next start; hanging requests are cut off. The tokens stay."""
        if self._running:
            server, thread = self._running
            self._running = None
            self._stopping.set()
            server.shutdown()
            thread.join()

    def __enter__(self) -> Self:
        return self if self._running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The origin; known from the first start on."""
        if not self._port:
            raise RuntimeError("The simulator has not been started")
        return f"http://{self._host}:{self._port}"

    @property
    def authorize_url(self) -> str:
        return self.url + AUTHORIZE_PATH

    @property
    def token_url(self) -> str:
        return self.url + TOKEN_PATH

    @property
    def profile_url(self) -> str:
        return self.url + PROFILE_PATH

    @property
    def requests(self) -> list[RecordedRequest]:
        return self.recorder.requests

    @property
    def token_calls(self) -> int:
        return self.recorder.count("token")

    @property
    def code_calls(self) -> int:
        return self.recorder.count("token", *CODE_GRANTS)

    @property
    def refresh_calls(self) -> int:
        return self.recorder.count("token", "refresh_token")

    @property
    def trap_calls(self) -> int:
        """How often a redirect of the token endpoint was followed; always to be 0."""
        return self.recorder.count("trap")

    def max_in_flight(self, family: str | None = None) -> int:
        return self.recorder.max_in_flight(family)

    def is_refresh_token_live(self, token: str) -> bool:
        return self.core.is_refresh_token_live(token)

    def current_refresh_token(self, family: str) -> str | None:
        return self.core.current_refresh_token(family)

    def set_client_secrets(self, *client_secrets: str) -> None:
        self.core.set_client_secrets(*client_secrets)

    def reset(self) -> None:
        """Forgets the recorded requests and the faults to come; tokens and settings stay."""
        self.recorder.reset()
        self.faults.clear()
