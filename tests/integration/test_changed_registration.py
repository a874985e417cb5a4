"""An app's registration changes during its sign-ins and sessions."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any
from urllib.parse import urlencode

import pytest

from oauth_broker.sessions.row import timeline_entries
from tests.support.aws_calls import ProcessDied
from tests.support.deployment import APP_URI, APPS, CLIENT_ID, GRACE, SCOPE
from tests.support.long import long_but
from tests.support.operator import KINDS, at_call
from tests.support.world import Answer, Phone, World, running_world

REMOVED_SCOPE = SCOPE.split()[0]
PAGE = "This sign-in link does not work"


def registered(**changes: Any) -> dict[str, str]:
    """Return the environment after a deployment with a changed registration of the app."""
    apps = deepcopy(APPS)
    apps[CLIENT_ID] |= changes
    return {"APPS": json.dumps(apps)}


def without_scope() -> dict[str, str]:
    return registered(scopes=[scope for scope in APPS[CLIENT_ID]["scopes"] if scope != REMOVED_SCOPE])


def without_redirect() -> dict[str, str]:
    return registered(redirect_uris=[uri for uri in APPS[CLIENT_ID]["redirect_uris"] if uri != APP_URI])


def without_app() -> dict[str, str]:
    return {"APPS": json.dumps({name: app for name, app in APPS.items() if name != CLIENT_ID})}


def assert_ended(world: World, phone: Phone) -> None:
    row = phone.row()
    assert row["status"] == "dead"
    last = timeline_entries(tuple(text["S"] for text in row["timeline"]))[-1]
    assert (last.event, last.reason) == ("dead", "scope_removed")
    assert world.session_secrets() == []


def assert_refused(answer: Answer, error: str = "invalid_grant") -> None:
    assert (answer.status, answer.json["error"]) == (400, error)


class TestASession:
    @pytest.mark.parametrize("function", ["token", "refresh"])
    def test_whose_scope_its_app_may_no_longer_have_ends_at_its_next_refresh(self, world: World, function: str) -> None:
        phone = world.refreshable()
        asked = world.aries.refresh_calls
        assert_refused(phone.refresh(function=function, via=world.make_handler(function, **without_scope())))
        assert_ended(world, phone)
        assert world.aries.refresh_calls == asked
        assert ("SessionsEnded", {"reason": "scope_removed"}) in world.telemetry.metrics
        assert ("RefreshesRejected", {"reason": "scope_removed"}) in world.telemetry.metrics
        ended = [fields for _, event, fields in world.telemetry.lines if event == "session_ended"]
        assert [fields["reason"] for fields in ended] == ["scope_removed"]
        # Restoring the registration does not bring the session back.
        assert_refused(phone.refresh())

    def test_is_not_answered_again_within_the_grace_either(self, world: World) -> None:
        phone = world.refreshable()
        before = phone.refresh_token
        assert phone.refresh().status == 200
        assert_refused(phone.refresh(before, via=world.make_handler("token", **without_scope())))
        assert_ended(world, phone)

    def test_ends_though_another_worker_holds_its_lease_and_that_one_cannot_commit(self, world: World) -> None:
        phone = world.refreshable()
        token, other = phone.refresh_token, world.make_handler("token", **without_scope())
        with world.aws.visited("PutSecretValue", lambda: phone.refresh(token, via=other)):
            assert_refused(phone.refresh(token))
        assert_ended(world, phone)

    def test_lives_on_if_its_app_loses_a_scope_it_does_not_have_or_gains_one(self, world: World) -> None:
        phone = world.refreshable()
        scopes = [*SCOPE.split(), "something:new"]
        assert phone.refresh(via=world.make_handler("token", **registered(scopes=scopes))).status == 200

    def test_is_not_ended_by_a_token_that_is_not_its_own(self, world: World) -> None:
        phone = world.refreshable()
        forged = f"{phone.session_id}.1.{'x' * 43}"
        assert_refused(phone.refresh(forged, via=world.make_handler("token", **without_scope())))
        assert phone.row()["status"] == "active"

    def test_keeps_its_redirect_uri_which_no_refresh_sends_a_browser_to(self, world: World) -> None:
        phone = world.refreshable()
        assert phone.refresh(via=world.make_handler("token", **without_redirect())).status == 200

    def test_of_an_app_that_is_gone_is_refused_as_its_app_is(self, world: World) -> None:
        phone = world.refreshable()
        answer = phone.refresh(via=world.make_handler("token", **without_app()))
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        assert phone.row()["status"] == "active"

    @pytest.mark.parametrize("kind", long_but(["dies_after", "throttled"], KINDS))
    @pytest.mark.parametrize("leased", long_but([True], [True, False]))
    def test_ends_whatever_call_of_it_fails_by_one_more_refresh(self, kind: str, leased: bool) -> None:
        number = 0
        while True:
            number += 1
            with running_world() as world:
                phone = world.refreshable() if leased else world.signed_in()
                with at_call(world, number, kind) as hit, suppress(ProcessDied):
                    answer = phone.refresh(via=world.make_handler("token", **without_scope()))
                    assert answer.status == 503 or answer.json["error"] == "invalid_grant"
                if not hit:
                    assert_ended(world, phone)
                    break
                world.clock.time += 2 * GRACE
                assert_refused(phone.refresh(via=world.make_handler("token", **without_scope())))
                assert phone.row()["status"] == "dead"
        # Five calls: the not-before times, the lease, the end, the secret, and one beyond them without a fault.
        assert number == 5


class TestASignIn:
    @pytest.mark.parametrize("change", [without_redirect, without_app])
    def test_to_a_redirect_uri_that_was_taken_away_stops_at_a_page_and_aries_is_not_asked(
        self, world: World, change: Any
    ) -> None:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        callback = world.make_handler("callback", **change())
        for _ in range(2):
            answer = phone.callback(returning, via=callback)
            assert answer.status == 400
            assert "location" not in answer.headers
            assert PAGE in answer.body
        assert world.token_requests() == []
        assert ("PagesShown", {"reason": "redirect_uri_removed"}) in world.telemetry.metrics

    def test_that_was_declined_sends_no_error_there_either(self, world: World) -> None:
        phone = world.phone()
        state = phone.authorize().query["state"]
        answer = phone.callback(
            urlencode({"error": "access_denied", "state": state}),
            via=world.make_handler("callback", **without_redirect()),
        )
        assert (answer.status, "location" in answer.headers) == (400, False)

    @pytest.mark.parametrize("end", ["issued", "failed"])
    def test_that_is_over_sends_nobody_there_when_it_is_loaded_again(self, world: World, end: str) -> None:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        if end == "failed":
            returning = urlencode({"error": "access_denied", "state": phone.aries_state})
        assert phone.callback(returning).location.startswith(APP_URI)
        answer = phone.callback(returning, via=world.make_handler("callback", **without_redirect()))
        assert (answer.status, "location" in answer.headers) == (400, False)

    def test_with_a_scope_that_was_taken_away_fails_with_invalid_scope_and_aries_is_not_asked(
        self, world: World
    ) -> None:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        callback = world.make_handler("callback", **without_scope())
        for _ in range(2):
            answer = phone.callback(returning, via=callback)
            assert answer.location.startswith(APP_URI)
            assert answer.query["error"] == "invalid_scope"
        assert world.token_requests() == []

    def test_that_was_stopped_at_a_page_is_over_and_says_why(self, world: World) -> None:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        phone.callback(returning, via=world.make_handler("callback", **without_redirect()))
        row = phone.row()
        assert row["status"] == "failed"
        assert timeline_entries(tuple(text["S"] for text in row["timeline"]))[-1].reason == "redirect_uri_removed"
        # Once the registration is back, the app hears of the failure.
        assert phone.callback(returning).query["error"] == "server_error"

    @pytest.mark.parametrize("change", [without_redirect, without_scope])
    def test_whose_code_comes_a_second_time_ends_its_session_whatever_became_of_the_registration(
        self, world: World, change: Any
    ) -> None:
        """Two parties hold the code and the verifier: RFC 6749 section 4.1.2."""
        phone = world.phone()
        code = phone.code()
        assert phone.redeem(code).status == 200
        assert_refused(phone.redeem(code, via=world.make_handler("token", **change())))
        assert phone.row()["status"] == "dead"
        assert ("ReuseDetected", {}) in world.telemetry.metrics

    @pytest.mark.parametrize("change", [without_redirect, without_scope])
    def test_whose_code_is_not_redeemed_yet_gets_no_tokens(self, world: World, change: Any) -> None:
        phone = world.phone()
        code = phone.code()
        assert_refused(phone.redeem(code, via=world.make_handler("token", **change())))
        assert phone.row()["status"] == "issued"
        # The refusal uses up nothing, so an operator can undo a mistake in the registration.
        assert phone.redeem(code).status == 200
