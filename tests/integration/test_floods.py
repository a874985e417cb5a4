"""Floods of sign-ins, codes and tokens: the cost of each request has a bound, and honest users get through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.aries import Fault
from tests.support.deployment import APP_URI, GRACE, ISSUER, ORIGIN, OTHER_CLIENT_ID
from tests.support.transformed import source
from tests.support.world import Answer, Phone, World, running_world

# A tenth of the limit that the template gives, because a flood of hundreds takes seconds.
LIMIT = 30
FLOOD = LIMIT + 10
ELSEWHERE = "198.51.100.7"


def other_app(world: World) -> Phone:
    return world.phone(
        client_id=OTHER_CLIENT_ID, redirect_uri=f"{ORIGIN}/callback", scope="account:information", state="other"
    )


def session_id(number: int) -> str:
    return f"{number:043d}"


def writes(world: World) -> int:
    return sum(call in ("dynamodb:PutItem", "dynamodb:UpdateItem") for call in world.aws.made)


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(SOURCE_LIMIT=str(LIMIT)) as running:
        yield running


@pytest.fixture
def flooded(world: World) -> World:
    """The default source has used up its sign-ins of the default app for now."""
    attacker = world.phone()
    for _ in range(LIMIT):
        assert attacker.authorize().location.startswith("https://app.aries.example/")
    return world


def assert_put_off(answer: Answer, description: str) -> None:
    """Check that the app learns that its person may try again."""
    assert answer.location.startswith(APP_URI)
    assert answer.query == {
        "error": "temporarily_unavailable",
        "error_description": description,
        "iss": ISSUER,
        "state": "app-state",
    }


class TestSignIns:
    def test_a_flood_writes_no_more_than_the_limit_and_is_told_to_try_again(self, world: World) -> None:
        attacker = world.phone()
        answers = [attacker.authorize() for _ in range(FLOOD)]
        assert len(world.rows()) == LIMIT
        assert world.aws.counted() == {"dynamodb": LIMIT}
        for answer in answers[LIMIT:]:
            assert_put_off(answer, "Too many sign-ins from this network. Try again in a moment.")
            assert answer.cookies == []

    @pytest.mark.long
    def test_the_limit_that_the_template_gives_is_kept_too(self) -> None:
        limit = source()["Parameters"]["SourceLimit"]["Default"]
        with running_world(SOURCE_LIMIT=str(limit)) as world:
            attacker = world.phone()
            answers = [attacker.authorize() for _ in range(limit + 100)]
            assert len(world.rows()) == limit
            assert_put_off(answers[limit], "Too many sign-ins from this network. Try again in a moment.")
            for number in range(limit + 100):
                world.phone(source=ELSEWHERE).refresh(f"{session_id(number)}.1.{session_id(number)}")
            assert writes(world) == 2 * limit

    def test_other_sources_and_other_apps_sign_in_meanwhile(self, flooded: World) -> None:
        assert flooded.phone().authorize().query["error"] == "temporarily_unavailable"
        assert flooded.phone(source=ELSEWHERE).sign_in().status == 200
        assert other_app(flooded).sign_in().status == 200

    def test_whoever_shares_the_address_gets_in_a_moment_later(self, flooded: World) -> None:
        flooded.clock.time += 60 / LIMIT
        assert flooded.phone().sign_in().status == 200

    def test_who_had_begun_to_sign_in_finishes_and_who_is_signed_in_notices_nothing(self, world: World) -> None:
        active, begun = world.signed_in(), world.phone()
        returning = begun.approve(begun.authorize())
        for _ in range(FLOOD):
            world.phone().authorize()
        assert begun.redeem(begun.callback(returning).query["code"]).status == 200
        world.clock.time += GRACE + 1
        for _ in range(FLOOD):
            world.phone().authorize()
        assert active.refresh().status == 200
        assert active.revoke().status == 200

    def test_a_header_that_a_client_writes_makes_nobody_another_source(self, flooded: World) -> None:
        for headers in (
            {"x-forwarded-for": ELSEWHERE},
            {"forwarded": f"for={ELSEWHERE}"},
            {"x-real-ip": ELSEWHERE},
            {"cloudfront-viewer-address": f"{ELSEWHERE}:443"},
        ):
            query = flooded.phone().authorization_query()
            answer = flooded.call("authorize", "GET", "/oauth2/authorize", query=query, headers=headers)
            assert answer.query["error"] == "temporarily_unavailable"

    def test_requests_that_start_nothing_use_nothing_up(self, world: World) -> None:
        wrong = world.phone(scope="unknown")
        for _ in range(FLOOD):
            assert wrong.authorize().query["error"] == "invalid_scope"
            assert wrong.authorize(redirect_uri="https://evil.example/").status == 400
        assert world.aws.counted() == {}
        assert world.phone().sign_in().status == 200

    def test_it_shows_in_the_log_and_counts_as_refused_and_not_as_a_sign_in_that_failed(self, flooded: World) -> None:
        flooded.phone().authorize()
        assert flooded.telemetry.counted("SignInsFailed") == 0
        assert ("RequestsRefused", {"error": "temporarily_unavailable"}) in flooded.telemetry.metrics
        level, event, fields = flooded.telemetry.lines[-1]
        assert (level, event, fields["reason"]) == ("info", "sign_in_failed", "too_many_from_source")
        assert "192.0.2.1" not in str(flooded.telemetry.lines)

    def test_without_a_limit_there_is_none(self, world: World) -> None:
        phone, unlimited = world.phone(), world.make_handler("authorize", SOURCE_LIMIT="0")
        for _ in range(FLOOD):
            answer = world.call(
                "authorize", "GET", "/oauth2/authorize", query=phone.authorization_query(), via=unlimited
            )
            assert answer.location.startswith("https://app.aries.example/")


FINISHED = 20
TOO_MANY = "too_many_sign_ins_from_source"


@pytest.fixture
def hourly() -> Iterator[World]:
    """A broker with a limit of 20 finished sign-ins an hour, for one source and one app."""
    with running_world(SIGN_IN_LIMIT=str(FINISHED)) as world:
        yield world


def signs_in_by_script(world: World, times: int) -> list[tuple[Phone, str, Answer]]:
    """A person with an account at Aries signs in five times a second, within SourceLimit.

    Each sign-in comes with the query of its callback, and the answer.
    """
    made = []
    for _ in range(times):
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        made.append((phone, returning, phone.callback(returning)))
        world.clock.time += 0.2
    return made


class TestFinishedSignIns:
    def test_a_person_who_signs_in_by_script_makes_no_more_secrets_than_the_limit(self, hourly: World) -> None:
        answers = [answer for _, _, answer in signs_in_by_script(hourly, FINISHED + 15)]
        assert all(answer.query["code"] for answer in answers[:FINISHED])
        for answer in answers[FINISHED:]:
            assert_put_off(answer, "The sign-in failed for now. Try again in a moment.")
        assert len(hourly.session_secrets()) == FINISHED
        assert hourly.aries.token_calls == FINISHED

    def test_both_alarms_on_sign_ins_hear_of_it_and_the_log_says_why(self, hourly: World) -> None:
        signs_in_by_script(hourly, FINISHED + 15)
        # SecretsCreated drives ManySignInsAlarm, SignInsFailed drives SignInsFailAlarm.
        assert hourly.telemetry.counted("SecretsCreated") == FINISHED
        assert hourly.telemetry.metrics.count(("SignInsFailed", {"reason": TOO_MANY})) == 15
        level, event, fields = hourly.telemetry.lines[-1]
        assert (level, event, fields["reason"]) == ("info", "sign_in_failed", TOO_MANY)
        assert "192.0.2.1" not in str(hourly.telemetry.lines)

    def test_a_reload_beyond_it_says_the_same_and_costs_no_call_of_aries(self, hourly: World) -> None:
        phone, returning, answer = signs_in_by_script(hourly, FINISHED + 1)[-1]
        assert answer.query["error"] == "temporarily_unavailable"
        assert (phone.row()["status"], phone.row()["failed_error"]) == ("failed", "temporarily_unavailable")
        assert "code_verifier" not in phone.row()
        # By then the source has room again. The refused sign-in stays refused, and its person begins anew.
        hourly.clock.time += 300
        assert phone.callback(returning) == answer
        assert hourly.aries.token_calls == FINISHED

    @pytest.mark.long
    def test_nobody_else_notices(self, hourly: World) -> None:
        active = hourly.signed_in()
        signs_in_by_script(hourly, FINISHED + 15)
        assert hourly.phone(source=ELSEWHERE).sign_in().status == 200
        assert other_app(hourly).sign_in().status == 200
        hourly.clock.time += GRACE + 1
        assert active.refresh().status == 200
        assert active.revoke().status == 200

    @pytest.mark.long
    def test_it_lets_go_one_sign_in_at_a_time_and_after_an_hour_altogether(self, hourly: World) -> None:
        signs_in_by_script(hourly, FINISHED + 15)
        hourly.clock.time += 3600 / FINISHED
        assert hourly.phone().sign_in().status == 200
        hourly.clock.time += 3600
        answers = [answer for _, _, answer in signs_in_by_script(hourly, FINISHED + 1)]
        assert all(answer.query.get("code") for answer in answers[:FINISHED])
        assert answers[FINISHED].query["error"] == "temporarily_unavailable"

    @pytest.mark.long
    def test_another_browser_cannot_end_a_sign_in_by_it(self, hourly: World) -> None:
        honest = hourly.phone(source=ELSEWHERE)
        returning = honest.approve(honest.authorize())
        signs_in_by_script(hourly, FINISHED)
        name = next(iter(honest.cookies))
        for cookies in ([], [f"{name}={'A' * 43}"]):
            answer = hourly.call("callback", "GET", "/oauth2/callback", query=returning, cookies=cookies)
            assert answer.status == 400
        assert honest.row()["status"] == "pending"
        assert honest.redeem(honest.callback(returning).query["code"]).status == 200

    @pytest.mark.long
    def test_what_makes_no_secret_uses_nothing_up(self, hourly: World) -> None:
        for _ in range(FINISHED):
            hourly.aries.faults.append(Fault("invalid_grant"))
            phone = hourly.phone()
            assert phone.callback(phone.approve(phone.authorize())).query["error"] == "server_error"
            declined = hourly.phone()
            declined.authorize()
            denied = declined.callback(f"state={declined.aries_state}&error=access_denied")
            assert denied.query["error"] == "access_denied"
            hourly.clock.time += 0.5
        (phone, returning, answer), *_ = signs_in_by_script(hourly, FINISHED)
        assert phone.callback(returning) == answer
        assert len(hourly.session_secrets()) == FINISHED

    @pytest.mark.long
    def test_each_process_counts_by_itself(self, hourly: World) -> None:
        signs_in_by_script(hourly, FINISHED)
        phone, another = hourly.phone(), hourly.make_handler("callback")
        returning = phone.approve(phone.authorize())
        assert phone.callback(returning, via=another).query["code"]

    @pytest.mark.long
    def test_without_a_limit_there_is_none(self) -> None:
        with running_world(SIGN_IN_LIMIT="0") as world:
            assert all(answer.query["code"] for _, _, answer in signs_in_by_script(world, FINISHED + 15))


class TestCodesAndTokens:
    def test_a_flood_of_bad_codes_costs_a_read_each_and_nothing_else(self, world: World) -> None:
        honest = world.phone()
        code = honest.code()
        calls = world.aries.token_calls
        world.aws.made.clear()
        for number in range(FLOOD):
            assert world.phone().redeem(f"{session_id(number)}.{session_id(number)}").status == 400
            assert world.phone().redeem(f"{honest.session_id}.{session_id(number)}").status == 400
        assert world.aws.counted() == {"dynamodb": 2 * FLOOD}
        assert writes(world) == 0
        assert world.aries.token_calls == calls
        assert honest.redeem(code).status == 200

    @pytest.mark.parametrize("function", ["token", "refresh"])
    def test_a_flood_of_bad_refresh_tokens_writes_to_the_limit_and_asks_neither_secrets_nor_aries(
        self, world: World, function: str
    ) -> None:
        honest = world.signed_in()
        calls = world.aries.token_calls
        world.clock.time += GRACE + 1
        world.aws.made.clear()
        bad = [
            world.phone().refresh(f"{session_id(number)}.1.{session_id(number)}", function=function)
            for number in range(FLOOD)
        ]
        assert {(answer.status, answer.json["error"]) for answer in bad} == {(400, "invalid_grant")}
        assert world.aws.counted() == {"dynamodb": FLOOD}
        assert writes(world) == LIMIT
        assert world.aries.token_calls == calls
        # The honest refresh comes from the same address, and has no pause to wait for.
        assert honest.refresh(function=function).status == 200
        assert world.aries.token_calls == calls + 1

    @pytest.mark.long
    def test_behind_a_flood_a_replay_a_late_retry_and_a_reuse_are_told_apart_as_ever(self, world: World) -> None:
        honest, waiting = world.signed_in(), world.signed_in()
        first, answer = honest.refresh_token, None
        self._flood(world)
        world.clock.time += GRACE + 1
        self._flood(world)
        answer = honest.refresh()
        assert answer.status == 200
        self._flood(world)
        assert honest.refresh(first).json["refresh_token"] == answer.json["refresh_token"]
        second = honest.refresh_token
        world.clock.time += GRACE + 1
        self._flood(world)
        assert honest.refresh(first).status == 200
        self._flood(world)
        assert honest.refresh(second).status == 400
        assert honest.row()["status"] == "dead"
        assert world.telemetry.counted("ReuseDetected") == 1
        assert waiting.refresh().status == 200

    def test_behind_a_flood_another_apps_token_is_refused_and_ends_nothing(self, world: World) -> None:
        honest = world.signed_in()
        self._flood(world)
        thief = other_app(world)
        for _ in range(FLOOD):
            thief.refresh(f"{session_id(0)}.1.{session_id(0)}")
        assert thief.refresh(honest.refresh_token).status == 400
        assert thief.revoke(honest.refresh_token).status == 200
        assert honest.row()["status"] == "active"

    def test_a_flood_of_bad_tokens_to_revoke_writes_to_the_limit_and_an_honest_sign_out_is_done(
        self, world: World
    ) -> None:
        honest = world.signed_in()
        world.aws.made.clear()
        for number in range(FLOOD):
            assert world.phone().revoke(f"{session_id(number)}.1.{session_id(number)}").status == 200
        assert world.aws.counted() == {"dynamodb": FLOOD}
        assert writes(world) == LIMIT
        assert honest.revoke().status == 200
        assert honest.row()["status"] == "revoked"
        assert world.session_secrets() == []

    def test_an_attacker_who_tries_the_id_of_a_session_does_not_lock_it(self, world: World) -> None:
        victim = world.signed_in(source=ELSEWHERE)
        calls = world.aries.token_calls
        world.clock.time += GRACE + 1
        before = victim.row()
        world.aws.made.clear()
        for number in range(FLOOD):
            assert world.phone().refresh(f"{victim.session_id}.1.{session_id(number)}").status == 400
        # Each request asks for the lease, does not get it, and has its token checked against the session's key. Past
        # the limit the requests only read.
        to_the_limit = ["dynamodb:UpdateItem", "secrets-manager:GetSecretValue"]
        beyond = ["dynamodb:GetItem", "secrets-manager:GetSecretValue"]
        assert world.aws.made == to_the_limit * LIMIT + beyond * (FLOOD - LIMIT)
        assert world.aries.token_calls == calls
        assert victim.row() == before
        assert victim.row()["status"] == "active"
        assert victim.refresh().status == 200

    def test_made_up_tokens_of_a_real_session_to_revoke_write_to_the_limit_too(self, world: World) -> None:
        victim = world.signed_in(source=ELSEWHERE)
        before = victim.row()
        world.aws.made.clear()
        for number in range(FLOOD):
            assert world.phone().revoke(f"{victim.session_id}.1.{session_id(number)}").status == 200
        to_the_limit = ["dynamodb:UpdateItem", "secrets-manager:GetSecretValue"]
        beyond = ["dynamodb:GetItem", "secrets-manager:GetSecretValue"]
        assert world.aws.made == to_the_limit * LIMIT + beyond * (FLOOD - LIMIT)
        assert victim.row() == before
        assert victim.revoke().status == 200
        assert victim.row()["status"] == "revoked"

    @staticmethod
    def _flood(world: World) -> None:
        tries: list[Answer] = [
            world.phone().refresh(f"{session_id(number)}.1.{session_id(number)}") for number in range(FLOOD)
        ]
        assert {answer.status for answer in tries} == {400}
