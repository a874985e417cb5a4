"""The callback, through the real handler, with Aries at the other end of a real connection."""

from __future__ import annotations

import re
from contextlib import ExitStack
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from oauth_broker import VERSION
from oauth_broker.oauth.tokens import session_id_of
from oauth_broker.operations.exchange import CODE_SECONDS
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS
from tests.local.aries import Fault
from tests.support.deployment import APP_URI, GRACE, ISSUER
from tests.support.parameters import ISSUERS_WITH_A_PATH
from tests.support.world import Answer, Phone, World, running_world


def assert_page(answer: Answer, status: int = 400) -> None:
    assert answer.status == status
    assert "location" not in answer.headers
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def assert_error(answer: Answer, error: str) -> None:
    assert answer.status == 302
    assert answer.location.startswith(APP_URI + "?")
    assert (answer.query["error"], answer.query["state"], answer.query["iss"]) == (error, "app-state", ISSUER)
    assert "code" not in answer.query


def changed(query: str, **changes: str | None) -> str:
    fields = dict(parse_qsl(query)) | changes
    return urlencode({name: value for name, value in fields.items() if value is not None})


@pytest.fixture
def phone(world: World) -> Phone:
    return world.phone()


@pytest.fixture
def returning(phone: Phone) -> str:
    """Return the query of Aries' redirect after an approval."""
    return phone.approve(phone.authorize())


def test_a_success_sends_the_app_a_code_its_state_and_the_issuer(world: World, phone: Phone, returning: str) -> None:
    answer = phone.callback(returning)
    assert answer.status == 302
    assert answer.location.startswith(APP_URI + "?")
    assert set(answer.query) == {"code", "state", "iss"}
    assert (answer.query["state"], answer.query["iss"]) == ("app-state", ISSUER)
    row = phone.row()
    assert row["status"] == "issued"
    assert "code_verifier" not in row
    assert answer.query["code"] not in str(row)
    assert int(row["code_expires_at"]) == int(world.clock.now()) + CODE_SECONDS
    assert world.session_secrets()


def test_the_code_exchange_is_aries_third_step_to_the_letter(world: World, phone: Phone, returning: str) -> None:
    phone.callback(returning)
    (body,) = world.token_requests()
    assert set(body) == {"client_id", "grant_type", "code", "redirect_uri", "code_verifier"}
    assert body["grant_type"] == "code"


def test_aries_is_told_the_name_and_the_version_of_the_broker_with_every_grant(world: World, phone: Phone) -> None:
    phone.sign_in()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    agents = [request.headers["user-agent"] for request in world.aries.requests if request.endpoint == "token"]
    assert agents == [f"aries-token-broker/{VERSION}"] * 2


def test_a_redirect_uri_with_a_query_keeps_it(world: World) -> None:
    phone = world.phone(redirect_uri=f"{APP_URI}?brand=a")
    assert phone.callback(phone.approve(phone.authorize())).location.startswith(f"{APP_URI}?brand=a&code=")


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=", "state=%ED%A0%80&code=x", "state=unknown&code=x", "state=a&state=b", "state=%ff"]
)
def test_an_unknown_state_gets_a_page(world: World, phone: Phone, query: str) -> None:
    phone.authorize()
    assert_page(phone.callback(query))
    assert world.aries.token_calls == 0
    assert phone.row()["status"] == "pending"


def test_an_expired_sign_in_that_is_not_deleted_yet_gets_the_same_page(world: World, phone: Phone) -> None:
    returning = phone.approve(phone.authorize())
    world.clock.time += 601
    answer = phone.callback(returning)
    assert_page(answer)
    assert answer.body.split("Request id")[0] == phone.callback("state=unknown&code=x").body.split("Request id")[0]
    assert world.aries.token_calls == 0


@pytest.mark.parametrize("cookie", ["missing", "foreign", "twice"])
def test_another_browser_gets_a_page_and_the_rightful_one_can_still_finish(
    world: World, phone: Phone, returning: str, cookie: str
) -> None:
    name, value = next(iter(phone.cookies.items()))
    foreign = {"missing": [], "foreign": [f"{name}={'A' * 43}"], "twice": [f"{name}={value}", f"{name}={'A' * 43}"]}
    answer = world.call("callback", "GET", "/oauth2/callback", query=returning, cookies=foreign[cookie])
    assert_page(answer)
    assert phone.row()["status"] == "pending"
    assert world.aries.token_calls == 0
    assert phone.callback(returning).query["code"]


def test_another_browser_with_an_error_cannot_end_the_sign_in(world: World, phone: Phone, returning: str) -> None:
    state = dict(parse_qsl(returning))["state"]
    assert_page(world.call("callback", "GET", "/oauth2/callback", query=f"state={state}&error=access_denied"))
    assert phone.callback(returning).query["code"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": None}, "server_error"),
        ({"code": "a b"}, "server_error"),
        ({"error": "access_denied"}, "access_denied"),
        ({"code": None, "error": "access_denied"}, "access_denied"),
        ({"error": "temporarily_unavailable"}, "temporarily_unavailable"),
        ({"error": "invalid_scope"}, "invalid_scope"),
        ({"error": "<script>alert(1)</script>"}, "server_error"),
        ({"error": "unauthorized_client"}, "server_error"),
    ],
)
def test_an_error_wins_over_a_code_and_is_never_reflected(
    world: World, phone: Phone, returning: str, changes: dict[str, Any], error: str
) -> None:
    answer = phone.callback(changed(returning, **changes) + "&error_description=hostile-words")
    assert_error(answer, error)
    assert "hostile-words" not in answer.location
    assert "alert" not in answer.location
    assert world.aries.token_calls == 0
    assert phone.row()["status"] == "failed"
    # A reload gets the same answer.
    assert_error(phone.callback(returning), error)
    assert world.aries.token_calls == 0


def test_a_repeated_code_is_not_exchanged(world: World, phone: Phone, returning: str) -> None:
    assert_error(phone.callback(returning + "&code=other"), "server_error")
    assert world.aries.token_calls == 0


def test_an_answer_of_another_issuer_is_refused_and_uses_nothing_up(world: World, phone: Phone, returning: str) -> None:
    assert_page(phone.callback(returning + "&iss=https%3A%2F%2Fevil.example"))
    assert world.aries.token_calls == 0
    assert phone.callback(returning + "&iss=https%3A%2F%2Fapp.aries.example").query["code"]


@pytest.mark.parametrize("issuer", ISSUERS_WITH_A_PATH)
def test_the_issuer_that_is_configured_is_accepted_with_its_path_and_nothing_that_differs_from_it(issuer: str) -> None:
    with running_world(ARIES_ISSUER=issuer) as world:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        origin = "/".join(issuer.split("/")[:3])
        differing = {f"{issuer}/", issuer[:-1], issuer.upper(), f"{issuer}?", origin, "https://app.aries.example"}
        for other in sorted(differing):
            assert_page(phone.callback(returning + "&" + urlencode({"iss": other})))
        assert world.aries.token_calls == 0
        assert phone.callback(returning + "&" + urlencode({"iss": issuer})).query["code"]


@pytest.mark.parametrize("iss", ["", "&iss="])
def test_an_answer_that_names_no_issuer_is_accepted_whatever_is_configured(iss: str) -> None:
    with running_world(ARIES_ISSUER="https://kc.example/realms/x") as world:
        phone = world.phone()
        assert phone.callback(phone.approve(phone.authorize()) + iss).query["code"]


@pytest.mark.parametrize("answer", ["approved", "declined"])
def test_an_answer_of_another_issuer_to_the_sign_ins_own_browser_counts_as_a_sign_in_that_failed(
    world: World, phone: Phone, returning: str, answer: str
) -> None:
    before = phone.row()
    world.aws.made.clear()
    query = returning if answer == "approved" else changed(returning, code=None, error="access_denied")
    assert_page(phone.callback(query + "&iss=https%3A%2F%2Fapp.aries.example%2F"))
    assert ("SignInsFailed", {"reason": "foreign_issuer"}) in world.telemetry.metrics
    level, event, fields = world.telemetry.lines[-1]
    assert (level, event, fields["reason"], len(fields["session"])) == ("info", "page_shown", "foreign_issuer", 16)
    # This one read tells that the browser is the sign-in's own.
    assert world.aws.made == ["dynamodb:GetItem"]
    assert phone.row() == before


def test_a_stranger_who_makes_up_an_issuer_sounds_no_alarm(world: World, phone: Phone, returning: str) -> None:
    foreign = "&iss=https%3A%2F%2Fevil.example"
    name = next(iter(phone.cookies))
    made_up = f"__Host-signin-{session_id_of('A' * 43)[:16]}"
    for cookies in ([], [f"{name[:-1]}_=x"], [f"{made_up}=x", f"{name}=x"]):
        for query in (f"state={'A' * 43}&code=x", returning):
            answer = world.call("callback", "GET", "/oauth2/callback", query=query + foreign, cookies=cookies)
            assert_page(answer)
    assert world.telemetry.counted("SignInsFailed") == 0
    assert world.telemetry.metrics.count(("PagesShown", {"reason": "foreign_issuer"})) == 6


def test_a_reload_gets_the_same_redirect_while_the_code_lives_and_a_page_afterwards(
    world: World, phone: Phone, returning: str
) -> None:
    first = phone.callback(returning)
    assert phone.callback(returning) == first
    world.clock.time += CODE_SECONDS + 1
    assert_page(phone.callback(returning), 200)
    assert world.aries.token_calls == 1


def test_a_reload_after_the_code_was_redeemed_gets_a_page_and_the_session_lives(
    world: World, phone: Phone, returning: str
) -> None:
    phone.redeem(phone.callback(returning).query["code"])
    assert_page(phone.callback(returning), 200)
    assert phone.refresh().status == 200
    assert world.aries.token_calls == 1


def test_a_reload_while_the_first_load_is_at_work_waits_and_gets_the_same_answer(
    world: World, phone: Phone, returning: str
) -> None:
    reloads: list[Answer] = []
    # The reload arrives while the first load stores its tokens, and gives up when its own time is over.
    with world.aws.visited("CreateSecret", lambda: reloads.append(phone.callback(returning))):
        first = phone.callback(returning)
    assert first.query["code"]
    assert_page(reloads[0], 503)
    assert phone.callback(returning) == first
    assert world.aries.token_calls == 1


def test_a_claim_whose_holder_died_ends_in_an_error_and_the_code_is_not_used_again(
    world: World, phone: Phone, returning: str
) -> None:
    with world.aws.dying_at("CreateSecret"):
        phone.callback(returning)
    assert phone.row()["status"] == "claimed"
    world.clock.time += 29 + LEASE_MARGIN_SECONDS + 1
    assert_error(phone.callback(returning), "server_error")
    assert world.aries.token_calls == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("invalid_grant"), "server_error"),
        (Fault("invalid_client"), "server_error"),
        (Fault("unknown_error"), "server_error"),
        (Fault("server_error"), "temporarily_unavailable"),
        (Fault("too_many_requests"), "temporarily_unavailable"),
        (Fault("html"), "temporarily_unavailable"),
        (Fault("reset"), "temporarily_unavailable"),
        (Fault("close", when="after"), "temporarily_unavailable"),
        (Fault("redirect"), "temporarily_unavailable"),
        (Fault("members", members={"scope": "account:information"}), "invalid_scope"),
        (Fault("members", members={"scope": "account:information order:execution admin"}), "invalid_scope"),
        (Fault("members", members={"scope": ""}), "invalid_scope"),
        (Fault("members", members={"scope": ["account:information"]}), "invalid_scope"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_failed_exchange_goes_back_to_the_app_and_stores_nothing(
    world: World, phone: Phone, returning: str, fault: Fault, error: str
) -> None:
    world.aries.faults.append(fault)
    assert_error(phone.callback(returning), error)
    assert world.session_secrets() == []
    assert_error(phone.callback(returning), error)
    assert world.aries.token_calls == 1
    assert world.aries.trap_calls == 0


def test_an_aries_that_is_down_is_told_to_the_app(world: World, phone: Phone, returning: str) -> None:
    world.aries.stop()
    assert_error(phone.callback(returning), "temporarily_unavailable")


def test_a_scope_that_aries_does_not_name_is_the_scope_asked_for(world: World, phone: Phone, returning: str) -> None:
    world.aries.faults.append(Fault("members", omit=("scope",)))
    assert phone.redeem(phone.callback(returning).query["code"]).json["scope"] == phone.scope


def test_a_code_that_aries_exchanges_with_another_success_than_200_begins_a_session(
    world: World, phone: Phone, returning: str
) -> None:
    world.aries.faults.append(Fault("members", status=201))
    assert phone.redeem(phone.callback(returning).query["code"]).status == 200


def test_two_tabs_sign_in_at_once_and_both_succeed(world: World, phone: Phone) -> None:
    first, second = phone.authorize(), phone.authorize()
    returning = [phone.approve(second), phone.approve(first)]
    codes = [phone.callback(query).query["code"] for query in returning]
    assert [phone.redeem(code).status for code in codes] == [200, 200]


def test_a_prefetch_gets_an_empty_answer_and_uses_nothing_up(world: World, phone: Phone, returning: str) -> None:
    for headers in ({"sec-purpose": "prefetch"}, {"sec-purpose": "PREFETCH"}, {"x-moz": "prefetch"}):
        assert phone.callback(returning, headers=headers).status == 403
    assert phone.callback(returning).query["code"]


def test_a_browser_that_would_not_open_the_app_by_itself_gets_a_page_with_one_link_to_it(world: World) -> None:
    phone = world.phone(redirect_uri="com.example.trader:/callback")
    returning = phone.approve(phone.authorize())
    untapped = {"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"}
    shown = phone.callback(returning, headers=untapped)
    assert shown.status == 200
    assert "location" not in shown.headers
    assert "<title>One more step</title>" in shown.body
    assert "Request id for support" in shown.body
    (link,) = re.findall(r'href="([^"]*)"', shown.body)
    redirected = phone.callback(returning, headers=untapped | {"sec-fetch-user": "?1"})
    assert redirected.location == unescape(link)
    assert phone.redeem(redirected.query["code"]).status == 200


def test_a_web_page_of_an_app_is_redirected_to_with_or_without_a_tap(world: World, phone: Phone) -> None:
    untapped = {"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"}
    assert phone.callback(phone.approve(phone.authorize()), headers=untapped).location.startswith(phone.redirect_uri)


def test_a_redirect_that_only_an_app_can_claim_is_a_link_where_nobody_tapped(world: World) -> None:
    phone = world.phone(redirect_uri=f"{ISSUER}/ios/return")
    returning = phone.approve(phone.authorize())
    untapped = {"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"}
    shown = phone.callback(returning, headers=untapped)
    assert (shown.status, "location" in shown.headers) == (200, False)
    (link,) = re.findall(r'href="([^"]*)"', shown.body)
    redirected = phone.callback(returning, headers=untapped | {"sec-fetch-user": "?1"})
    assert redirected.location == unescape(link)
    assert redirected.location.startswith(phone.redirect_uri)


def test_the_page_of_a_code_that_nobody_redeemed_says_how_to_go_on(world: World, phone: Phone, returning: str) -> None:
    assert phone.callback(returning).query["code"]
    world.clock.time += 61
    assert "start again in the app" in phone.callback(returning).body


def test_an_error_too_is_told_to_the_app_by_a_link_where_the_browser_would_not_open_it(world: World) -> None:
    phone = world.phone(redirect_uri="com.example.trader:/callback")
    shown = world.call(
        "authorize",
        "GET",
        "/oauth2/authorize",
        query=phone.authorization_query(code_challenge=None),
        headers={"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"},
    )
    assert shown.status == 200
    (link,) = re.findall(r'href="([^"]*)"', shown.body)
    answered = dict(parse_qsl(urlsplit(unescape(link)).query))
    assert answered["error"] == "invalid_request"
    assert answered["state"] == "app-state"


def test_a_sign_in_that_took_nearly_all_its_time_still_gets_a_code_that_lives(world: World, phone: Phone) -> None:
    authorized = phone.authorize()
    world.clock.time += 595
    code = phone.callback(phone.approve(authorized)).query["code"]
    world.clock.time += 30
    assert phone.redeem(code).status == 200


def test_a_wrong_client_id_at_aries_alarms(world: World, phone: Phone, returning: str) -> None:
    world.aries.faults.append(Fault("invalid_client"))
    assert_error(phone.callback(returning), "server_error")
    assert world.telemetry.counted("ProviderMisconfigured") == 1


@pytest.mark.parametrize("token_type", ["DPoP", None])
def test_an_access_token_of_another_type_begins_no_session(
    world: World, phone: Phone, returning: str, token_type: str | None
) -> None:
    world.aries.faults.append(Fault("members", members={"token_type": token_type}))
    assert_error(phone.callback(returning), "temporarily_unavailable")
    assert world.session_secrets() == []


def test_a_claim_whose_answer_was_lost_is_repeated_and_goes_on(world: World, phone: Phone, returning: str) -> None:
    with world.aws.failing("UpdateItem", "timed_out_though_applied", times=1):
        assert phone.callback(returning).query["code"]
    assert world.aries.token_calls == 1


@pytest.mark.parametrize("kind", ["throttled", "timed_out_though_applied"])
def test_a_code_that_could_not_be_stored_at_once_is_stored_when_that_has_passed(
    world: World, phone: Phone, returning: str, kind: str
) -> None:
    with ExitStack() as passing:
        trouble = world.aws.failing("UpdateItem", kind, times=2)
        passing.enter_context(world.aws.visited("CreateSecret", lambda: passing.enter_context(trouble)))
        code = phone.callback(returning).query["code"]
    assert world.aries.token_calls == 1
    assert phone.redeem(code).status == 200


def test_a_callback_with_too_little_time_left_does_not_use_the_code(world: World, phone: Phone, returning: str) -> None:
    assert_error(phone.callback(returning, seconds=15), "temporarily_unavailable")
    assert world.aries.token_calls == 0


def test_a_sign_in_that_expires_while_aries_is_asked_succeeds(world: World, phone: Phone) -> None:
    authorized = phone.authorize()
    world.clock.time += 599
    returning = phone.approve(authorized)
    with world.aws.visited("CreateSecret", lambda: world.clock.sleep(5)):
        code = phone.callback(returning).query["code"]
    assert phone.redeem(code).status == 200


def test_every_failure_that_goes_back_to_the_app_is_logged_and_counted(
    world: World, phone: Phone, returning: str
) -> None:
    phone.callback(changed(returning, error="access_denied"))
    (fields,) = [fields for _, event, fields in world.telemetry.lines if event == "sign_in_failed"]
    assert fields["error"] == "access_denied"
    assert fields["reason"] == "declined_by_provider"
    assert len(fields["session"]) == 16
    assert ("SignInsDeclined", {"reason": "declined_by_provider"}) in world.telemetry.metrics


def test_the_sdk_meeting_its_own_claim_goes_on(world: World, phone: Phone, returning: str) -> None:
    with world.aws.answer_lost_once("UpdateItem"):
        assert phone.callback(returning).query["code"]
    assert world.aries.token_calls == 1


def test_the_sdk_meeting_its_own_note_of_a_denial_goes_on(world: World, phone: Phone, returning: str) -> None:
    with world.aws.answer_lost_once("UpdateItem"):
        assert_error(phone.callback(changed(returning, error="access_denied")), "access_denied")


def test_the_sdk_meeting_its_own_issue_goes_on(world: World, phone: Phone, returning: str) -> None:
    with world.aws.answer_lost_once("UpdateItem", skip=1):
        code = phone.callback(returning).query["code"]
    assert phone.redeem(code).status == 200


def test_the_sdk_meeting_its_own_secret_goes_on(world: World, phone: Phone, returning: str) -> None:
    with world.aws.answer_lost_once("CreateSecret"):
        code = phone.callback(returning).query["code"]
    assert phone.redeem(code).status == 200


def test_the_standard_dialect_signs_in_and_refreshes_too() -> None:
    with running_world(dialect="standard") as world:
        phone = world.signed_in()
        world.clock.time += 61
        assert phone.refresh().status == 200
        code, refresh = world.token_requests()
    assert code["grant_type"] == "authorization_code"
    assert "client_secret" in code
    assert "redirect_uri" not in refresh
