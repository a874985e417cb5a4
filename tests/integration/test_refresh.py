"""Refreshes through the real handlers of the token endpoint and the refresh endpoint."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from oauth_broker.aries.client import _DEFAULT_EXPIRES_IN
from oauth_broker.oauth.tokens import RefreshToken, secret_name, secret_version
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS
from tests.local.aries import Fault
from tests.support.clock import RunningClock
from tests.support.deployment import ARIES_CLIENT_SECRET, CALLBACK_URI, GRACE, OTHER_CLIENT_ID, PREFIX, SCOPE, TABLE
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but
from tests.support.long_tokens import long_token
from tests.support.world import Answer, Phone, World, assert_unavailable, generation_of, running_world


def assert_refused(answer: Answer, error: str = "invalid_grant") -> None:
    assert answer.status == 400
    assert answer.json["error"] == error
    assert answer.headers["cache-control"] == "no-store"


@pytest.fixture
def phone(world: World) -> Phone:
    """An app past the grace of its sign-in, so that a refresh reaches Aries."""
    return world.refreshable()


def forged(phone: Phone, generation: int = 1) -> str:
    return f"{phone.session_id}.{generation}.{'A' * 43}"


def authentic(world: World, phone: Phone, generation: int) -> str:
    """Return the session's own token of any generation, made with its key."""
    name = secret_name(PREFIX, phone.session_id)
    key = json.loads(world.secretsmanager.get_secret_value(SecretId=name)["SecretString"])["session_key"]
    return RefreshToken.mint(phone.session_id, generation, Secret(key)).text.reveal()


@pytest.mark.parametrize("function", ["token", "refresh"])
def test_a_refresh_gives_new_tokens_of_a_new_generation(world: World, phone: Phone, function: str) -> None:
    before = phone.access_token
    answer = phone.refresh(function=function)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json) == {
        *("access_token", "token_type", "expires_in", "scope"),
        *("refresh_token", "refresh_token_expires_in"),
    }
    assert answer.json["expires_in"] == 3600
    assert answer.json["scope"] == SCOPE
    assert generation_of(phone.refresh_token) == 2
    assert phone.access_token != before
    assert world.aries.core.user(phone.access_token).id


def test_the_refresh_is_aries_fifth_step_to_the_letter(world: World, phone: Phone) -> None:
    phone.refresh()
    (request,) = [r for r in world.aries.requests if (r.body or {}).get("grant_type") == "refresh_token"]
    assert request.body is not None
    assert set(request.body) == {"client_id", "client_secret", "grant_type", "refresh_token", "redirect_uri"}
    assert request.body["redirect_uri"] == CALLBACK_URI
    assert request.headers["content-type"] == "application/json"


def test_the_refresh_endpoint_takes_json_with_or_without_a_grant_type(world: World, phone: Phone) -> None:
    def post(body: str) -> Answer:
        return world.call("refresh", "POST", "/oauth2/refresh", headers={"content-type": "application/json"}, body=body)

    members = {"client_id": phone.client_id, "refresh_token": phone.refresh_token}
    first = post(json.dumps(members))
    assert first.status == 200
    assert post(json.dumps(members | {"grant_type": "refresh_token"})).body == first.body
    assert_refused(post(json.dumps(members | {"grant_type": "password"})), "unsupported_grant_type")
    for body in (
        "",
        "[]",
        "{",
        '{"a":1}',
        '{"client_id":"a","client_id":"b"}',
        '{"a":NaN}',
        '{"a":"\\ud800"}',
        "[" * 100_000,
    ):
        assert_refused(post(body), "invalid_request")


@pytest.mark.parametrize(("function", "path"), [("refresh", "/oauth2/refresh"), ("token", "/v1/oauth2/token")])
def test_json_members_that_are_null_count_as_left_out(world: World, phone: Phone, function: str, path: str) -> None:
    def post(**members: str | None) -> Answer:
        headers = {"content-type": "application/json"}
        return world.call(function, "POST", path, headers=headers, body=json.dumps(members))

    needed = {"client_id": phone.client_id, "grant_type": "refresh_token", "refresh_token": phone.refresh_token}
    absent = dict.fromkeys(("scope", "client_secret", "client_assertion", "code", "redirect_uri", "anything"))
    for name in ("client_id", "refresh_token"):
        assert post(**(needed | absent | {name: None})).body.count('"error"') == 1
    assert world.aries.refresh_calls == 0
    assert post(**needed, **absent).status == 200
    assert world.aries.refresh_calls == 1


@pytest.mark.parametrize("token", ["x", "a.1.b", "a" * 43 + ".0." + "b" * 43, "a" * 43 + ".01." + "b" * 43, "ä" * 43])
def test_a_malformed_token_is_refused_without_any_call(world: World, token: str) -> None:
    assert_refused(world.phone().refresh(token))
    assert world.aws.made == []


def test_an_unknown_token_is_refused_without_a_look_at_any_secret(world: World) -> None:
    assert_refused(world.phone().refresh("a" * 43 + ".1." + "b" * 43))
    assert world.aws.made == ["dynamodb:UpdateItem"]


def test_another_clients_token_is_refused_and_the_session_lives(world: World, phone: Phone) -> None:
    assert_refused(phone.refresh(client_id=OTHER_CLIENT_ID))
    assert world.aries.refresh_calls == 0
    assert phone.refresh().status == 200


def test_a_refresh_soon_after_the_last_gets_the_same_tokens_and_aries_is_not_called(world: World) -> None:
    phone = world.signed_in()
    before = phone.access_token, phone.refresh_token
    world.clock.time += GRACE - 1
    answer = phone.refresh()
    assert (phone.access_token, phone.refresh_token) == before
    assert answer.json["expires_in"] == 3600 - GRACE + 1
    assert world.aries.refresh_calls == 0


def test_the_grace_starts_when_the_code_is_redeemed(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    world.clock.time += 30
    first = phone.redeem(code).json
    world.clock.time += GRACE - 1
    assert phone.refresh().json["access_token"] == first["access_token"]
    world.clock.time += 1
    assert phone.refresh().json["access_token"] != first["access_token"]


def test_a_previous_token_within_the_grace_period_gets_the_identical_answer(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    answer = phone.refresh(first)
    assert phone.refresh(first) == answer
    assert phone.refresh() == answer
    assert world.aries.refresh_calls == 1
    assert world.telemetry.counted("RefreshesReplayed") == 2


def test_a_late_retry_gets_a_fresh_answer_and_supersedes_the_lost_one(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    lost = phone.refresh(first).json["refresh_token"]
    world.clock.time += GRACE + 1
    late = phone.refresh(first)
    assert late.status == 200
    assert generation_of(late.json["refresh_token"]) == 3
    assert world.aries.refresh_calls == 2
    # The holder of the lost answer is not the app.
    assert_refused(phone.refresh(lost))
    assert phone.row()["status"] == "dead"
    assert world.session_secrets() == []
    assert world.telemetry.counted("ReuseDetected") == 1


def test_a_late_retry_may_be_repeated_however_often_its_answer_is_lost(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(5):
        assert phone.refresh(first).status == 200
        world.clock.time += GRACE + 1
    assert phone.refresh().status == 200


def test_a_retry_that_came_within_the_grace_and_was_held_up_supersedes_nothing(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    answer = phone.refresh(first)
    world.clock.time += GRACE - 2
    # The request reaches the table after the grace. By then its app has an answer from another retry.
    with world.aws.visited("UpdateItem", lambda: world.clock.sleep(5)):
        assert phone.refresh(first).json["refresh_token"] == answer.json["refresh_token"]
    assert world.aries.refresh_calls == 1
    assert phone.refresh(answer.json["refresh_token"]).status == 200


def test_a_previous_token_is_reuse_after_the_grace_if_late_retries_are_not_allowed() -> None:
    with running_world(LATE_RETRY="revoke") as world:
        phone = world.refreshable()
        first = phone.refresh_token
        answer = phone.refresh(first)
        assert phone.refresh(first) == answer
        world.clock.time += GRACE + 1
        assert_refused(phone.refresh(first))
        assert phone.row()["status"] == "dead"


@pytest.mark.parametrize(("late_retry", "longest"), [("revoke", 30), ("allow", LEASE_SECONDS)])
def test_if_late_retries_end_the_session_a_waiting_app_is_called_back_within_the_grace(
    late_retry: str, longest: int
) -> None:
    with running_world(LATE_RETRY=late_retry, REFRESH_GRACE_SECONDS="30") as world:
        phone = world.refreshable()
        world.aries.faults.append(Fault("server_error"))
        assert_unavailable(phone.refresh())
        # The lease is kept: to this request, another worker may commit at any moment.
        held = phone.refresh()
        assert_unavailable(held)
        assert longest - 10 < int(held.headers["retry-after"]) <= longest


def test_an_authentic_token_of_an_older_generation_ends_the_session(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    assert_refused(phone.refresh(first))
    assert phone.row()["status"] == "dead"
    assert world.session_secrets() == []
    assert world.telemetry.counted("ReuseDetected") == 1
    assert_refused(phone.refresh())
    assert world.aries.refresh_calls == 2


def test_reuse_is_found_within_the_grace_too(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    phone.refresh()
    world.clock.time += GRACE + 1
    phone.refresh()
    assert_refused(phone.refresh(first))
    assert phone.row()["status"] == "dead"


def test_an_app_its_widget_and_its_watch_with_a_copy_of_one_token_each_are_signed_out(
    world: World, phone: Phone
) -> None:
    copies = dict.fromkeys(("app", "widget", "watch"), phone.refresh_token)
    for holder in copies:
        copies[holder] = phone.refresh(copies[holder]).json["refresh_token"]
        world.clock.time += GRACE + 1
    assert_refused(phone.refresh(copies["app"]))
    assert phone.row()["status"] == "dead"
    assert_refused(phone.refresh(copies["watch"]))


def test_an_app_and_its_extensions_that_share_one_copy_of_the_token_stay_signed_in(world: World, phone: Phone) -> None:
    shared = phone.refresh_token
    for _ in ("app", "widget", "app", "share sheet", "widget", "app"):
        shared = phone.refresh(shared).json["refresh_token"]
        world.clock.time += GRACE + 1
    assert world.telemetry.counted("ReuseDetected") == 0


def test_a_token_of_a_generation_to_come_means_a_restored_table_and_ends_nothing(world: World, phone: Phone) -> None:
    assert_unavailable(phone.refresh(authentic(world, phone, 7)))
    assert world.telemetry.counted("RestoredFromBackup") == 1
    assert phone.refresh().status == 200


@pytest.mark.parametrize("generation", [1, 2, 999_999_999])
def test_a_forged_token_is_refused_and_the_session_lives(world: World, phone: Phone, generation: int) -> None:
    assert_refused(phone.refresh(forged(phone, generation)))
    assert phone.refresh().status == 200


def test_many_refreshes_at_once_make_one_call_to_aries_and_get_one_answer() -> None:
    with running_world(clock=RunningClock()) as world:
        phone = world.refreshable()
        token = phone.refresh_token
        handlers = [world.make_handler("token") for _ in range(4)]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda n: phone.refresh(token, via=handlers[n % 4]), range(50)))
        assert {answer.status for answer in answers} == {200}
        assert len({(a.json["access_token"], a.json["refresh_token"]) for a in answers}) == 1
        assert world.aries.refresh_calls == 1


def test_an_upstream_invalid_grant_ends_the_session_and_aries_is_not_asked_again(world: World, phone: Phone) -> None:
    world.aries.core.revoke_family(world.aries.core.families()[0])
    assert_refused(phone.refresh())
    assert phone.row()["status"] == "dead"
    assert world.session_secrets() == []
    for _ in range(3):
        assert_refused(phone.refresh())
    assert world.aries.refresh_calls == 1


@pytest.mark.parametrize("status", [400, 401])
def test_an_upstream_invalid_client_keeps_every_session_and_alarms(world: World, phone: Phone, status: int) -> None:
    world.aries.faults.append(Fault("invalid_client", status=status))
    assert_unavailable(phone.refresh())
    assert world.telemetry.counted("ProviderMisconfigured") == 1
    # The secret is unchanged, so the refusal leads to no second try. The next request waits for Aries, not for a lease.
    assert world.aries.refresh_calls == 1
    world.clock.time += 10
    assert phone.refresh().status == 200


def test_a_client_secret_that_was_rotated_is_read_again_and_the_refresh_succeeds(world: World, phone: Phone) -> None:
    phone.refresh()
    world.clock.time += GRACE + 1
    world.aries.core.set_client_secrets("rotated-secret")
    world.secretsmanager.put_secret_value(SecretId="aries/client-secret", SecretString="rotated-secret")
    assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 3


@pytest.mark.parametrize("stored", ['{"client_secret": "%s"}', "  %s\n", "%s"])
def test_the_client_secret_may_be_stored_as_text_or_as_json(world: World, phone: Phone, stored: str) -> None:
    world.secretsmanager.put_secret_value(SecretId="aries/client-secret", SecretString=stored % ARIES_CLIENT_SECRET)
    assert phone.refresh().status == 200


@pytest.mark.parametrize("stored", ["{", "{}", '{"client_secret": 1}', '{"client_secret": ""}'])
def test_a_client_secret_that_cannot_be_understood_loses_nothing(world: World, phone: Phone, stored: str) -> None:
    world.secretsmanager.put_secret_value(SecretId="aries/client-secret", SecretString=stored)
    assert_unavailable(phone.refresh())
    world.secretsmanager.put_secret_value(SecretId="aries/client-secret", SecretString=ARIES_CLIENT_SECRET)
    assert phone.refresh().status == 200


def test_the_old_refresh_token_stays_if_aries_omits_a_new_one() -> None:
    with running_world(rotation="none") as world:
        phone = world.refreshable()
        for generation in range(2, 5):
            assert phone.refresh().status == 200
            assert generation_of(phone.refresh_token) == generation
            world.clock.time += GRACE + 1


@pytest.mark.parametrize(
    ("fault", "expires_in"),
    [
        (Fault("members", omit=("expires_in",)), _DEFAULT_EXPIRES_IN),
        (Fault("members", members={"expires_in": "soon"}), _DEFAULT_EXPIRES_IN),
        (Fault("members", members={"expires_in": "300"}), 300),
        (Fault("members", members={"expires_in": "3600"}), 3600),
        (Fault("members", members={"expires_in": 0}), 1),
        (Fault("members", members={"expires_in": -1}), 1),
        (Fault("members", members={"expires_in": True}), _DEFAULT_EXPIRES_IN),
        (Fault("members", members={"expires_in": None}), _DEFAULT_EXPIRES_IN),
        (Fault("members", raw_members={"expires_in": "1e400"}), _DEFAULT_EXPIRES_IN),
        (Fault("members", raw_members={"expires_in": "1800.0"}), 1800),
        (Fault("members", members={"expires_in": 120}), 120),
    ],
)
def test_an_odd_lifetime_becomes_a_safe_one(world: World, phone: Phone, fault: Fault, expires_in: int) -> None:
    world.aries.faults.append(fault)
    assert phone.refresh().json["expires_in"] == expires_in


@pytest.mark.parametrize("status", [201, 202, 203])
def test_tokens_that_aries_sends_with_another_success_are_kept_and_the_session_goes_on(
    world: World, phone: Phone, status: int
) -> None:
    world.aries.faults.append(Fault("members", status=status))
    answer = phone.refresh()
    assert (answer.status, answer.json["expires_in"]) == (200, 3600)
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 2
    assert world.telemetry.counted("ProviderErrors") == 0


def test_a_replay_of_an_access_token_that_is_over_is_put_off_until_the_grace_is(world: World, phone: Phone) -> None:
    world.aries.faults.append(Fault("members", members={"expires_in": 20}))
    token = phone.refresh_token
    phone.refresh()
    world.clock.time += 30
    answer = phone.refresh(token)
    assert_unavailable(answer)
    world.clock.time += int(answer.headers["retry-after"])
    assert phone.refresh(token).status == 200


@pytest.mark.parametrize("scope", [SCOPE + " market:information", "market:information", "account", "admin", "a  b"])
def test_a_wider_scope_than_the_granted_one_is_refused_and_aries_is_not_called(
    world: World, phone: Phone, scope: str
) -> None:
    assert_refused(phone.refresh(scope=scope), "invalid_scope")
    assert world.aries.refresh_calls == 0
    assert phone.refresh().status == 200


def test_the_granted_scope_may_be_named_in_any_order(world: World, phone: Phone) -> None:
    assert phone.refresh(scope=" ".join(reversed(SCOPE.split()))).status == 200


def test_a_scope_that_aries_narrows_later_is_told_to_the_app_and_the_session_lives(world: World, phone: Phone) -> None:
    world.aries.faults.append(Fault("members", members={"scope": "account:information"}))
    assert phone.refresh().json["scope"] == "account:information"
    world.clock.time += GRACE + 1
    assert phone.refresh().json["scope"] == SCOPE


@pytest.mark.parametrize("function", ["token", "refresh"])
def test_the_scope_that_aries_narrowed_may_be_named_at_every_later_refresh(
    world: World, phone: Phone, function: str
) -> None:
    world.aries.faults.append(Fault("members", members={"scope": "account:information"}))
    told = phone.refresh(function=function).json["scope"]
    assert told == "account:information"
    # Within the grace, after it, and once Aries grants the full scope again.
    for later in (0, GRACE + 1, GRACE + 1):
        world.clock.time += later
        assert phone.refresh(function=function, scope=told).status == 200
    # The answer names the token's scope, not the requested one (RFC 6749 section 5.1).
    assert phone.refresh(function=function, scope=told).json["scope"] == SCOPE
    assert world.aries.refresh_calls == 3


def test_a_narrower_scope_than_the_granted_one_costs_one_write_more_and_no_second_call_to_aries(
    world: World, phone: Phone
) -> None:
    world.aws.made.clear()
    assert phone.refresh(scope="order:execution").status == 200
    assert world.aws.made.count("dynamodb:UpdateItem") == 3
    assert world.aries.refresh_calls == 1


def test_a_scope_that_aries_tells_in_another_order_is_told_sorted(world: World, phone: Phone) -> None:
    world.aries.faults.append(Fault("members", members={"scope": " ".join(reversed(SCOPE.split()))}))
    assert phone.refresh().json["scope"] == SCOPE


@pytest.mark.long
def test_refreshing_never_moves_the_absolute_end_of_a_session(world: World, phone: Phone) -> None:
    end = int(phone.row()["expires_at"])
    while world.clock.now() + 86_400 < end:
        world.clock.time += 86_400
        assert phone.refresh().status == 200
        assert int(phone.row()["expires_at"]) == end
    world.clock.time = end
    assert_refused(phone.refresh())


# Faults of Aries that leave it unknown whether Aries processed the request.
AMBIGUOUS = [
    Fault("server_error"),
    Fault("server_error", status=500),
    Fault("server_error", status=502),
    Fault("html"),
    Fault("json_array"),
    Fault("duplicate_keys"),
    Fault("nan"),
    Fault("long_number"),
    Fault("deep_nesting"),
    Fault("large_body"),
    Fault("gzip_bomb"),
    Fault("redirect"),
    Fault("reset"),
    Fault("close"),
    Fault("truncated"),
    Fault("unknown_error"),
    Fault("members", members={"access_token": None}),
    Fault("members", members={"access_token": "with space"}),
]


@pytest.mark.parametrize("fault", long_but(AMBIGUOUS[::3], AMBIGUOUS), ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_after_an_answer_that_says_nothing_the_lease_is_kept_and_nothing_is_lost(fault: Fault) -> None:
    # This Aries does not rotate, so a request processed without an answer can be repeated.
    with running_world(rotation="same") as world:
        phone = world.refreshable()
        before = phone.row()
        world.aries.faults.append(fault)
        answer = phone.refresh()
        assert_unavailable(answer)
        assert int(answer.headers["retry-after"]) <= LEASE_SECONDS
        # A second request does not overlap with the first one at Aries.
        assert_unavailable(phone.refresh())
        assert world.aries.refresh_calls == 1
        assert world.aries.trap_calls == 0
        assert phone.row()["secret_version"] == before["secret_version"]
        world.clock.time += LEASE_SECONDS
        assert phone.refresh().status == 200


@pytest.mark.parametrize("fault", [Fault("too_many_requests")], ids=lambda fault: fault.kind)
def test_after_a_definite_refusal_no_lease_is_waited_for(world: World, phone: Phone, fault: Fault) -> None:
    world.aries.faults.append(fault)
    began = world.clock.now()
    assert phone.refresh().status == 200
    assert world.clock.now() - began < LEASE_MARGIN_SECONDS
    assert world.aries.refresh_calls == 2


def test_while_aries_is_down_sessions_are_kept_and_go_on_at_once_when_it_is_back(world: World, phone: Phone) -> None:
    world.aries.stop()
    assert_unavailable(phone.refresh())
    world.aries.start()
    assert phone.refresh().status == 200


def test_a_lost_reply_of_an_aries_that_rotates_strictly_is_the_one_window_and_ends_cleanly(
    world: World, phone: Phone
) -> None:
    world.aries.faults.append(Fault("close", when="after"))
    assert_unavailable(phone.refresh())
    world.clock.time += LEASE_SECONDS
    assert_refused(phone.refresh())
    assert phone.row()["status"] == "dead"


def test_an_answer_that_a_dead_worker_stored_is_rolled_forward(world: World, phone: Phone) -> None:
    token = phone.refresh_token
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    assert_unavailable(phone.refresh(token))
    world.clock.time += LEASE_SECONDS
    answer = phone.refresh(token)
    assert answer.status == 200
    assert generation_of(phone.refresh_token) == 2
    assert world.aries.refresh_calls == 1
    assert world.telemetry.counted("RollForwards") == 1
    assert phone.row()["secret_version"] == secret_version(phone.session_id, 1)


def test_every_fence_since_the_last_commit_is_looked_at(world: World, phone: Phone) -> None:
    token = phone.refresh_token
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    world.clock.time += LEASE_SECONDS
    # A second worker dies before its look.
    with world.aws.dying_at("GetSecretValue"):
        phone.refresh()
    world.clock.time += LEASE_SECONDS
    assert phone.refresh(token).status == 200
    assert world.aries.refresh_calls == 1


def test_a_stored_answer_that_cannot_be_read_yet_is_waited_for(world: World, phone: Phone) -> None:
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    world.clock.time += LEASE_SECONDS
    with world.aws.failing("GetSecretValue", "not_found", times=3):
        assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 1


def test_a_worker_that_died_before_it_asked_aries_costs_only_the_wait(world: World, phone: Phone) -> None:
    with world.aws.dying_at("GetSecretValue"):
        phone.refresh()
    assert_unavailable(phone.refresh())
    world.clock.time += LEASE_SECONDS
    assert phone.refresh().status == 200


def test_the_row_carries_an_answer_that_secrets_manager_refuses_and_heals(world: World, phone: Phone) -> None:
    token = phone.refresh_token
    with world.aws.failing("PutSecretValue", "throttled"):
        answer = phone.refresh(token)
        assert answer.status == 200
        assert "escrow" in phone.row()
        assert phone.refresh(token).json["refresh_token"] == answer.json["refresh_token"]
    assert world.telemetry.counted("Escrowed") == 1
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert "escrow" not in phone.row()
    assert world.aries.refresh_calls == 2


def test_an_escrow_can_be_followed_by_another(world: World, phone: Phone) -> None:
    with world.aws.failing("PutSecretValue", "throttled"):
        for _ in range(3):
            assert phone.refresh().status == 200
            world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 4


def test_a_long_answer_is_sealed_in_parts(world: World, phone: Phone) -> None:
    long = long_token(12_000)
    world.aries.faults.append(Fault("members", members={"access_token": long}))
    token = phone.refresh_token
    with world.aws.failing("PutSecretValue", "throttled"):
        assert phone.refresh().json["access_token"] == long
    assert len(phone.row()["escrow"]) > 2
    assert phone.refresh(token).json["access_token"] == long


def test_a_sealed_answer_opens_for_no_other_session(world: World, phone: Phone) -> None:
    with world.aws.failing("PutSecretValue", "throttled"):
        phone.refresh()
    other = world.signed_in()
    escrow = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": phone.session_id}})["Item"]["escrow"]
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": other.session_id}},
        UpdateExpression="SET escrow = :e",
        ExpressionAttributeValues={":e": escrow},
    )
    assert_unavailable(other.refresh())


def test_waiting_behind_a_lease_ends_with_the_winners_answer(world: World, phone: Phone) -> None:
    token, answers = phone.refresh_token, []
    with world.aws.visited("PutSecretValue", lambda: answers.append(phone.refresh(token, seconds=25))):
        first = phone.refresh(token)
    assert first.status == 200
    # The second request waits inside the first one, so the first cannot finish. The second gives up in time.
    assert_unavailable(answers[0])
    assert phone.refresh(token).json["refresh_token"] == first.json["refresh_token"]
    assert world.aries.refresh_calls == 1


@pytest.mark.parametrize("intruder", ["other_client", "forged"])
def test_nobody_but_a_holder_may_wait_behind_a_lease(world: World, phone: Phone, intruder: str) -> None:
    token, answers = phone.refresh_token, []

    def intrude() -> None:
        started = world.clock.now()
        if intruder == "forged":
            answers.append(phone.refresh(forged(phone)))
        else:
            answers.append(phone.refresh(token, client_id=OTHER_CLIENT_ID))
        assert world.clock.now() == started

    with world.aws.visited("PutSecretValue", intrude):
        assert phone.refresh(token).status == 200
    assert_refused(answers[0])


def test_a_superseded_token_behind_a_lease_ends_the_session_and_the_worker_gets_nothing(
    world: World, phone: Phone
) -> None:
    first = phone.refresh_token
    phone.refresh()
    world.clock.time += GRACE + 1
    phone.refresh()
    world.clock.time += GRACE + 1
    answers: list[Answer] = []
    newest = phone.refresh_token
    with world.aws.visited("PutSecretValue", lambda: answers.append(phone.refresh(first))):
        assert_refused(phone.refresh(newest))
    assert_refused(answers[0])
    assert phone.row()["status"] == "dead"


@pytest.mark.parametrize("operation", ["GetSecretValue", "PutSecretValue"])
def test_a_revocation_while_a_refresh_is_under_way_wins(world: World, phone: Phone, operation: str) -> None:
    with world.aws.visited(operation, phone.revoke):
        assert_refused(phone.refresh())
    assert phone.row()["status"] == "revoked"
    assert world.session_secrets() == []


def test_a_worker_with_too_little_time_left_takes_no_lease(world: World, phone: Phone) -> None:
    assert_unavailable(phone.refresh(seconds=15))
    assert "lease_until" not in phone.row()
    assert phone.refresh().status == 200


@pytest.mark.parametrize("skip", [0, 1])
def test_the_sdk_meeting_its_own_lease_or_commit_goes_on_and_rotates_once(
    world: World, phone: Phone, skip: int
) -> None:
    with world.aws.answer_lost_once("UpdateItem", skip=skip):
        assert phone.refresh().status == 200
    assert generation_of(phone.refresh_token) == 2
    assert phone.row()["generation"] == "2"
    assert world.aries.refresh_calls == 1


def test_the_sdk_meeting_its_own_version_goes_on(world: World, phone: Phone) -> None:
    with world.aws.answer_lost_once("PutSecretValue"):
        assert phone.refresh().status == 200


def test_a_commit_that_fails_for_a_moment_is_repeated(world: World, phone: Phone) -> None:
    def then_fail() -> None:
        failing = world.aws.failing("UpdateItem", "throttled", times=2)
        failing.__enter__()

    with world.aws.visited("PutSecretValue", then_fail):
        assert phone.refresh().status == 200


def test_the_app_does_not_wait_if_secrets_manager_refuses_for_good(world: World, phone: Phone) -> None:
    started = world.clock.now()
    with world.aws.failing("PutSecretValue", "access_denied"):
        assert phone.refresh().status == 200
    assert world.clock.now() == started
    world.clock.time += GRACE + 1
    started = world.clock.now()
    with world.aws.failing("PutSecretValue", "throttled"):
        assert phone.refresh().status == 200
    assert world.clock.now() - started < 8


def test_an_answer_is_not_lost_to_one_failure_of_the_key(world: World, phone: Phone) -> None:
    with world.aws.failing("PutSecretValue", "access_denied"), world.aws.failing("Encrypt", "throttled", times=3):
        assert phone.refresh().status == 200
    assert "escrow" in phone.row()


@pytest.mark.long
def test_an_outage_leaves_nothing_behind_that_later_refreshes_pay_for(world: World, phone: Phone) -> None:
    # One worker dies and leaves a fence to look at. Aries then refuses for a long time.
    with world.aws.dying_at("GetSecretValue"):
        phone.refresh()
    world.clock.time += LEASE_SECONDS
    for _ in range(20):
        world.aries.faults.append(Fault("too_many_requests", seconds=20))
        assert_unavailable(phone.refresh())
        world.clock.time += 20
    row = phone.row()
    assert int(row["fence"]) - int(row["committed_fence"]) == 1
    assert phone.refresh().status == 200


def test_a_stored_answer_whose_access_token_is_over_is_renewed_and_not_handed_out(world: World, phone: Phone) -> None:
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    world.clock.time += 2 * 60 * 60
    answer = phone.refresh()
    assert answer.status == 200
    assert answer.json["expires_in"] == 3600
    assert world.aries.refresh_calls == 2


def test_a_stored_answer_that_aries_refuses_as_well_ends_the_session(world: World, phone: Phone) -> None:
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    world.aries.core.revoke_family(world.aries.core.families()[0])
    world.clock.time += 2 * 60 * 60
    assert_refused(phone.refresh())
    assert phone.row()["status"] == "dead"


def test_a_theft_alarms_though_the_answer_to_ending_the_session_was_lost(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    with world.aws.answer_lost_once("UpdateItem", skip=1):
        assert_refused(phone.refresh(first))
    assert world.telemetry.counted("ReuseDetected") == 1
    assert world.session_secrets() == []


@pytest.mark.parametrize(
    "members", [{"token_type": "DPoP"}, {"token_type": None}, {"refresh_token": 7}, {"refresh_token": ""}, {"scope": 7}]
)
def test_tokens_that_aries_has_rotated_are_not_thrown_away_for_an_oddity(
    world: World, phone: Phone, members: dict[str, object]
) -> None:
    world.aries.faults.append(Fault("members", members=members))
    assert phone.refresh().status == 200


def test_aries_own_words_reach_no_log(world: World, phone: Phone) -> None:
    world.aries.faults.append(Fault("unknown_error", status=401, error="words-of-aries"))
    assert_unavailable(phone.refresh())
    assert "words-of-aries" not in str(world.telemetry)


def test_a_client_secret_that_cannot_be_read_again_still_alarms(world: World, phone: Phone) -> None:
    phone.refresh()
    world.clock.time += GRACE + 1
    world.aries.faults.append(Fault("invalid_client"))
    world.secretsmanager.delete_secret(SecretId="aries/client-secret", ForceDeleteWithoutRecovery=True)
    assert_unavailable(phone.refresh())
    assert world.telemetry.counted("ProviderMisconfigured") == 1


def test_a_client_secret_stored_as_binary_loses_nothing(world: World, phone: Phone) -> None:
    world.secretsmanager.put_secret_value(SecretId="aries/client-secret", SecretBinary=b"binary")
    assert_unavailable(phone.refresh())
    assert "lease_until" not in phone.row()


def test_users_of_one_warm_process_get_nothing_of_each_other(world: World) -> None:
    phones = [world.refreshable() for _ in range(3)]
    for phone in phones:
        assert phone.refresh().status == 200
    users = [(phone.access_token, phone.refresh_token) for phone in phones]
    assert len(set(users)) == 3
    for phone, (access_token, refresh_token) in zip(phones, users, strict=True):
        answer = phone.refresh()
        assert (answer.json["access_token"], answer.json["refresh_token"]) == (access_token, refresh_token)
    families = {world.aries.core.family_of(access_token) for access_token, _ in users}
    assert len(families) == 3


def test_aries_never_sees_two_refreshes_of_one_session_at_once(world: World, phone: Phone) -> None:
    for _ in range(3):
        phone.refresh()
        world.clock.time += GRACE + 1
    assert world.aries.max_in_flight() == 1
