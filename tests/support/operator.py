"""The work of a person on call, and the secrets that this person must never see."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, cast
from unittest import mock

from oauth_broker.secret import session_reference
from tests.support.aws_calls import APPLIED, FAILURES, NOT_APPLIED, ProcessDied
from tests.support.deployment import ARIES_CLIENT_SECRET
from tests.support.lambda_context import Context
from tests.support.world import Phone, World

OPERATOR = "ann@example.com"
# The template's timeout of the function.
OPERATOR_SECONDS = 900
EVERYONE: dict[str, Any] = {"action": "revoke_all", "everyone": True}


def operate(world: World, /, *, via: Any = None, within: float = OPERATOR_SECONDS, **command: Any) -> dict[str, Any]:
    """Invoke the operator function. ``via`` may be its handler in a process of its own."""
    handler = via or world.handler("operator")
    answer = handler({"operator": OPERATOR} | command, Context(within, now=world.clock.now))
    assert json.dumps(answer)
    return cast(dict[str, Any], answer)


def reference(phone: Phone) -> str:
    return session_reference(phone.session_id)


def audited(world: World) -> list[dict[str, Any]]:
    """Return the audit lines, without their request ids."""
    lines = [fields for _, event, fields in world.telemetry.lines if event == "operator_action"]
    assert all(fields["request_id"] for fields in lines)
    return [{name: value for name, value in fields.items() if name != "request_id"} for fields in lines]


def secrets_of(world: World, phones: Iterable[Phone]) -> set[str]:
    """Return all secrets of the phones, of their rows, and of Aries. Their owners alone may see them."""
    found = {ARIES_CLIENT_SECRET}
    for phone in phones:
        found |= {phone.session_id, phone.access_token, phone.refresh_token, phone.aries_state, phone.verifier}
        found |= set(phone.cookies.values()) | {phone.state}
        row = world.row(phone.session_id) or {}
        names = ("code_verifier", "browser_hash", "code_hash", "handle_hash", "previous_hash", "app_code_challenge")
        found |= {row.get(name, "") for name in (*names, "secret_version", "lease_id", "app_state", "redirect_uri")}
    for secret in world.secretsmanager.list_secrets()["SecretList"]:
        text = world.secretsmanager.get_secret_value(SecretId=secret["Name"])["SecretString"]
        found |= {text, secret["Name"]}
        if text.startswith("{"):
            found |= {value for value in json.loads(text).values() if isinstance(value, str) and ":" not in value}
    return {text for text in found if text}


def assert_none_is_seen(world: World, secrets: Iterable[str], *answers: Any) -> None:
    """Check that ``secrets`` are in no log line, no metric and no answer."""
    telemetry = world.telemetry
    seen = json.dumps([telemetry.lines, telemetry.metrics, telemetry.durations, answers])
    for secret in secrets:
        assert json.dumps(secret)[1:-1] not in seen


@contextmanager
def at_call(world: World, number: int, kind: str) -> Iterator[list[str]]:
    """Let the AWS call with this number, from 1 on, be the process' last or fail as ``kind``, one of KINDS.

    Later calls of the same operation fail too, because a repetition would hide a single failure. Yields the calls, the
    first failed one first.
    """
    hit: list[str] = []
    calls = count(1)
    before, after = world.aws.before, world.aws.after

    def watch(event_name: str, **event: Any) -> None:
        is_it = next(calls) == number
        before(event_name, **event)
        if is_it or (event_name in hit and not kind.startswith("dies")):
            hit.append(event_name)
            if kind == "dies_before":
                raise ProcessDied
            if kind in NOT_APPLIED:
                raise NOT_APPLIED[kind]()

    def answer(event_name: str, **event: Any) -> None:
        after(event_name, **event)
        # The event's name has another beginning here.
        if any(name.split(".")[1:] == event_name.split(".")[1:] for name in hit):
            if kind == "dies_after":
                raise ProcessDied
            if kind in APPLIED:
                raise APPLIED[kind]()

    with mock.patch.object(world.aws, "before", watch), mock.patch.object(world.aws, "after", answer):
        yield hit


KINDS = ("dies_before", "dies_after", *FAILURES)
