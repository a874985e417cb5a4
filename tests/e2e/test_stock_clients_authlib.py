"""Authlib's requests client, unmodified: https://docs.authlib.org/en/latest/client/oauth2.html."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import rfc8414
from authlib.oauth2.rfc6749.errors import MissingCodeException
from authlib.oidc import discovery

from tests.e2e.person import sign_in
from tests.e2e.stock_clients import (
    ACCOUNT,
    ARIES_FAILS,
    CLIENT,
    ODD_STATES,
    REDIRECT_URI,
    SCOPE,
    Broker,
    parameters_of,
    same_tokens,
)
from tests.local.aries import Fault

pytestmark = pytest.mark.clients

AT_ONCE = 5
PUBLIC = {"token_endpoint_auth_method": "none"}
# Two more settings of Authlib for an app without a client secret.
EMPTY_SECRETS = [
    {
        "client_secret": "",
        "token_endpoint_auth_method": f"client_secret_{place}",
        "revocation_endpoint_auth_method": f"client_secret_{place}",
    }
    for place in ("basic", "post")
]


@pytest.fixture(scope="module", params=["secrets", "row"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with Broker(token_store=request.param) as broker:
        yield broker
        rows = broker.client("dynamodb").scan(TableName=broker.table)["Items"]
        assert any("sealed" in row for row in rows) == (request.param == "row")


@pytest.fixture(autouse=True)
def _http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow Authlib's documentation for a server over http."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def new_session(broker: Broker, **options: Any) -> OAuth2Session:
    """Return a session set up from the metadata. Authlib takes its members by their own names."""
    metadata = requests.get(rfc8414.get_well_known_url(broker.issuer, external=True), timeout=30).json()
    endpoints = {name: metadata[name] for name in ("authorization_endpoint", "token_endpoint", "revocation_endpoint")}
    return OAuth2Session(
        CLIENT,
        scope=SCOPE,
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        **{**PUBLIC, **endpoints, **options},
    )


def authorize(session: OAuth2Session, state: str | None = None) -> tuple[str, str, str]:
    """Return the authorization URL, its state and the code verifier."""
    verifier = generate_token(48)
    url, state = session.create_authorization_url(
        session.metadata["authorization_endpoint"], state=state, code_verifier=verifier
    )
    return url, state, verifier


@pytest.fixture
def session(broker: Broker, request: pytest.FixtureRequest) -> Iterator[OAuth2Session]:
    """A signed-in session, set up with the test's parameter."""
    with new_session(broker, **getattr(request, "param", {})) as session:
        url, state, verifier = authorize(session)
        session.fetch_token(authorization_response=sign_in(url), state=state, code_verifier=verifier)
        yield session


@pytest.mark.parametrize(
    ("well_known_url", "metadata_class"),
    [
        (rfc8414.get_well_known_url, rfc8414.AuthorizationServerMetadata),
        (discovery.get_well_known_url, discovery.OpenIDProviderMetadata),
    ],
)
def test_both_metadata_documents_are_found_and_valid(
    broker: Broker, well_known_url: Callable[..., str], metadata_class: Callable[[Any], Any]
) -> None:
    metadata = metadata_class(requests.get(well_known_url(broker.issuer, external=True), timeout=30).json())
    metadata.validate()
    assert metadata["issuer"] == broker.issuer


@pytest.mark.parametrize("session", [PUBLIC, *EMPTY_SECRETS], indirect=True, ids=["none", "basic", "post"])
def test_a_session_is_used_refreshed_refreshed_again_and_revoked(broker: Broker, session: OAuth2Session) -> None:
    first = dict(session.token)
    assert session.get(broker.aries + ACCOUNT).status_code == 200
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1):
        second = dict(session.refresh_token())
    assert first["access_token"] != second["access_token"]
    assert first["refresh_token"] != second["refresh_token"]
    with broker.refreshes_at_aries(0):
        assert same_tokens(session.refresh_token(refresh_token=first["refresh_token"]), second)
    assert session.get(broker.aries + ACCOUNT).status_code == 200
    assert session.revoke_token(session.metadata["revocation_endpoint"]).status_code == 200
    with broker.refreshes_at_aries(0), pytest.raises(OAuthError) as refused:
        session.refresh_token()
    assert refused.value.error == "invalid_grant"


def test_a_refresh_whose_answer_was_lost_is_made_good_however_late(broker: Broker, session: OAuth2Session) -> None:
    kept = session.token["refresh_token"]
    broker.wait_out_the_grace()
    lost = dict(session.refresh_token())
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1):
        assert not same_tokens(session.refresh_token(refresh_token=kept), lost)
    assert session.get(broker.aries + ACCOUNT).status_code == 200


@pytest.mark.parametrize("session", [{"leeway": 7200}], indirect=True)
def test_an_expired_token_is_refreshed_before_a_request_and_handed_to_update_token(
    broker: Broker, session: OAuth2Session
) -> None:
    updates: list[tuple[dict[str, Any], str]] = []
    session.update_token = lambda token, refresh_token: updates.append((dict(token), refresh_token))
    first = dict(session.token)
    broker.wait_out_the_grace()
    # A leeway of two hours makes every token of one hour count as expired.
    with broker.refreshes_at_aries(1):
        assert session.get(broker.aries + ACCOUNT).status_code == 200
    assert updates == [(dict(session.token), first["refresh_token"])]
    assert session.token["refresh_token"] != first["refresh_token"]


def test_a_token_that_is_good_for_an_hour_is_not_refreshed_before_a_request(
    broker: Broker, session: OAuth2Session
) -> None:
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(0):
        assert session.get(broker.aries + ACCOUNT).status_code == 200


@pytest.mark.parametrize("session", [{"leeway": 7200}], indirect=True)
def test_threads_whose_token_has_expired_refresh_it_once_and_all_get_their_answer(
    broker: Broker, session: OAuth2Session
) -> None:
    token = dict(session.token)

    def use_it(_: int) -> tuple[int, str]:
        # A session serves one thread, so each has its own, with the same token.
        with new_session(broker, leeway=7200, token=token) as own:
            return own.get(broker.aries + ACCOUNT).status_code, own.token["refresh_token"]

    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1), ThreadPoolExecutor(AT_ONCE) as pool:
        answers = set(pool.map(use_it, range(AT_ONCE)))
    ((status, refresh_token),) = answers
    assert status == 200
    assert refresh_token != token["refresh_token"]


@pytest.mark.parametrize(("fault", "seconds"), ARIES_FAILS)
def test_while_aries_fails_the_tokens_are_kept_and_the_repeated_refresh_works(
    broker: Broker, session: OAuth2Session, fault: Fault, seconds: int
) -> None:
    kept = dict(session.token)
    broker.wait_out_the_grace()
    with broker.aries_failing(fault), pytest.raises(requests.HTTPError) as failure:
        session.refresh_token()
    assert failure.value.response.status_code == 503
    assert dict(session.token) == kept
    assert session.get(broker.aries + ACCOUNT).status_code == 200
    broker.wait(seconds)
    with broker.refreshes_at_aries(1):
        assert session.refresh_token()["refresh_token"] != kept["refresh_token"]


def test_a_refused_sign_in_carries_the_error_and_yields_no_token(broker: Broker) -> None:
    with new_session(broker) as session:
        url, state, verifier = authorize(session)
        redirect = sign_in(url, "deny")
        # Authlib leaves `error` to its user, and itself reports the missing code.
        answer = parameters_of(redirect)
        assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", state, broker.issuer)
        with pytest.raises(MissingCodeException):
            session.fetch_token(
                authorization_response=redirect,
                grant_type="authorization_code",
                state=state,
                code_verifier=verifier,
            )
        assert session.token is None


@pytest.mark.parametrize("state", ODD_STATES)
def test_any_state_comes_back_as_it_was(broker: Broker, state: str) -> None:
    with new_session(broker) as session:
        url, _, verifier = authorize(session, state)
        # Authlib compares the two states, and raises if they differ.
        token = session.fetch_token(authorization_response=sign_in(url), state=state, code_verifier=verifier)
        assert token["token_type"] == "Bearer"


def test_a_wrong_state_is_noticed_and_the_code_can_still_be_redeemed(broker: Broker) -> None:
    with new_session(broker) as session:
        url, state, verifier = authorize(session)
        redirect = sign_in(url)
        with pytest.raises(AuthlibBaseError, match="mismatching_state"):
            session.fetch_token(authorization_response=redirect, state="another", code_verifier=verifier)
        assert session.fetch_token(authorization_response=redirect, state=state, code_verifier=verifier)


def test_a_client_secret_is_refused_and_the_code_not_used_up(broker: Broker) -> None:
    with new_session(broker) as session:
        url, state, verifier = authorize(session)
        answer = {"authorization_response": sign_in(url), "state": state, "code_verifier": verifier}
        for place in ("basic", "post"):
            with (
                new_session(
                    broker, client_secret="secret", token_endpoint_auth_method=f"client_secret_{place}"
                ) as confidential,
                pytest.raises(OAuthError) as refused,
            ):
                confidential.fetch_token(**answer)
            assert refused.value.error == "invalid_client"
        assert session.fetch_token(**answer)["token_type"] == "Bearer"
