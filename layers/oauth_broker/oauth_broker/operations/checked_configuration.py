"""The part of a deployment that refuses a configuration with which no function could start.

It is a custom resource of CloudFormation. The table, the key and every function depend on it, so that CloudFormation
takes a deployment back before anything is kept and before a function that serves requests has changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import requests

from oauth_broker.config.settings import Settings, refuse_two_registrations
from oauth_broker.errors import ConfigurationError
from oauth_broker.runtime.telemetry import PowertoolsTelemetry

Send = Callable[[str, bytes], None]
"""Brings an answer to the URL that CloudFormation waits at. Raises where it did not arrive."""

_DIGITS_OF_ID = 32
# CloudFormation takes an answer of at most 4,096 bytes. The other members are shorter than what this leaves.
_MOST_REASON_BYTES = 2000
_CONNECT_SECONDS, _READ_SECONDS = 3, 10


# These come of what the stack makes, and are not made yet.
_NOT_MADE_YET = {"TABLE_NAME": "not-made-yet", "KEY_ID": "not-made-yet"}


class CheckedConfiguration:
    """A Lambda handler that CloudFormation calls as ``Create``, ``Update`` and ``Delete``.

    It judges the variables that CloudFormation sends, never its own, together with the apps in its layer.

    The resource's id is a hash of what was accepted. When an update is taken back, CloudFormation sends what was in
    force before, which has that hash. It is accepted again unseen, whatever this function and its layer are by then: to
    refuse it would leave the stack in UPDATE_ROLLBACK_FAILED.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def __call__(self, event: Mapping[str, Any], context: object) -> None:
        """Answer whether the configuration can be used; raises what ``send`` raises, and Lambda then repeats the call.

        Every other failure is an answer too. Without one, CloudFormation would wait until its patience ends.
        """
        properties = event["ResourceProperties"]
        accepted = event.get("PhysicalResourceId", "none-accepted")
        asked = accepted if event["RequestType"] == "Delete" else _id_of(properties)
        reason = None if asked == accepted else _fault(_NOT_MADE_YET | properties["Variables"])
        answer = {
            "Status": "FAILED" if reason else "SUCCESS",
            "Reason": _shortened(reason) if reason else "The configuration can be used.",
            "PhysicalResourceId": accepted if reason else asked,
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
        self._send(event["ResponseURL"], json.dumps(answer).encode())


def _id_of(properties: Mapping[str, Any]) -> str:
    text = json.dumps(properties, sort_keys=True)
    return f"configuration-{sha256(text.encode()).hexdigest()[:_DIGITS_OF_ID]}"


def _fault(variables: Mapping[str, str]) -> str | None:
    """Return what is wrong with the configuration, or None. This reads all that a function reads at start."""
    try:
        Settings.from_environment(variables)
        PowertoolsTelemetry(variables)
        refuse_two_registrations(variables)
    except ConfigurationError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - CloudFormation is told of a bug too
        return f"The configuration could not be checked: {type(error).__name__}"
    return None


class NotTaken(Exception):
    """CloudFormation was not reached, or did not take the answer. The message does not hold the URL."""


def put(url: str, answer: bytes) -> None:
    """Put the answer to CloudFormation's presigned URL; raises NotTaken.

    The URL is a secret: who has it can answer in this function's place. It is in no message, since Lambda logs those.
    """
    # The URL is signed for a request without a content type.
    headers = {"content-type": ""}
    try:
        taken = requests.put(url, answer, headers=headers, timeout=(_CONNECT_SECONDS, _READ_SECONDS))
    except requests.RequestException as error:
        raise NotTaken(type(error).__name__) from None
    if not taken.ok:
        raise NotTaken(f"HTTP status {taken.status_code}")


def _shortened(reason: str) -> str:
    """Return as much of the reason as there is room for. In JSON a character takes up to twelve bytes."""
    while len(json.dumps(reason)) > _MOST_REASON_BYTES:
        reason = reason[: len(reason) * 9 // 10]
    return reason
