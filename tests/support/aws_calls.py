"""Watches every AWS call of the handlers at botocore's own events, and can make a call fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.model import OperationModel
from botocore.validate import ParamValidator
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from oauth_broker.sessions.control_item import CONTROL_ITEM_KEY
from tests.support import account_settings
from tests.support.announced import announced
from tests.support.client_error import client_error


def _client_error(code: str) -> Callable[[], Exception]:
    return lambda: client_error(code)


NOT_APPLIED: dict[str, Callable[[], Exception]] = {
    "throttled": _client_error("ThrottlingException"),
    "server_error": _client_error("InternalServerError"),
    "access_denied": _client_error("AccessDeniedException"),
    # Somebody has changed the secret into another kind, for example a replicated one.
    "not_deletable": _client_error("InvalidParameterException"),
    "not_found": _client_error("ResourceNotFoundException"),
    "unreachable": lambda: EndpointConnectionError(endpoint_url="https://aws.example"),
    "timed_out": lambda: ConnectTimeoutError(endpoint_url="https://aws.example"),
}
APPLIED: dict[str, Callable[[], Exception]] = {
    "timed_out_though_applied": lambda: ReadTimeoutError(endpoint_url="https://aws.example")
}
# The failures of a service in trouble. All of them pass.
FAILURES = ("throttled", "server_error", "access_denied", "unreachable", "timed_out", "timed_out_though_applied")


class ProcessDied(BaseException):
    """The end of a process. The process does not catch this, and its caller gets no answer."""


@dataclass
class _Failure:
    operation: str
    kind: str
    left: int


_CONTROL_ITEM_KEY = json.dumps({"session_id": {"S": CONTROL_ITEM_KEY}}).encode()

_watching: list[AwsCalls] = []


_sending = Lock()


def _send_one_at_a_time(event_name: str, request: Any, **_: Any) -> Any:
    """Hand a request to moto under a lock. Conditional writes are atomic in AWS, but not in moto."""
    target = request.headers.get("X-Amz-Target", "")
    answer = account_settings.answer(
        request.url,
        target if isinstance(target, str) else target.decode(),
        concurrent_executions=_watching[-1].concurrent_executions,
        kms_requests=_watching[-1].kms_requests,
    )
    if answer is not None:
        return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(answer))
    with _sending:
        return botocore_stubber(event_name, request)


def _check(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
    """Check the parameters by the service's model. The handlers' own clients leave this to the service."""
    assert model.input_shape is not None
    report = ParamValidator().validate(params, model.input_shape)
    assert not report.has_errors(), report.generate_report()


@cache
def _session() -> boto3.Session:
    session = boto3.Session()
    events: Any = session.events
    events.register("before-parameter-build", _check)
    events.register("before-call", _Relay("before"))
    events.register("after-call", _Relay("after"))
    # botocore asks every handler and takes the first answer. moto's own handler would apply each call once more.
    events.unregister("before-send", botocore_stubber)
    events.register_first("before-send", _send_one_at_a_time)
    events.register_first("needs-retry", _Relay("needs_retry"))
    return session


class _Relay:
    """Hands each event to the current watcher."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __call__(self, **event: Any) -> Any:
        return getattr(_watching[-1], self._method)(**event)


@dataclass
class AwsCalls:
    """Lists the AWS calls, and lets calls fail.

    ``made`` lists the API calls as ``service:Operation``; the SDK's retries of a call do not count apart. ``routine``
    lists the readings of the not-before times. ``concurrent_executions`` and ``kms_requests`` are limits of
    the account. ``writes`` lists the bodies of the writes of rows, each with the ``function`` of the last call.
    ``events`` lists the events that went out to the bus, valid by their schema.
    """

    made: list[str] = field(default_factory=list)
    routine: list[str] = field(default_factory=list)
    concurrent_executions: int = 1000
    kms_requests: int = 10_000
    function: str = ""
    writes: list[tuple[str, bytes]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    _failures: list[_Failure] = field(default_factory=list)
    _repeat: list[str] = field(default_factory=list)
    _dying_after: list[str] = field(default_factory=list)
    _routine_failure: str = ""
    _visits: dict[str, Callable[[], object]] = field(default_factory=dict)

    def watch(self) -> None:
        """Watch every client of boto3's default session, and make that session on first use.

        All tests share one session, because loading the service models for every test would take most of the time.
        """
        _watching[:] = [self]
        # moto forgets the default session at every start.
        boto3.DEFAULT_SESSION = _session()

    @contextmanager
    def failing(self, operation: str, kind: str = "throttled", times: int = 10_000) -> Iterator[None]:
        """Let the next ``times`` calls of ``operation`` fail as ``kind``, one of FAILURES."""
        failure = _Failure(operation, kind, times)
        self._failures.append(failure)
        try:
            yield
        finally:
            self._failures.remove(failure)

    @contextmanager
    def failing_from(self, start: str, operation: str, kind: str) -> Iterator[None]:
        """Let every call of ``operation`` fail as ``kind`` after the first call of ``start``."""
        failure = _Failure(operation, kind, 10_000)
        with self.visited(start, lambda: self._failures.append(failure)):
            yield
        self._failures.remove(failure)

    @contextmanager
    def answer_lost_once(self, operation: str, *, skip: int = 0) -> Iterator[None]:
        """Let the SDK apply ``operation``, miss its answer, and repeat it by itself; not the first ``skip`` times."""
        self._repeat += [""] * skip + [operation]
        yield
        assert operation not in self._repeat, f"{operation} was not called often enough"

    @contextmanager
    def visited(self, operation: str, visitor: Callable[[], object]) -> Iterator[None]:
        """Let ``visitor`` do something just before the next call of ``operation`` goes out."""
        self._visits[operation] = visitor
        yield
        assert operation not in self._visits, f"{operation} was not called"

    @contextmanager
    def dying_at(self, operation: str) -> Iterator[None]:
        """Let the process die just before the next call of ``operation`` goes out."""

        def die() -> None:
            raise ProcessDied

        with suppress(ProcessDied), self.visited(operation, die):
            yield

    @contextmanager
    def dying_after(self, operation: str) -> Iterator[None]:
        """Let the process die just after the answer to the next call of ``operation``."""
        self._dying_after.append(operation)
        with suppress(ProcessDied):
            yield
        assert operation not in self._dying_after, f"{operation} was not called"

    @contextmanager
    def answering_routine_with(self, kind: str) -> Iterator[None]:
        """Let every reading of the not-before times fail as ``kind``, one of NOT_APPLIED, as if there were none."""
        self._routine_failure = kind
        yield
        self._routine_failure = ""

    def counted(self) -> dict[str, int]:
        """Return the number of calls to each service."""
        services = [call.partition(":")[0] for call in self.made]
        return {service: services.count(service) for service in sorted(set(services))}

    def before(self, event_name: str, params: dict[str, Any], **_: Any) -> None:
        service, operation = event_name.split(".")[1:]
        # Every warm process reads the control item again and again. These readings are part of no operation.
        is_routine = _CONTROL_ITEM_KEY in (params.get("body") or b"")
        (self.routine if is_routine else self.made).append(f"{service}:{operation}")
        if operation in ("PutItem", "UpdateItem"):
            self.writes.append((self.function, params["body"]))
        if operation == "PutEvents":
            self.events += announced(params["body"])
        if is_routine and self._routine_failure:
            raise NOT_APPLIED[self._routine_failure]()
        self._visits.pop(operation, lambda: None)()
        self._fail(operation, NOT_APPLIED)

    def after(self, event_name: str, **_: Any) -> None:
        operation = event_name.split(".")[2]
        if operation in self._dying_after:
            self._dying_after.remove(operation)
            raise ProcessDied
        self._fail(operation, APPLIED)

    def needs_retry(self, event_name: str, attempts: int, **_: Any) -> float | None:
        operation = event_name.split(".")[2]
        if operation not in self._repeat or attempts > 1:
            return None
        if self._repeat[0] == "":
            del self._repeat[0]
            return None
        self._repeat.remove(operation)
        return 0

    def _fail(self, operation: str, kinds: dict[str, Callable[[], Exception]]) -> None:
        for failure in self._failures:
            if failure.operation == operation and failure.left > 0 and failure.kind in kinds:
                failure.left -= 1
                raise kinds[failure.kind]()
