"""``POST /backend/{client_id}/token``: access tokens for the backend of an app, and attempts to get others'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_broker.oauth.tokens import BackendHandle
from oauth_broker.secret import Secret
from tests.local.aries import Fault
from tests.support.deployment import APPS, BACKEND_CLIENT_ID, CLIENT_ID, GRACE, OTHER_CLIENT_ID, SCOPE
from tests.support.functions import BACKEND_PATH, CALLER, http_event
from tests.support.lambda_context import Context
from tests.support.row_writer import RowWriter
from tests.support.world import Answer, Phone, World, running_world

SIGN_IN_REQUIRED = {
    "error": "sign_in_required",
    "error_description": "The session has ended, or cannot be renewed. The user must sign in again.",
}
# Another app with a backend, so that the right to its path is worth something.
RIVAL = "trader-rival"
RIVAL_URI = "com.example.rival:/callback"
WITH_RIVAL = json.dumps(
    APPS | {RIVAL: {"redirect_uris": [RIVAL_URI], "scopes": SCOPE.split(), "backend": True, "idle_days": 1}}
)


# What no store of tokens can change is tried with one of them.
ONE_STORE = pytest.mark.parametrize("world", ["secrets"], indirect=True)


@pytest.fixture(params=["secrets", "row"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_world(TOKEN_STORE=request.param, APPS=WITH_RIVAL) as world:
        yield world


def rival(world: World) -> Phone:
    return world.with_backend(client_id=RIVAL, redirect_uri=RIVAL_URI)


def ask_rival(phone: Phone, **members: Any) -> Answer:
    return phone.world.backend({"backend_handle": phone.backend_handle} | members, path=f"/backend/{RIVAL}/token")


def near_its_end(phone: Phone, seconds: int = 59) -> None:
    """Let the time pass until this much of the access token is left."""
    phone.world.clock.time = phone.world.tokens(phone.session_id).access_expires_at - seconds


def refused(answer: Answer) -> dict[str, Any]:
    assert answer.status == 400
    return answer.failure


class TestTheHandle:
    def test_an_app_with_a_backend_gets_the_same_one_with_every_answer(self, world: World) -> None:
        phone = world.with_backend()
        first = phone.backend_handle
        assert phone.refresh().json["backend_handle"] == first
        world.clock.time += GRACE + 1
        assert phone.refresh().json["backend_handle"] == first
        key = world.tokens(phone.session_id).session_key
        assert first == BackendHandle.mint(phone.session_id, key).text.reveal()

    def test_another_app_gets_none(self, world: World) -> None:
        phone = world.signed_in()
        assert "backend_handle" not in phone.refresh().json

    def test_it_is_no_refresh_token_and_no_code(self, world: World) -> None:
        phone = world.with_backend()
        assert phone.redeem(phone.backend_handle).json["error"] == "invalid_grant"
        assert phone.refresh(phone.backend_handle).json["error"] == "invalid_grant"
        assert phone.revoke(phone.backend_handle).status == 200
        assert phone.ask_as_backend().status == 200


class TestAnAccessToken:
    def test_it_is_the_apps_own_while_it_lives_long_enough(self, world: World) -> None:
        phone = world.with_backend()
        answer = phone.ask_as_backend(min_seconds=300, scope="order:execution")
        assert answer.status == 200
        assert answer.json.keys() == {"access_token", "expires_in", "scope"}
        assert answer.json["access_token"] == phone.access_token
        assert answer.json["scope"] == SCOPE
        assert answer.headers["cache-control"] == "no-store"
        assert world.aries.refresh_calls == 0

    @pytest.mark.parametrize("seconds", [60, 299, 300])
    def test_it_is_renewed_if_less_than_the_asked_time_is_left(self, world: World, seconds: int) -> None:
        phone = world.with_backend()
        near_its_end(phone, seconds - 1)
        answer = phone.ask_as_backend(min_seconds=seconds)
        assert answer.json["access_token"] != phone.access_token
        assert answer.json["expires_in"] > 300
        assert world.aries.refresh_calls == 1
        assert phone.ask_as_backend(min_seconds=seconds).json == answer.json
        assert world.aries.refresh_calls == 1

    def test_sixty_seconds_are_enough_if_the_backend_asks_for_none(self, world: World) -> None:
        phone = world.with_backend()
        near_its_end(phone, 60)
        assert phone.ask_as_backend(min_seconds=None).json["access_token"] == phone.access_token
        near_its_end(phone, 59)
        assert phone.ask_as_backend().json["access_token"] != phone.access_token

    def test_the_app_never_notices(self, world: World) -> None:
        phone = world.with_backend()
        for _ in range(3):
            near_its_end(phone)
            assert phone.ask_as_backend().status == 200
        token = phone.refresh_token
        assert phone.refresh().status == 200
        assert world.aries.refresh_calls == 4
        # The rotation began the app's grace.
        assert phone.refresh(token).status == 200
        assert world.telemetry.counted("ReuseDetected") == 0

    def test_after_a_mass_sign_out_or_a_sign_out_there_is_none(self, world: World) -> None:
        phone = world.with_backend()
        assert phone.ask_as_backend().status == 200
        phone.revoke()
        assert refused(phone.ask_as_backend()) == SIGN_IN_REQUIRED

    def test_the_log_names_the_caller_the_app_and_the_session_and_no_secret(self, world: World) -> None:
        phone = world.with_backend()
        world.telemetry.lines.clear()
        phone.ask_as_backend()
        ((_, event, fields),) = world.telemetry.lines
        assert event == "backend_token_served"
        assert (fields["caller"], fields["client_id"]) == (CALLER, BACKEND_CLIENT_ID)
        assert phone.session_id not in json.dumps(fields)

    def test_a_refusal_is_logged_with_its_caller_and_its_reason(self, world: World) -> None:
        phone = world.with_backend()
        phone.revoke()
        world.telemetry.lines.clear()
        phone.ask_as_backend()
        ((_, event, fields),) = world.telemetry.lines
        assert (event, fields["error"], fields["caller"]) == ("refused", "sign_in_required", CALLER)
        assert fields["reason"] == "session_ended"


class TestTemporaryFailures:
    def test_aries_that_is_down_costs_nothing_while_the_token_lives(self, world: World) -> None:
        phone = world.with_backend()
        near_its_end(phone)
        world.aries.faults.append(Fault("server_error"))
        assert phone.ask_as_backend().json["access_token"] == phone.access_token

    def test_a_failure_is_json_with_a_time_to_come_back(self, world: World) -> None:
        phone = world.with_backend()
        with world.aws.failing("GetItem", "throttled"):
            answer = phone.ask_as_backend()
        assert answer.status == 503
        assert answer.failure["error"] == "temporarily_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert phone.ask_as_backend().status == 200

    def test_two_refused_sessions_let_backends_leave_aries_alone_and_apps_go_on(self, world: World) -> None:
        app, phones = world.signed_in(), [world.with_backend() for _ in range(5)]
        while phones[0].row()["reference"][0] == phones[1].row()["reference"][0]:
            # The two would share a place in the control item.
            phones[1] = world.with_backend()
        near_its_end(phones[1], -1)
        world.aries.faults.append(Fault("too_many_requests", times=3, seconds=60))
        calls = world.aries.token_calls
        for phone in phones[:2]:
            assert phone.ask_as_backend().status == 503
        world.clock.time += 6
        # One backend finds out whether Aries is well again, and the others wait.
        assert phones[2].ask_as_backend().status == 503
        assert world.aries.token_calls == calls + 3
        for phone in phones[3:]:
            answer = phone.ask_as_backend()
            assert (answer.status, answer.failure["error"]) == (503, "temporarily_unavailable")
            assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert world.aries.token_calls == calls + 3
        # Aries serves the app, which ends no pause of the backends.
        assert app.refresh().status == 200
        assert world.aries.token_calls == calls + 4
        assert phones[3].ask_as_backend().status == 503
        world.clock.time += 20
        assert phones[3].ask_as_backend().status == 200
        # One success ends it for all.
        assert phones[4].ask_as_backend().status == 200

    def test_one_refused_session_holds_up_no_other(self, world: World) -> None:
        one, other = world.with_backend(), world.with_backend()
        near_its_end(other, -1)
        world.aries.faults.append(Fault("too_many_requests", seconds=60))
        assert one.ask_as_backend().status == 503
        world.clock.time += 6
        assert other.ask_as_backend().status == 200

    def test_the_pause_of_the_apps_holds_up_backends_too(self, world: World) -> None:
        now = world.clock.now()
        refusals = {f"aries_refused_{place}": {"N": str(now - 60)} for place in range(5)}
        phone = world.with_backend()
        near_its_end(phone, -1)
        until = {"aries_paused_until": {"N": str(world.clock.now() + 9)}}
        world.dynamodb.put_item(TableName="sign-ins", Item={"session_id": {"S": "cut-offs"}, **refusals, **until})
        world.clock.time += 1
        assert phone.ask_as_backend().status == 503
        assert not [call for call in world.token_requests() if call.get("grant_type") == "refresh_token"]


@ONE_STORE
class TestRefusals:
    @pytest.mark.parametrize(
        ("scope", "is_wide_enough"),
        [
            ("account:information", True),
            ("order:execution  account:information", True),
            ("", True),
            ("user:information", False),
            ("account:information user:information", False),
            ("account:informatio", False),
            ("ACCOUNT:INFORMATION", False),
        ],
    )
    def test_a_wider_scope_than_the_sessions(self, world: World, scope: str, is_wide_enough: bool) -> None:
        answer = world.with_backend().ask_as_backend(scope=scope)
        assert answer.status == (200 if is_wide_enough else 400)
        assert is_wide_enough or answer.failure["error"] == "insufficient_scope"

    def test_a_wider_scope_renews_nothing(self, world: World) -> None:
        phone = world.with_backend()
        near_its_end(phone)
        row = phone.row()
        assert phone.ask_as_backend(scope="user:information").failure["error"] == "insufficient_scope"
        assert world.aries.refresh_calls == 0
        assert phone.row() == row

    @pytest.mark.parametrize("client_id", [CLIENT_ID, OTHER_CLIENT_ID, "nobody", "", "trader-alerts "])
    def test_an_app_without_a_backend_and_no_app_get_the_same_answer(self, world: World, client_id: str) -> None:
        handle = world.with_backend().backend_handle
        answer = world.backend({"backend_handle": handle}, path=f"/backend/{client_id}/token")
        assert answer.status == 403
        assert answer.failure == {
            "error": "not_a_backend_app",
            "error_description": "The path names no app whose backend may ask for this. "
            "Check the client id and the app's registration.",
        }

    @pytest.mark.parametrize(
        "path",
        [
            "/backend/trader%2Dalerts/token",
            "/backend/trader-%61lerts/token",
            "/backend/trader-rival/..%2Ftrader-alerts/token",
            "/backend/trader-rival/../trader-alerts/token",
            "/backend/..%2Ftrader-alerts/token",
            "/backend/./trader-alerts/token",
            "/backend//trader-alerts/token",
            "/backend/trader-alerts/token/",
            "/backend/trader-alerts%2Ftoken",
            "/backend/trader-alerts/token?x",
            "/backend/trader-alerts\n/token",
            "/backend/trader-alerts/token\n",
            "/backend/trader-alerts%00/token",
            "/backend/TRADER-ALERTS/token",
            "/BACKEND/trader-alerts/token",
            "/backend/tr\u0430der-alerts/token",
            "/x/backend/trader-alerts/token",
        ],
    )
    def test_a_client_id_that_is_not_the_registered_one_byte_for_byte(self, world: World, path: str) -> None:
        answer = world.backend({"backend_handle": world.with_backend().backend_handle}, path=path)
        assert (answer.status, answer.failure["error"]) == (403, "not_a_backend_app")

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "{",
            "[]",
            "null",
            '"text"',
            "\u00e9".encode("latin-1"),
            "{}",
            '{"backend_handle": 1}',
            '{"backend_handle": ["HANDLE"]}',
            '{"backend_handle": null}',
            '{"backend_handle": "HANDLE", "backend_handle": "HANDLE"}',
            '{"backend_handle": "HANDLE", "min_seconds": 60, "min_seconds": 60}',
            '{"backend_handle": "HANDLE", "user": "1"}',
            '{"backend_handle": "HANDLE", "min_second": 60}',
            '{"backend_handle": "HANDLE", "min_seconds": 59}',
            '{"backend_handle": "HANDLE", "min_seconds": 301}',
            '{"backend_handle": "HANDLE", "min_seconds": -60}',
            '{"backend_handle": "HANDLE", "min_seconds": 60.0}',
            '{"backend_handle": "HANDLE", "min_seconds": 6e1}',
            '{"backend_handle": "HANDLE", "min_seconds": "60"}',
            '{"backend_handle": "HANDLE", "min_seconds": true}',
            '{"backend_handle": "HANDLE", "min_seconds": NaN}',
            '{"backend_handle": "HANDLE", "min_seconds": ' + "9" * 5000 + "}",
            '{"backend_handle": "HANDLE", "scope": ["account:information"]}',
            '{"backend_handle": "HANDLE", "scope": "acc\\u00f6unt"}',
            '{"backend_handle": "HANDLE", "scope": "\\ud800"}',
            '{"backend_handle": "HANDLE", "scope": {"scope": "x"}}',
            '{"backend_handle": "HANDLE", "scope": "' + "x" * 40_000 + '"}',
            '{"backend_handle": ' + "[" * 15_000 + "]" * 15_000 + "}",
            "x" * 2_000_000,
        ],
        ids=lambda body: str(body)[:60],
    )
    def test_a_malformed_body_reads_nothing(self, world: World, body: str | bytes) -> None:
        phone = world.with_backend()
        world.aws.made.clear()
        sent = body.replace("HANDLE", phone.backend_handle) if isinstance(body, str) else body
        answer = world.backend(sent)
        assert (answer.status, answer.failure["error"]) == (400, "invalid_request")
        assert world.aws.counted() == {}

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
    )
    def test_another_content_type(self, world: World, content_type: str) -> None:
        body = {"backend_handle": world.with_backend().backend_handle}
        answer = world.backend(body, headers={"content-type": content_type})
        assert (answer.status, answer.failure["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "post"])
    def test_another_method(self, world: World, method: str) -> None:
        answer = world.call("backend", method, BACKEND_PATH, caller=CALLER)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    def test_no_page_may_read_an_answer(self, world: World) -> None:
        phone = world.with_backend()
        for origin in ("https://web.example.com", "null", "https://evil.example"):
            answer = world.backend({"backend_handle": phone.backend_handle}, headers={"origin": origin})
            assert answer.status == 200
            assert not [name for name in answer.headers if name.startswith("access-control")]


@ONE_STORE
class TestWithoutAnIdentity:
    @pytest.mark.parametrize(
        "authorizer",
        [
            None,
            {},
            {"iam": None},
            {"iam": {}},
            {"iam": {"userArn": None}},
            {"iam": {"userArn": ""}},
            {"iam": {"userArn": ["arn"]}},
            {"iam": {"accountId": "123456789012"}},
            {"jwt": {"claims": {"userArn": CALLER}}},
            {"userArn": CALLER},
            [],
            "iam",
        ],
        ids=str,
    )
    def test_nobody_is_served_and_nothing_is_read(self, world: World, authorizer: object) -> None:
        phone = world.with_backend()
        body = json.dumps({"backend_handle": phone.backend_handle})
        event = http_event("POST", BACKEND_PATH, headers={"content-type": "application/json"}, body=body)
        event["requestContext"]["authorizer"] = authorizer
        world.aws.made.clear()
        answer = world.handler("backend")(event, Context(now=world.clock.now))
        assert answer["statusCode"] == 403
        assert json.loads(answer["body"])["error"] == "access_denied"
        assert world.aws.counted() == {}

    def test_a_header_of_the_callers_own_is_none(self, world: World) -> None:
        body = {"backend_handle": world.with_backend().backend_handle}
        headers = {"x-amzn-iam-user-arn": CALLER, "authorization": "AWS4-HMAC-SHA256 Credential=x"}
        assert world.backend(body, caller="", headers=headers).status == 403


def ended(phone: Phone) -> None:
    phone.revoke()


def cut_off(phone: Phone) -> None:
    now = str(int(phone.world.clock.now()) + 1)
    phone.world.dynamodb.put_item(TableName="sign-ins", Item={"session_id": {"S": "cut-offs"}, "everyone": {"N": now}})
    phone.world.clock.time += 6


def idle(phone: Phone) -> None:
    phone.world.clock.time += 86_401


def over(phone: Phone) -> None:
    phone.world.clock.time += 31 * 86_400


def of_no_row(phone: Phone) -> None:
    phone.world.dynamodb.delete_item(TableName="sign-ins", Key={"session_id": {"S": phone.session_id}})


def untouched(phone: Phone) -> None:
    pass


class TestSessionsThatAreOver:
    def test_all_answers_are_the_same_to_the_byte_and_cost_the_same_calls(self, world: World) -> None:
        rival(world).ask_as_backend()
        answers: list[Answer] = []
        calls: list[dict[str, int]] = []
        for end in (ended, idle, over, of_no_row, cut_off):
            phone = rival(world)
            end(phone)
            # The process has read the control item a moment ago.
            ask_rival(rival(world))
            world.aws.made.clear()
            answers.append(ask_rival(phone))
            calls.append(world.aws.counted())
        assert all(refused(answer) == SIGN_IN_REQUIRED for answer in answers)
        assert len({(answer.status, json.dumps(answer.headers, sort_keys=True)) for answer in answers}) == 1
        assert len({answer.body.replace(answer.request_id, "") for answer in answers}) == 1
        assert calls == [{"dynamodb": 1}] * 5

    def test_a_session_that_cannot_be_refreshed_is_served_until_its_token_is_over(self) -> None:
        apps = json.loads(WITH_RIVAL)
        apps[BACKEND_CLIENT_ID]["refresh"] = False
        with running_world(APPS=json.dumps(apps)) as world:
            phone = world.with_backend()
            assert phone.refresh_token == ""
            near_its_end(phone, 1)
            assert phone.ask_as_backend().json["access_token"] == phone.access_token
            near_its_end(phone, 0)
            assert refused(phone.ask_as_backend()) == SIGN_IN_REQUIRED

    def test_a_session_that_aries_has_ended_ends_here(self, world: World) -> None:
        phone = world.with_backend()
        near_its_end(phone)
        world.aries.faults.append(Fault("invalid_grant"))
        assert refused(phone.ask_as_backend()) == SIGN_IN_REQUIRED
        assert phone.row()["status"] == "dead"
        assert refused(phone.ask_as_backend()) == SIGN_IN_REQUIRED

    def test_an_idle_session_is_not_used_by_its_backend(self, world: World) -> None:
        phone = rival(world)
        for _ in range(26):
            world.clock.time += 3_300
            assert ask_rival(phone).status == 200
        world.clock.time += 700
        assert refused(ask_rival(phone)) == SIGN_IN_REQUIRED


class TestAttackers:
    """They have the right to one path, a handle, or both, of the wrong app or session."""

    def refused_without_a_trace(self, phone: Phone, answer: Answer) -> None:
        row = phone.row()
        assert refused(answer) == SIGN_IN_REQUIRED
        assert phone.row() == row
        assert row["status"] == "active"
        assert phone.ask_as_backend().status == 200

    def test_a_handle_of_another_session_opens_that_one_alone(self, world: World) -> None:
        one, other = world.with_backend(), world.with_backend()
        assert one.ask_as_backend().json["access_token"] == one.access_token != other.access_token
        mixed = f"{one.session_id}.{other.backend_handle.partition('.')[2]}"
        self.refused_without_a_trace(one, world.backend({"backend_handle": mixed}))

    def test_a_handle_of_app_a_by_the_path_of_app_b(self, world: World) -> None:
        phone = world.with_backend()
        near_its_end(phone)
        self.refused_without_a_trace(phone, ask_rival(phone))

    def test_a_session_that_a_writer_of_rows_gave_to_another_app_serves_nobody(self, world: World) -> None:
        phone = world.with_backend()
        RowWriter(world, ("UpdateItem",)).update(phone.session_id, {"client_id": {"S": RIVAL}})
        answer = ask_rival(phone)
        if "token_store" in phone.row():
            # The seal does not open for another app.
            assert answer.status == 503
        else:
            assert refused(answer) == SIGN_IN_REQUIRED
        assert phone.access_token not in answer.body
        assert phone.row()["status"] == "active"

    def test_a_session_of_an_app_without_a_backend_whoever_made_the_handle(self, world: World) -> None:
        phone = world.signed_in()
        handle = BackendHandle.mint(phone.session_id, world.tokens(phone.session_id).session_key).text.reveal()
        row = phone.row()
        assert refused(world.backend({"backend_handle": handle})) == SIGN_IN_REQUIRED
        assert phone.row() == row
        assert world.backend({"backend_handle": handle}, path=f"/backend/{CLIENT_ID}/token").status == 403

    @pytest.mark.parametrize("at", [0, 20, 42, 44, 60, -1])
    def test_an_altered_handle_takes_no_lease_and_ends_nothing(self, world: World, at: int) -> None:
        phone = world.with_backend()
        near_its_end(phone)
        handle = phone.backend_handle
        at %= len(handle)
        # The last character has two bits that mean nothing, so another one may be the same MAC: the text decides.
        other = "A" if handle[at] != "A" else "B"
        altered = handle[:at] + other + handle[at + 1 :]
        row = phone.row()
        assert refused(world.backend({"backend_handle": altered})) == SIGN_IN_REQUIRED
        assert phone.row() == row
        assert world.aries.refresh_calls == 0
        assert phone.ask_as_backend().status == 200

    def test_texts_that_are_no_handle_read_nothing(self, world: World) -> None:
        phone = world.with_backend()
        world.aws.made.clear()
        for text in (
            "",
            "x",
            phone.session_id,
            f"{phone.session_id}.",
            phone.refresh_token,
            phone.access_token,
            phone.backend_handle + "\n",
            phone.backend_handle + "=",
            " " + phone.backend_handle,
            phone.backend_handle.replace(".", "\u2024"),
            "\ud800",
        ):
            assert refused(world.backend(json.dumps({"backend_handle": text}))) == SIGN_IN_REQUIRED
        assert world.aws.counted() == {}

    def test_the_mac_of_a_refresh_token_makes_no_handle(self, world: World) -> None:
        phone = world.with_backend()
        mac = phone.refresh_token.rpartition(".")[2]
        self.refused_without_a_trace(phone, world.backend({"backend_handle": f"{phone.session_id}.{mac}"}))

    def test_whoever_writes_rows_moves_no_session_to_an_app_of_theirs(self, world: World) -> None:
        """The right to write rows and the path of another app are not enough: the handle proves neither."""
        phone = world.with_backend()
        world.dynamodb.update_item(
            TableName="sign-ins",
            Key={"session_id": {"S": phone.session_id}},
            UpdateExpression="SET client_id = :rival",
            ExpressionAttributeValues={":rival": {"S": RIVAL}},
        )
        forged = f"{phone.session_id}.{'A' * 43}"
        answer = world.backend({"backend_handle": forged}, path=f"/backend/{RIVAL}/token")
        assert answer.status in (400, 503)
        assert "access_token" not in answer.body
        assert Secret(forged) != Secret(phone.backend_handle)
