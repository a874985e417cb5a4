"""The assumptions of the benchmark and of the cost calculator hold for the product."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

import pytest

from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from tests.bench.budget import BUDGET
from tests.bench.cost_usage import Assumed
from tests.support.deployment import GRACE, TABLE, deployed_environment
from tests.support.world import World

ASSUMED = Assumed()


def size_of(row: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size as DynamoDB counts it: names and values; a number takes a byte per two digits, and one more."""
    return sum(len(name) + _size(value) for name, value in row.items())


def _size(value: Mapping[str, Any]) -> int:
    match value:
        case {"S": text}:
            return len(text.encode())
        case {"N": number}:
            return len(number.replace(".", "")) // 2 + 2
        case {"L": parts}:
            return 3 + sum(1 + _size(part) for part in parts)
    raise AssertionError(value)


def test_every_operation_makes_the_calls_of_the_budget_by_name(world: World) -> None:
    # A warm process has read the Aries client secret already.
    earlier = world.signed_in()
    world.clock.time += GRACE + 1
    assert earlier.refresh().status == 200
    phone = world.phone()

    def made_by(operation: Callable[[], Any]) -> tuple[Any, dict[str, int], int]:
        world.aws.made.clear()
        before = world.aries.token_calls
        answer = operation()
        made = Counter(call.replace("secrets-manager:", "secretsmanager:") for call in world.aws.made)
        return answer, dict(made), world.aries.token_calls - before

    authorized, *authorize = made_by(phone.authorize)
    returned, *callback = made_by(lambda: phone.callback(phone.approve(authorized)))
    _, *redeem = made_by(lambda: phone.redeem(returned.query["code"]))
    world.clock.time += GRACE + 1
    _, *refresh = made_by(phone.refresh)
    _, *replay = made_by(phone.refresh)
    _, *revoke = made_by(phone.revoke)
    measured = {
        "authorize": authorize,
        "callback": callback,
        "redeem": redeem,
        "refresh": refresh,
        "replay": replay,
        "revoke": revoke,
    }
    assert measured == {name: [calls.to_aws(), calls.aries] for name, calls in BUDGET.items()}


def test_a_row_takes_one_write_unit_and_is_of_the_size_that_is_assumed(world: World) -> None:
    sizes = []

    def look(key: str) -> None:
        item = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": key}})["Item"]
        sizes.append(size_of(item))

    phone = world.signed_in()
    for _ in range(12):
        world.clock.time += GRACE + 1
        # A row is largest while it is leased.
        with world.aws.visited("PutSecretValue", lambda: look(phone.session_id)):
            assert phone.refresh().status == 200
    assert max(sizes) == pytest.approx(ASSUMED.row_bytes, rel=0.1)
    assert max(sizes) <= 1024


def test_the_functions_log_as_much_as_is_assumed(world: World) -> None:
    environment = deployed_environment()
    world.telemetry = PowertoolsTelemetry(environment)  # type: ignore[assignment]
    handlers = logging.getLogger(environment["POWERTOOLS_SERVICE_NAME"]).handlers
    phone = world.phone()

    def lines_of(operation: Callable[[], Any]) -> tuple[Any, int]:
        written = io.StringIO()
        for handler in handlers:
            assert isinstance(handler, logging.StreamHandler)
            handler.setStream(written)
        with redirect_stdout(written):
            done = operation()
        return done, len(written.getvalue())

    authorized, authorize = lines_of(phone.authorize)
    returned, callback = lines_of(lambda: phone.callback(phone.approve(authorized)))
    _, redeem = lines_of(lambda: phone.redeem(returned.query["code"]))
    world.clock.time += GRACE + 1
    _, refresh = lines_of(phone.refresh)
    measured = {"authorize": authorize, "callback": callback, "redeem": redeem, "refresh": refresh}
    for operation, size in measured.items():
        assert size == pytest.approx(ASSUMED.log_bytes[operation], rel=0.15), operation
