"""The assumptions of the benchmark and of the cost calculator hold for the product."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

import pytest

from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from tests.bench.budget import BUDGETS, Store
from tests.bench.cost_usage import Assumed
from tests.local.aries import tokens as aries_tokens
from tests.local.aries.tokens import USERS
from tests.support.deployment import GRACE, TABLE, deployed_environment
from tests.support.people import PERSON_SCOPE, code_of, device, listed
from tests.support.world import World, running_world

ASSUMED = Assumed()
# moto's ciphertext has its key's id, a nonce and a tag before the data.
_MOTO_OVERHEAD_BYTES = 36 + 12 + 16


def size_of(row: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size as DynamoDB counts it: names and values; a number takes a byte per two digits, and one more."""
    return sum(len(name) + _size(value) for name, value in row.items())


def _size(value: Mapping[str, Any]) -> int:
    match value:
        case {"S": text}:
            return len(text.encode())
        case {"N": number}:
            return len(number.replace(".", "")) // 2 + 2
        case {"B": sealed}:
            return len(sealed)
        case {"SS": texts}:
            return sum(len(text.encode()) for text in texts)
        case {"L": parts}:
            return 3 + sum(1 + _size(part) for part in parts)
    raise AssertionError(value)


@pytest.mark.parametrize("store", BUDGETS)
def test_every_operation_makes_the_calls_of_the_budget_by_name(store: Store) -> None:
    with running_world(TOKEN_STORE=store) as world:
        assert _calls_by_operation(world) == {
            name: [calls.to_aws(), calls.aries, calls.user] for name, calls in BUDGETS[store].items()
        }


def _calls_by_operation(world: World) -> dict[str, Any]:
    # A warm process has read the Aries client secret already.
    earlier = world.signed_in()
    world.clock.time += GRACE + 1
    assert earlier.refresh().status == 200
    phone = world.phone()

    def made_by(operation: Callable[[], Any]) -> tuple[Any, dict[str, int], int, int]:
        world.aws.made.clear()
        before, asked = world.aries.token_calls, len(world.aries.requests)
        answer = operation()
        made = Counter(call.replace("secrets-manager:", "secretsmanager:") for call in world.aws.made)
        questions = [request for request in world.aries.requests[asked:] if request.endpoint == "users/me"]
        return answer, dict(made), world.aries.token_calls - before, len(questions)

    authorized, *authorize = made_by(phone.authorize)
    returned, *callback = made_by(lambda: phone.callback(phone.approve(authorized)))
    _, *redeem = made_by(lambda: phone.redeem(returned.query["code"]))
    world.clock.time += GRACE + 1
    _, *refresh = made_by(phone.refresh)
    _, *replay = made_by(phone.refresh)
    _, *revoke = made_by(phone.revoke)
    # A warm process has read the key of the subjects already.
    device(world, USERS[1])
    alone = world.phone(scope=PERSON_SCOPE)
    code = code_of(alone)
    _, *named = made_by(lambda: alone.redeem(code))
    # Its process has read the control item.
    listed(alone)
    _, *of_list = made_by(lambda: listed(alone))
    served = world.with_backend()
    served.ask_as_backend()
    _, *backend = made_by(served.ask_as_backend)
    return {
        "authorize": authorize,
        "callback": callback,
        "redeem": redeem,
        "refresh": refresh,
        "replay": replay,
        "revoke": revoke,
        "redeem with its person": named,
        "list sessions": of_list,
        "backend": backend,
    }


def test_a_row_takes_one_write_unit_and_is_of_the_size_that_is_assumed(world: World) -> None:
    sizes = []

    def look(key: str) -> None:
        item = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": key}})["Item"]
        sizes.append(size_of(item))

    # A row that names its person is the largest.
    phone = world.signed_in(scope=PERSON_SCOPE)
    for _ in range(12):
        world.clock.time += GRACE + 1
        # A row is largest while it is leased.
        with world.aws.visited("PutSecretValue", lambda: look(phone.session_id)):
            assert phone.refresh().status == 200
    assert max(sizes) == pytest.approx(ASSUMED.row_bytes, rel=0.1)
    assert max(sizes) <= 1024


def test_a_persons_item_takes_one_write_unit_and_is_of_the_size_that_is_assumed() -> None:
    with running_world(SESSION_LIMIT=str(ASSUMED.session_limit)) as world:
        # With the next session, the item has the most that it usually has.
        for _ in range(ASSUMED.session_limit):
            device(world)
            world.clock.time += 1
        sizes: list[int] = []

        def look() -> None:
            (item,) = (row for row in world.rows() if "joins" in row)
            sizes.append(size_of(item))

        with world.aws.visited("BatchGetItem", look):
            device(world)
        assert sizes == [pytest.approx(ASSUMED.person_bytes, rel=0.02)]
        assert sizes[0] <= 1024


# Bytes of Aries' access token and refresh token: the usual ones, and small and large ones.
TOKENS = {"usual": (1_600, 1_400), "small": (1_200, 400), "large": (2_000, 2_200)}


def access_token(size: int) -> str:
    """Return a JWT of ``size`` bytes: its claims are words and ids, and its signature is random."""
    names = ["account", "market", "order", "user"]
    claims: dict[str, Any] = {
        "iss": "https://app.aries.com",
        "aud": "https://api.aries.com",
        "sub": str(uuid.uuid4()),
        "jti": secrets.token_hex(16),
        "iat": 1_790_000_000,
        "exp": 1_790_003_600,
        "scope": " ".join(f"{name}:information" for name in names),
        "entitlements": [],
    }
    head = encoded({"alg": "RS256", "typ": "at+jwt", "kid": secrets.token_urlsafe(20)})
    signature = secrets.token_urlsafe(256)
    while len(f"{head}.{encoded(claims)}.{signature}") < size:
        claims["entitlements"].append({"account": str(uuid.uuid4()), "role": names[len(claims["entitlements"]) % 4]})
    # The last claim may be too long.
    return f"{head}.{encoded(claims)[: size - len(head) - len(signature) - 2]}.{signature}"


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def refresh_token(size: int) -> str:
    """Return an encrypted JWT of ``size`` bytes, and so random characters."""
    head = encoded({"cty": "JWT", "enc": "A256GCM", "alg": "RSA-OAEP"})
    return f"{head}.{secrets.token_urlsafe(size)}"[:size]


@pytest.fixture
def tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the simulator issue tokens of these sizes. Return the bytes of both tokens."""
    access, refresh = TOKENS[request.param]
    monkeypatch.setattr(aries_tokens, "new_access_token", lambda *_: access_token(access))
    monkeypatch.setattr(aries_tokens, "new_refresh_token", lambda: refresh_token(refresh))
    return access + refresh


def writes_of_a_session() -> dict[str, list[int]]:
    """Return the bytes of the row at each write of a session in the row, by operation.

    DynamoDB bills a write by the larger one of the row before and the row after. A refused write costs as much.
    """
    sizes: dict[str, list[int]] = {}
    with running_world(TOKEN_STORE="row") as world:
        phone, before, operation = world.phone(scope=PERSON_SCOPE), 0, ""

        def size_now() -> int:
            (row,) = (row for row in world.rows() if "status" in row)
            parts = len(row.get("sealed", {"L": []})["L"])
            return size_of(row) + parts * (ASSUMED.seal_overhead_bytes - _MOTO_OVERHEAD_BYTES)

        def look(event_name: str, **_: Any) -> None:
            nonlocal before
            is_write = event_name.endswith(("PutItem", "UpdateItem"))
            # The person's item is another one.
            if is_write and b'"person#' not in world.aws.writes[-1][1]:
                now = size_now()
                sizes.setdefault(operation, []).append(max(before, now))
                before = now

        world.aws.after = look  # type: ignore[method-assign]
        operation = "authorize"
        authorized = phone.authorize()
        operation = "callback"
        code = phone.callback(phone.approve(authorized)).query["code"]
        operation = "redeem"
        assert phone.redeem(code).status == 200
        operation = "refresh"
        for _ in range(12):
            world.clock.time += GRACE + 1
            assert phone.refresh().status == 200
        operation = "replay"
        assert phone.refresh().status == 200
    return sizes


@pytest.mark.parametrize("tokens", ["usual"], indirect=True)
def test_a_row_with_sealed_tokens_is_of_the_size_that_is_assumed(tokens: int) -> None:
    assert tokens == ASSUMED.tokens_bytes
    sizes = writes_of_a_session()
    # A row is largest while it is leased.
    assert max(sizes["refresh"]) == pytest.approx(ASSUMED.sealed_row_bytes, rel=0.03)
    units = {operation: [math.ceil(size / 1024) for size in written] for operation, written in sizes.items()}
    sealed = math.ceil(ASSUMED.sealed_row_bytes / 1024)
    assert units == {
        "authorize": [1],
        # The claim has no tokens yet.
        "callback": [1, sealed],
        "redeem": [sealed],
        "refresh": [sealed] * 24,
        "replay": [sealed],
    }


@pytest.mark.long
@pytest.mark.parametrize(("tokens", "units"), [("small", 3), ("large", 5)], indirect=["tokens"])
def test_tokens_of_other_sizes_cost_a_unit_less_or_more(tokens: int, units: int) -> None:
    assert math.ceil(max(writes_of_a_session()["refresh"]) / 1024) == units


def test_the_functions_log_as_much_as_is_assumed(world: World) -> None:
    environment = deployed_environment()
    world.telemetry = PowertoolsTelemetry(environment)  # type: ignore[assignment]
    handlers = logging.getLogger(environment["POWERTOOLS_SERVICE_NAME"]).handlers
    phone = world.phone(scope=PERSON_SCOPE)

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
    _, named = lines_of(lambda: phone.redeem(returned.query["code"]))
    plain = world.phone()
    code = plain.code()
    _, redeem = lines_of(lambda: plain.redeem(code))
    world.clock.time += GRACE + 1
    _, refresh = lines_of(phone.refresh)
    served = world.with_backend()
    _, backend = lines_of(served.ask_as_backend)
    measured = {
        "authorize": authorize,
        "callback": callback,
        "redeem": redeem,
        "redeem with its person": named,
        "refresh": refresh,
        "backend": backend,
    }
    for operation, size in measured.items():
        assert size == pytest.approx(ASSUMED.log_bytes[operation], rel=0.15), operation
