"""The token endpoint: its requests, and the redemption of the one-time code."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oauth_broker.operations.exchange import CODE_SECONDS
from tests.local.aries import Fault
from tests.support.deployment import APP_URI, CLIENT_ID, ORIGIN, OTHER_CLIENT_ID, PREFIX, SCOPE
from tests.support.functions import http_event
from tests.support.lambda_context import Context
from tests.support.pkce import CHALLENGE, VERIFIER
from tests.support.world import Answer, World, generation_of, running_world

WEB_SCOPE = "account:information"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def assert_refused(answer: Answer, error: str, status: int = 400) -> None:
    assert answer.status == status
    assert answer.json["error"] == error
    assert set(answer.failure) == {"error", "error_description"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def basic(client_id: str, password: str = "") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{password}".encode()).decode()}


def test_a_page_written_for_aries_itself_redeems_and_refreshes_as_aries_documents_it(world: World) -> None:
    phone = world.phone(client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback", scope=WEB_SCOPE)

    def post(**fields: str) -> Answer:
        headers = {"content-type": "application/json", "origin": ORIGIN}
        body = json.dumps({"client_id": OTHER_CLIENT_ID, **fields})
        return world.call("token", "POST", "/v1/oauth2/token", headers=headers, body=body)

    redeemed = post(grant_type="code", code=phone.code(), redirect_uri=phone.redirect_uri, code_verifier=VERIFIER)
    assert redeemed.status == 200
    assert redeemed.headers["access-control-allow-origin"] == ORIGIN
    assert set(redeemed.json) == {
        *("access_token", "token_type", "expires_in", "scope"),
        *("refresh_token", "refresh_token_expires_in"),
    }
    world.clock.sleep(61)
    refreshed = post(grant_type="refresh_token", refresh_token=redeemed.json["refresh_token"])
    assert refreshed.status == 200
    assert refreshed.json["access_token"] != redeemed.json["access_token"]
    assert_refused(post(grant_type="authorization_code", code="x"), "unsupported_grant_type")
    assert world.call("token", "GET", "/v1/oauth2/token").status == 405


def test_a_page_written_for_aries_itself_may_send_null_for_what_it_does_not_have(world: World) -> None:
    members = {"grant_type": "code", "client_id": CLIENT_ID, "code": world.phone().code(), "code_verifier": VERIFIER}
    absent = dict.fromkeys(("redirect_uri", "client_secret", "scope", "state"))
    headers = {"content-type": "application/json"}
    answer = world.call("token", "POST", "/v1/oauth2/token", headers=headers, body=json.dumps(members | absent))
    assert answer.status == 200


def test_a_redeemed_code_gives_tokens_and_a_session(world: World) -> None:
    phone = world.phone()
    answer = phone.sign_in()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json) == {
        *("access_token", "token_type", "expires_in", "scope"),
        *("refresh_token", "refresh_token_expires_in"),
    }
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert type(answer.json["expires_in"]) is int
    assert answer.json["scope"] == SCOPE
    assert world.aries.core.user(answer.json["access_token"]).id
    assert generation_of(phone.refresh_token) == 1
    row = phone.row()
    assert row["status"] == "active"
    assert int(row["expires_at"]) == int(world.clock.now()) + 30 * 24 * 60 * 60


def test_rfc_7636_appendix_b_passes(world: World) -> None:
    phone = world.phone(verifier=VERIFIER)
    query = phone.authorization_query(code_challenge=CHALLENGE)
    assert phone.redeem(phone.callback(phone.approve(phone.authorize(query))).query["code"]).status == 200


def test_aries_own_refresh_token_appears_in_no_answer(world: World) -> None:
    phone = world.phone()
    authorized = phone.authorize()
    answers = [authorized, phone.callback(phone.approve(authorized))]
    answers.append(phone.redeem(answers[1].query["code"]))
    family = world.aries.core.families()[0]
    first = world.aries.core.current_refresh_token(family)
    world.clock.time += 61
    answers += [phone.refresh(), phone.refresh("x" * 43 + ".1." + "x" * 43), phone.revoke()]
    second = world.aries.core.current_refresh_token(family)
    assert first is not None
    assert second is not None
    for answer in answers:
        assert first not in str(answer)
        assert second not in str(answer)
    assert first not in str(world.telemetry)


@pytest.mark.parametrize("function", ["token", "refresh", "revoke"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_a_wrong_method_is_refused(world: World, function: str, method: str) -> None:
    answer = world.call(function, method, f"/oauth2/{function}")
    assert_refused(answer, "invalid_request", 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "text/plain",
        "multipart/form-data",
        "application/x-www-form-urlencoded, application/json",
    ],
)
def test_a_body_that_is_no_form_is_an_invalid_request(world: World, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    body = json.dumps({"grant_type": "authorization_code"})
    assert_refused(world.call("token", "POST", "/oauth2/token", headers=headers, body=body), "invalid_request")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded"]
)
def test_a_content_type_with_parameters_or_capitals_is_a_form(world: World, content_type: str) -> None:
    phone = world.phone()
    body = f"grant_type=authorization_code&client_id={CLIENT_ID}&code={phone.code()}&redirect_uri={APP_URI}"
    answer = world.call(
        "token",
        "POST",
        "/oauth2/token",
        headers={"content-type": content_type},
        body=f"{body}&code_verifier={VERIFIER}",
    )
    assert answer.status == 200


@pytest.mark.parametrize("body", [b"\xff\xfe", b"%ff=1", b"grant_type=%ff", b"a=1&" * 100, b"x" * 40_000, b"", None])
def test_a_body_that_cannot_be_read_is_an_invalid_request(world: World, body: bytes | None) -> None:
    assert_refused(world.call("token", "POST", "/oauth2/token", headers=FORM, body=body), "invalid_request")


def test_a_body_that_is_not_the_base64_it_is_said_to_be_is_an_invalid_request(world: World) -> None:
    event = http_event("POST", "/oauth2/token", headers=FORM, body="x") | {"body": "!"}
    answer = world.handler("token")(event, Context(now=world.clock.now))
    assert answer["statusCode"] == 400


def test_parameters_in_the_query_string_are_not_read(world: World) -> None:
    phone = world.phone()
    query = f"grant_type=authorization_code&client_id={CLIENT_ID}&code={phone.code()}&redirect_uri={APP_URI}"
    answer = world.call("token", "POST", "/oauth2/token", query=f"{query}&code_verifier={VERIFIER}", headers=FORM)
    assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("repeated", ["grant_type", "client_id", "code", "unknown"])
def test_a_repeated_parameter_is_an_invalid_request(world: World, repeated: str) -> None:
    phone = world.phone()
    code = phone.code()
    body = (
        f"grant_type=authorization_code&client_id={CLIENT_ID}&code={code}&redirect_uri={APP_URI}"
        f"&code_verifier={VERIFIER}&unknown=1&{repeated}=1"
    )
    assert_refused(world.call("token", "POST", "/oauth2/token", headers=FORM, body=body), "invalid_request")
    assert phone.redeem(code).status == 200


@pytest.mark.parametrize("name", ["grant_type", "code", "code_verifier"])
def test_a_missing_parameter_is_an_invalid_request_and_uses_nothing_up(world: World, name: str) -> None:
    phone = world.phone()
    code = phone.code()
    answer = phone.redeem(code, **{name: ""})
    assert_refused(answer, "invalid_request")
    assert phone.redeem(code).status == 200


def test_a_code_may_be_redeemed_without_the_redirect_uri_as_oauth_2_1_does(world: World) -> None:
    assert world.phone().sign_in().status == 200
    phone = world.phone()
    assert phone.redeem(phone.code(), redirect_uri="").status == 200
    fields = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "code_verifier": VERIFIER}
    assert world.form("token", fields | {"code": world.phone().code()}).status == 200


def test_without_the_redirect_uri_a_code_is_still_its_own_apps_and_verifiers(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    assert_refused(phone.redeem(code, redirect_uri="", code_verifier="A" * 43), "invalid_grant")
    assert_refused(phone.redeem(code, redirect_uri="", client_id=OTHER_CLIENT_ID), "invalid_grant")
    assert phone.redeem(code, redirect_uri="").status == 200
    assert_refused(phone.redeem(code, redirect_uri=""), "invalid_grant")
    assert phone.row()["status"] == "dead"


@pytest.mark.parametrize("grant_type", ["password", "code", "client_credentials", "Authorization_Code"])
def test_a_grant_type_that_is_not_advertised_is_unsupported(world: World, grant_type: str) -> None:
    assert_refused(world.phone().redeem("x", grant_type=grant_type), "unsupported_grant_type")


@pytest.mark.parametrize("client_id", ["", "nobody"])
def test_an_unknown_client_is_refused_and_the_code_is_not_used_up(world: World, client_id: str) -> None:
    phone = world.phone()
    code = phone.code()
    answer = phone.redeem(code, client_id=client_id)
    assert_refused(answer, "invalid_client", 401)
    assert "www-authenticate" not in answer.headers
    assert phone.redeem(code).status == 200


def test_a_client_secret_is_refused_unless_it_is_empty(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    answer = phone.redeem(code, client_secret="guess")
    assert_refused(answer, "invalid_client", 401)
    assert answer.json["error_description"] == (
        "A client secret was sent, but all apps are public clients here. Send no client secret."
    )
    assert phone.redeem(code, client_secret="").status == 200


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"client_id": "nobody"}, "No app is registered with this client_id. Check the client_id."),
        ({"client_id": ""}, "The parameter client_id is missing."),
        (
            {
                "client_assertion": "x",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            },
            "A client assertion was sent, but all apps are public clients here. Send no client assertion.",
        ),
    ],
)
def test_a_client_that_is_refused_is_told_why(world: World, changes: dict[str, str], description: str) -> None:
    phone = world.signed_in()
    refresh = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": phone.refresh_token} | changes
    for answer in (phone.redeem("x", **changes), world.form("refresh", refresh), phone.revoke(**changes)):
        assert_refused(answer, "invalid_client", 401)
        assert answer.json["error_description"] == description


def test_basic_with_an_empty_password_counts_as_the_public_client(world: World) -> None:
    phone = world.phone()
    body = f"grant_type=authorization_code&code={phone.code()}&redirect_uri={APP_URI}&code_verifier={VERIFIER}"
    answer = world.call("token", "POST", "/oauth2/token", headers=FORM | basic(CLIENT_ID), body=body)
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [basic("nobody"), basic(CLIENT_ID, "guess"), {"authorization": "Basic !"}, {"authorization": "Basic /w=="}],
)
def test_failed_basic_authentication_is_challenged(world: World, headers: dict[str, str]) -> None:
    body = f"grant_type=authorization_code&code=x&redirect_uri={APP_URI}&code_verifier={VERIFIER}"
    answer = world.call("token", "POST", "/oauth2/token", headers=FORM | headers, body=body)
    assert_refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_two_different_clients_in_one_request_are_an_invalid_request(world: World) -> None:
    body = f"grant_type=authorization_code&code=x&redirect_uri={APP_URI}&code_verifier={VERIFIER}&client_id={CLIENT_ID}"
    answer = world.call("token", "POST", "/oauth2/token", headers=FORM | basic(OTHER_CLIENT_ID), body=body)
    assert_refused(answer, "invalid_request")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": OTHER_CLIENT_ID},
        {"redirect_uri": "com.example.trader:/callback"},
        {"redirect_uri": APP_URI + "/"},
        {"code_verifier": "A" * 43},
        {"code_verifier": VERIFIER + "A"},
        {"code_verifier": "short"},
        {"code_verifier": VERIFIER[:-1] + "ä"},
    ],
)
def test_a_caller_who_proves_less_gets_nothing_and_the_rightful_client_can_still_redeem(
    world: World, changes: dict[str, str]
) -> None:
    phone = world.phone()
    code = phone.code()
    assert_refused(phone.redeem(code, **changes), "invalid_grant")
    assert world.aws.made.count("secrets-manager:GetSecretValue") == 0
    assert phone.redeem(code).status == 200


@pytest.mark.parametrize("code", ["x", "x" * 87, "a" * 43 + "." + "b" * 43, "ä.ö"])
def test_a_code_that_was_never_issued_is_refused_without_a_look_at_any_secret(world: World, code: str) -> None:
    assert_refused(world.phone().redeem(code), "invalid_grant")
    assert not any("secret" in call for call in world.aws.made)


def test_unknown_expired_used_and_foreign_codes_get_the_same_body_save_for_its_id(world: World) -> None:
    answers = [world.phone().redeem("a" * 43 + "." + "b" * 43)]
    expired = world.phone()
    code = expired.code()
    world.clock.time += CODE_SECONDS
    answers.append(expired.redeem(code))
    used = world.phone()
    code = used.code()
    used.redeem(code)
    answers += [used.redeem(code), used.redeem(code, client_id=OTHER_CLIENT_ID)]
    forged = world.phone()
    code = forged.code()
    answers.append(forged.redeem(code[:-1] + ("E" if code.endswith("A") else "A")))
    assert len({str(answer.failure) for answer in answers}) == 1


def test_a_code_lives_just_as_long_as_it_should(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    world.clock.time += CODE_SECONDS - 1
    assert phone.redeem(code).status == 200
    late = world.phone()
    code = late.code()
    world.clock.time += CODE_SECONDS
    assert_refused(late.redeem(code), "invalid_grant")


def test_a_code_redeemed_again_with_the_right_verifier_ends_the_session(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    token = phone.refresh_token
    assert_refused(phone.redeem(code), "invalid_grant")
    assert phone.row()["status"] == "dead"
    assert world.session_secrets() == []
    assert world.telemetry.counted("ReuseDetected") == 1
    assert_refused(phone.refresh(token), "invalid_grant")


def test_a_code_of_a_session_that_was_signed_out_is_no_reuse(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    assert phone.redeem(code).status == 200
    assert phone.revoke().status == 200
    assert_refused(phone.redeem(code), "invalid_grant")
    assert world.telemetry.counted("ReuseDetected") == 0
    assert [fields["reason"] for _, event, fields in world.telemetry.lines if event == "refused"] == ["session_ended"]


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "A" * 43}, {"client_id": OTHER_CLIENT_ID}, {"redirect_uri": "x"}]
)
def test_a_code_redeemed_again_by_somebody_who_proves_less_changes_nothing(
    world: World, changes: dict[str, str]
) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    assert_refused(phone.redeem(code, **changes), "invalid_grant")
    assert phone.refresh().status == 200


def test_exactly_one_of_many_redemptions_at_once_succeeds(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    # Each redemption has a request of its own. All requests read the code before the first one redeems it.
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: phone.redeem(code), range(50)))
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.status for answer in answers} == {200, 400}


def test_the_sdk_meeting_its_own_redemption_goes_on(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    with world.aws.answer_lost_once("UpdateItem"):
        assert phone.redeem(code).status == 200
    assert phone.refresh().status == 200


def test_a_code_that_comes_in_time_and_expires_while_it_is_redeemed_is_redeemed(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    world.clock.time += CODE_SECONDS - 1
    with world.aws.visited("GetSecretValue", lambda: world.clock.sleep(2)):
        assert phone.redeem(code).status == 200
    assert phone.row()["status"] == "active"


def test_one_of_two_redemptions_side_by_side_gets_a_session_that_lives(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    with world.aws.visited("GetSecretValue", lambda: phone.redeem(code)):
        assert_refused(phone.redeem(code), "invalid_grant")
    assert phone.refresh().status == 200
    assert world.telemetry.counted("ReuseDetected") == 0


def test_a_secret_that_cannot_be_read_yet_is_waited_for_and_the_code_stays_good(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    with world.hidden_secrets():
        answer = phone.redeem(code)
        assert answer.status == 503
        assert answer.sentence.startswith("Temporarily unavailable")
    assert phone.redeem(code).status == 200


def test_without_a_client_secret_no_refresh_token_is_issued_and_the_session_ends_with_its_access_token() -> None:
    with running_world(ARIES_CLIENT_SECRET_ARN="") as world:
        phone = world.phone()
        answer = phone.sign_in()
        assert "refresh_token" not in answer.json
        assert int(phone.row()["expires_at"]) == int(world.clock.now()) + 3600
        assert_refused(phone.refresh("a" * 43 + ".1." + "b" * 43), "unsupported_grant_type")


def test_no_refresh_token_is_issued_if_aries_grants_none(world: World) -> None:
    world.aries.faults.append(Fault("members", omit=("refresh_token",)))
    assert "refresh_token" not in world.phone().sign_in().json


def test_a_bug_is_told_to_the_operator_and_not_to_the_caller(world: World) -> None:
    phone = world.phone()

    def stumble() -> Any:
        raise KeyError("secret-canary")

    with world.aws.visited("GetItem", stumble):
        answer = phone.redeem("a" * 43 + "." + "b" * 43)
    assert answer.status == 500
    assert answer.sentence == "Internal error: try again later"
    assert "secret-canary" not in answer.body + str(world.telemetry)
    assert [event for _, event, _ in world.telemetry.lines] == ["internal_error"]


def test_requests_to_another_host_than_the_custom_domain_are_not_found() -> None:
    with running_world(ISSUER="https://auth.example.com", DOMAIN_NAME="auth.example.com") as world:
        assert world.call("token", "POST", "/oauth2/token").status == 404
        assert world.call("token", "POST", "/oauth2/token", domain_name="auth.example.com").status == 400


def test_the_names_of_secrets_follow_from_the_session_and_hold_nothing_of_it(world: World) -> None:
    phone = world.signed_in()
    (name,) = world.session_secrets()
    assert len(name) == len(PREFIX) + 64
    assert phone.session_id not in name
