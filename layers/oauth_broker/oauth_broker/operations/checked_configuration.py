"""A custom resource of CloudFormation: it refuses a deployment if no function could start with its configuration.

The table, the key and every function depend on it. CloudFormation therefore takes a bad deployment back before there is
anything to keep, and before it has changed a function that serves requests.
`operator.checks` also checks the services, after the deployment.
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
"""Sends an answer to the URL at which CloudFormation waits. Raises if the answer did not arrive."""

_DIGITS_OF_ID = 32
# CloudFormation takes an answer of at most 4,096 bytes. The other members fit into the rest.
_MOST_REASON_BYTES = 2000
_REPLY_CONNECT_SECONDS, _REPLY_READ_SECONDS = 3, 10

# The stack makes the table and the key after the check.
_NOT_MADE_YET = dict.fromkeys(("TABLE_NAME", "KEY_ID", "SUBJECT_KEY_ARN"), "not-made-yet")


class CheckedConfiguration:
    """A Lambda handler for the calls ``Create``, ``Update`` and ``Delete`` of CloudFormation.

    It judges the variables in the event, never its own, together with the apps in its layer.

    The resource's id is a hash of the accepted configuration. If CloudFormation takes an update back, it sends the
    earlier configuration, and that still has this hash. The handler accepts it again unseen, even if the function or
    its layer has changed by then: a refusal would leave the stack in UPDATE_ROLLBACK_FAILED.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def __call__(self, event: Mapping[str, Any], context: object) -> None:
        """Answer whether the configuration is usable. Raises the failure of ``send``, and Lambda then repeats the call.

        Every other failure is an answer too. If none came, CloudFormation would wait until its own time limit.
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
    """Return the fault of the configuration, or None. This reads all settings that a function reads at start."""
    try:
        Settings.from_environment(variables)
        PowertoolsTelemetry(variables)
        refuse_two_registrations(variables)
    except ConfigurationError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - a bug needs an answer too
        return f"The configuration could not be checked: {type(error).__name__}"
    return None


class NotTaken(Exception):
    """CloudFormation was not reached, or did not take the answer. The message does not hold the URL."""


def put(url: str, answer: bytes) -> None:
    """Put the answer to CloudFormation's presigned URL. Raises NotTaken.

    The URL is a secret, because anybody with it can answer in this function's place. Lambda logs messages, so it is in
    none.
    """
    # The URL is signed for a request without a content type.
    headers = {"content-type": ""}
    try:
        taken = requests.put(url, answer, headers=headers, timeout=(_REPLY_CONNECT_SECONDS, _REPLY_READ_SECONDS))
    except requests.RequestException as error:
        raise NotTaken(type(error).__name__) from None
    if not taken.ok:
        raise NotTaken(f"HTTP status {taken.status_code}")


def _shortened(reason: str) -> str:
    """Return as much of the reason as fits. In JSON a character takes up to twelve bytes."""
    while len(json.dumps(reason)) > _MOST_REASON_BYTES:
        reason = reason[: len(reason) * 9 // 10]
    return reason
