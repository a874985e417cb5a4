"""requests-oauthlib, unmodified: https://requests-oauthlib.readthedocs.io/en/latest/oauth2_workflow.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from oauthlib.oauth2 import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    MismatchingStateError,
    MissingTokenError,
    WebApplicationClient,
)
from requests_oauthlib import OAuth2Session, TokenUpdated

from tests.e2e.person import sign_in
from tests.e2e.stock_clients import (
    ACCOUNT,
    ARIES_FAILS,
    CLIENT,
    ODD_STATES,
    REDIRECT_URI,
    SCOPE,
    Broker,
    same_tokens,
)
from tests.local.aries import Fault

pytestmark = pytest.mark.clients

# The library adds the client id to a refresh or a revocation on request only.
CLIENT_ID = {"client_id": CLIENT}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture(autouse=True)
def _http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow the library's documentation for a server over http."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@dataclass
class App:
    """An app on the library: its session and the discovered metadata."""

    session: OAuth2Session
    client: WebApplicationClient
    metadata: dict[str, Any]

    def authorization_url(self, **options: Any) -> str:
        url: str
        url, _ = self.session.authorization_url(self.metadata["authorization_endpoint"], **options)
        return url

    def redeem(self, redirect: str, **options: Any) -> dict[str, Any]:
        token = self.session.fetch_token(
            self.metadata["token_endpoint"], authorization_response=redirect, **{"include_client_id": True, **options}
        )
        return dict(token)

    def refresh(self, refresh_token: str | None = None, **options: Any) -> dict[str, Any]:
        token = self.session.refresh_token(
            self.metadata["token_endpoint"], refresh_token=refresh_token, **(options or CLIENT_ID)
        )
        return dict(token)

    def revoke(self) -> int:
        """Return the status of a sign-out's answer."""
        # The session has no method for revocation. Its underlying client has one.
        url, headers, body = self.client.prepare_token_revocation_request(
            self.metadata["revocation_endpoint"], self.session.token["refresh_token"], "refresh_token", **CLIENT_ID
        )
        answer: requests.Response = self.session.post(url, headers=headers, data=body, withhold_token=True)
        return answer.status_code


@pytest.fixture
def app(broker: Broker) -> Iterator[App]:
    client = WebApplicationClient(CLIENT)
    with OAuth2Session(client=client, scope=SCOPE.split(), redirect_uri=REDIRECT_URI, pkce="S256") as session:
        metadata = session.get(f"{broker.issuer}/.well-known/oauth-authorization-server").json()
        yield App(session, client, metadata)


@pytest.fixture
def signed_in(app: App) -> App:
    app.redeem(sign_in(app.authorization_url()))
    return app


# The default of the library, `include_client_id` absent, is HTTP Basic with an empty password.
BASIC = {"auth": requests.auth.HTTPBasicAuth(CLIENT, "")}


@pytest.mark.parametrize(
    ("redeem", "refresh"),
    [
        ({"include_client_id": True}, CLIENT_ID),
        ({"include_client_id": True, "client_secret": ""}, {**CLIENT_ID, "client_secret": ""}),
        ({"include_client_id": None}, BASIC),
    ],
    ids=["none", "post", "basic"],
)
def test_a_session_is_used_refreshed_refreshed_again_and_revoked(
    broker: Broker, app: App, redeem: dict[str, Any], refresh: dict[str, Any]
) -> None:
    first = app.redeem(sign_in(app.authorization_url()), **redeem)
    assert app.session.get(broker.aries + ACCOUNT).status_code == 200
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1):
        second = app.refresh(**refresh)
    assert first["access_token"] != second["access_token"]
    assert first["refresh_token"] != second["refresh_token"]
    with broker.refreshes_at_aries(0):
        assert same_tokens(app.refresh(first["refresh_token"], **refresh), second)
    assert app.session.get(broker.aries + ACCOUNT).status_code == 200
    assert app.revoke() == 200
    with broker.refreshes_at_aries(0), pytest.raises(InvalidGrantError):
        app.refresh(**refresh)


def kept_by_the_app(token: dict[str, Any]) -> dict[str, Any]:
    """Return a token as kept by an app with its own count of seconds, after the count has run out."""
    return {**{name: value for name, value in token.items() if name != "expires_at"}, "expires_in": -30}


def test_an_expired_token_is_refreshed_before_a_request_and_handed_to_the_token_updater(
    broker: Broker, signed_in: App
) -> None:
    token, updates = dict(signed_in.session.token), list[dict[str, Any]]()
    broker.wait_out_the_grace()
    with OAuth2Session(
        CLIENT,
        token=kept_by_the_app(token),
        auto_refresh_url=signed_in.metadata["token_endpoint"],
        auto_refresh_kwargs=CLIENT_ID,
        token_updater=lambda token: updates.append(dict(token)),
    ) as later:
        with broker.refreshes_at_aries(1):
            assert later.get(broker.aries + ACCOUNT).status_code == 200
        assert updates == [dict(later.token)]
    assert updates[0]["refresh_token"] != token["refresh_token"]


def test_without_a_token_updater_the_refreshed_token_is_raised_for_the_app_to_keep(
    broker: Broker, signed_in: App
) -> None:
    token = dict(signed_in.session.token)
    broker.wait_out_the_grace()
    url = signed_in.metadata["token_endpoint"]
    with (
        OAuth2Session(
            CLIENT, token=kept_by_the_app(token), auto_refresh_url=url, auto_refresh_kwargs=CLIENT_ID
        ) as later,
        pytest.raises(TokenUpdated) as updated,
    ):
        later.get(broker.aries + ACCOUNT)
    assert updated.value.token["refresh_token"] != token["refresh_token"]


@pytest.mark.parametrize(("fault", "seconds"), ARIES_FAILS)
def test_while_aries_fails_the_tokens_are_kept_and_the_repeated_refresh_works(
    broker: Broker, signed_in: App, fault: Fault, seconds: int
) -> None:
    kept = dict(signed_in.session.token)
    broker.wait_out_the_grace()
    # The library ignores the status and reads any body except JSON as a form, here one without `error` and token.
    with broker.aries_failing(fault), pytest.raises(MissingTokenError):
        signed_in.refresh()
    assert dict(signed_in.session.token) == kept
    assert signed_in.session.get(broker.aries + ACCOUNT).status_code == 200
    broker.wait(seconds)
    with broker.refreshes_at_aries(1):
        assert signed_in.refresh()["refresh_token"] != kept["refresh_token"]


def test_a_refused_sign_in_is_raised_as_access_denied(app: App) -> None:
    redirect = sign_in(app.authorization_url(), "deny")
    with pytest.raises(AccessDeniedError):
        app.redeem(redirect)
    assert not app.session.authorized


@pytest.mark.parametrize("state", ODD_STATES)
def test_any_state_comes_back_as_it_was(app: App, state: str) -> None:
    # The library compares the two states, and raises if they differ.
    app.session.state = state
    assert app.redeem(sign_in(app.authorization_url()))["token_type"] == "Bearer"


def test_a_wrong_state_is_noticed_and_the_code_can_still_be_redeemed(app: App) -> None:
    redirect = sign_in(app.authorization_url())
    with pytest.raises(MismatchingStateError):
        app.redeem(redirect.replace("state=", "state=another"))
    assert app.redeem(redirect)["token_type"] == "Bearer"


def test_a_client_secret_is_refused_and_the_code_not_used_up(app: App) -> None:
    redirect = sign_in(app.authorization_url())
    for include_client_id in (True, None):
        with pytest.raises(InvalidClientError):
            app.redeem(redirect, include_client_id=include_client_id, client_secret="secret")
    assert app.redeem(redirect)["token_type"] == "Bearer"
