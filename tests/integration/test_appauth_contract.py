"""AppAuth on iOS and Android, libraries for phones alone: the demands and decisions in their source.

Comments cite files. Names with the prefix OID belong to AppAuth-iOS (``Source/AppAuthCore``), names with the suffix
``.java`` to AppAuth-Android (``net.openid.appauth``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest

from oauth_broker.errors import OAuthError
from tests.local.aries import Fault
from tests.local.aries.faults import FaultKind
from tests.support.aws_calls import FAILURES
from tests.support.deployment import APP_URI, CLIENT_ID, GRACE, ISSUER, OTHER_CLIENT_ID, SCOPE
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but
from tests.support.pkce import VERIFIER
from tests.support.world import Answer, Phone, World

# OIDAuthState.m kExpiryTimeTolerance, AuthState.java EXPIRY_TIME_TOLERANCE_MS: seconds.
EXPIRY_TOLERANCE = 60
# AuthorizationException.java TokenRequestErrors. OIDError.h OIDErrorCodeOAuthToken has the same names.
TOKEN_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
}
# AuthorizationException.java AuthorizationRequestErrors. OIDError.h OIDErrorCodeOAuthAuthorization has the same names.
AUTHORIZATION_ERRORS = {
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
}


class Reaction(Enum):
    """The fate of the app's session."""

    TOKENS = "the answer's tokens are taken"
    KEPT = "nothing changes, the app may try again"
    SIGNED_OUT = "an authorization error is set: the app has no tokens any more"


def parsed(answer: Answer) -> dict[str, Any] | None:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def on_ios(answer: Answer) -> Reaction:
    """OIDAuthorizationService.m performTokenRequest, then OIDAuthState.m performActionWithFreshTokens."""
    document = parsed(answer)
    if answer.status == 200:
        return Reaction.KEPT if document is None else Reaction.TOKENS
    # "HTTP 4xx may indicate an RFC6749 Section 5.2 error response": OIDOAuthTokenErrorDomain alone ends the session.
    if 400 <= answer.status < 500 and document is not None and "error" in document:
        return Reaction.SIGNED_OUT
    return Reaction.KEPT


def on_android(answer: Answer) -> Reaction:
    """AuthorizationService.java TokenRequestTask, then AuthState.java update.

    The status decides nothing. TYPE_OAUTH_TOKEN_ERROR alone ends the session, and any ``error`` makes one, even a
    503's.
    """
    document = parsed(answer)
    if document is None:
        return Reaction.KEPT
    if "error" in document:
        return Reaction.SIGNED_OUT
    # TokenResponse.java fromResponseJson: JsonUtil.getString throws if token_type is missing.
    return Reaction.TOKENS if "token_type" in document else Reaction.KEPT


def reaction(answer: Answer) -> Reaction:
    """Return the decision of both libraries. If they differ, then one app behaves differently on each platform."""
    assert on_ios(answer) == on_android(answer), answer
    return on_ios(answer)


def assert_kept(answer: Answer, status: int = 503) -> None:
    assert (answer.status, reaction(answer)) == (status, Reaction.KEPT)
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1


def assert_tokens(answer: Answer) -> None:
    """Check a token answer as both libraries read it."""
    assert reaction(answer) == Reaction.TOKENS, answer
    document = answer.json
    # OIDFieldMapping.m drops a member of another type silently. TokenResponse.java throws at an empty one.
    for member in ("access_token", "token_type", "refresh_token", "scope"):
        assert isinstance(document[member], str)
        assert document[member]
    assert document["token_type"] == "Bearer"
    # OIDFieldMapping.m dateSinceNowConversion takes an NSNumber alone. TokenResponse.java reads a long.
    assert type(document["expires_in"]) is int
    # OIDAuthorizationService.m and AuthorizationService.java validate an ID token if one is present.
    assert "id_token" not in document


# CharacterSet.urlQueryAllowed without the separators of a query.
_ALLOWED_IN_QUERY = "!$'()*,-./:;?@_~"


def ios_form(fields: Mapping[str, str]) -> str:
    """OIDURLQueryComponent.m URLEncodedParameters: characters legal in a query stay, a plus sign is encoded."""
    return "&".join(f"{name}={quote(value, safe=_ALLOWED_IN_QUERY)}" for name, value in fields.items())


def android_form(fields: Mapping[str, str]) -> str:
    """UriUtil.java formUrlEncode, which is java.net.URLEncoder."""
    return "&".join(f"{name}={quote_plus(value, safe='*').replace('~', '%7E')}" for name, value in fields.items())


# OIDTokenRequest.m URLRequest; AuthorizationService.java TokenRequestTask. A client without a secret sends no
# Authorization.
IOS_HEADERS = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8", "accept": "*/*"}
ANDROID_HEADERS = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
PLATFORMS = pytest.mark.parametrize(
    ("form", "headers"), [(ios_form, IOS_HEADERS), (android_form, ANDROID_HEADERS)], ids=["ios", "android"]
)
ENDPOINTS = pytest.mark.parametrize("function", long_but(["token"], ["token", "refresh"]))


def test_discovery_is_at_the_one_path_that_both_ask_and_has_what_both_demand(world: World) -> None:
    # OIDAuthorizationService.m kOpenIDConfigurationWellKnownPath, and AuthorizationServiceConfiguration.java
    # fetchFromIssuer ask for this one path. iOS takes a status of 200 alone.
    answer = world.call("metadata", "GET", "/.well-known/openid-configuration")
    assert answer.status == 200
    document = answer.json
    assert document["issuer"] == ISSUER
    # OIDServiceDiscovery.m dictionaryHasRequiredFields and AuthorizationServiceDiscovery.java MANDATORY_METADATA.
    urls = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    lists = ("response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported")
    assert document.keys() >= {*urls, *lists}
    # DefaultConnectionBuilder.java refuses any other scheme: "only https connections are permitted".
    for member in (*urls, "revocation_endpoint"):
        assert urlsplit(document[member]).scheme == "https"
    # AuthorizationServiceDiscovery.java reads these as lists of strings and as booleans. It throws at any other type.
    for member in document:
        if member.endswith(("_types_supported", "_modes_supported", "_methods_supported", "_values_supported")):
            assert document[member]
            assert all(isinstance(value, str) for value in document[member])
        elif member.endswith("_parameter_supported"):
            assert isinstance(document[member], bool)
    # If discovery advertised a logout URL, then an app's OIDEndSessionRequest or EndSessionRequest would open it.
    absent = {"end_session_endpoint", "userinfo_endpoint", "registration_endpoint", "device_authorization_endpoint"}
    assert not document.keys() & absent
    # OIDServiceDiscovery.m requestURIParameterSupported defaults to true.
    assert document["request_uri_parameter_supported"] is False


@PLATFORMS
def test_the_requests_that_both_write_sign_in_and_refresh(
    world: World, form: Callable[[Mapping[str, str]], str], headers: dict[str, str]
) -> None:
    phone = world.phone(redirect_uri="com.example.trader:/callback", state="aB-_9")

    def post(**fields: str) -> Answer:
        body = form({"client_id": CLIENT_ID, **fields})
        return world.call("token", "POST", "/oauth2/token", headers=headers, body=body)

    # OIDAuthorizationRequest.m and AuthorizationRequest.java send a nonce with or without the scope `openid`.
    authorized = phone.authorize(nonce="n0nce-_")
    returned = phone.callback(phone.approve(authorized))
    assert_delivered(phone, returned)
    # OIDAuthorizationResponse.m tokenExchangeRequest, AuthorizationResponse.java createTokenExchangeRequest.
    redeemed = post(
        grant_type="authorization_code",
        code=returned.query["code"],
        redirect_uri=phone.redirect_uri,
        code_verifier=VERIFIER,
    )
    assert_tokens(redeemed)
    world.clock.sleep(GRACE + 1)
    # OIDAuthState.m tokenRefreshRequest and AuthState.java createTokenRefreshRequest name no scope.
    refreshed = post(grant_type="refresh_token", refresh_token=redeemed.json["refresh_token"])
    assert_tokens(refreshed)
    assert refreshed.json["scope"] == SCOPE


def assert_delivered(phone: Phone, answer: Answer) -> None:
    """Check that OIDAuthorizationService.m and AuthorizationManagementActivity.java resume with this redirect."""
    assert answer.status == 302
    to, registered = urlsplit(answer.location), urlsplit(phone.redirect_uri)
    # OIDAuthorizationService.m URL:matchesRedirectionURL: compares down to the path.
    assert (to.scheme, to.netloc, to.path) == (registered.scheme, registered.netloc, registered.path)
    # OIDURLQueryComponent.m dictionaryValue makes an array of a repeated parameter, and the checks expect none.
    pairs = parse_qsl(to.query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    # OIDIsEqualIncludingNil(request.state, response.state); AuthorizationManagementActivity.java STATE_MISMATCH.
    assert dict(pairs)["state"] == phone.state
    assert dict(pairs)["iss"] == ISSUER
    # The front channel carries the code response alone, never a token.
    assert not dict(pairs).keys() & {"access_token", "id_token", "token_type"}


def test_a_person_who_declines_is_an_error_that_both_know_and_comes_with_the_state(world: World) -> None:
    phone = world.phone(state="aB-_9")
    core = world.aries.core
    request = core.authorize(urlsplit(phone.authorize().location).query)
    answer = phone.callback(f"error=access_denied&state={request.state}")
    assert_delivered(phone, answer)
    assert answer.query["error"] == "access_denied"


def test_every_error_that_the_broker_can_name_is_one_that_both_know() -> None:
    # Both libraries map any other code to TokenRequestErrors.OTHER or OIDErrorCodeOAuthOther: final, and no help to an
    # app. Both send no request object and never add prompt=none, so they need not know the answers to these.
    # Neither asks for a person's sessions, and no app sends a backend's requests.
    answers_to_others = {"request_not_supported", "request_uri_not_supported", "login_required", "sign_in_again"}
    answers_to_others |= {"sign_in_required", "insufficient_scope", "not_a_backend_app"}
    codes = {error.code for error in OAuthError.__subclasses__()}
    assert codes - answers_to_others <= TOKEN_ERRORS | AUTHORIZATION_ERRORS


@pytest.mark.parametrize("kind", FAILURES)
def test_a_code_that_aws_lets_nobody_redeem_now_is_no_final_error(world: World, kind: str) -> None:
    for operation in ("GetItem", "GetSecretValue", "UpdateItem"):
        phone = world.phone()
        code = phone.code()
        with world.aws.failing(operation, kind):
            assert_kept(phone.redeem(code))


@ENDPOINTS
@pytest.mark.parametrize("kind", FAILURES)
def test_a_refresh_that_aws_fails_signs_nobody_out_and_its_token_stays_good(
    world: World, kind: str, function: str
) -> None:
    for failing in (
        world.aws.failing("UpdateItem", kind),
        world.aws.failing("GetSecretValue", kind),
        world.aws.failing_from("PutSecretValue", "UpdateItem", kind),
    ):
        phone = world.signed_in()
        world.clock.sleep(GRACE + 1)
        with failing:
            assert_kept(phone.refresh(function=function))
        world.clock.sleep(LEASE_SECONDS)
        assert_tokens(phone.refresh(function=function))


@ENDPOINTS
@pytest.mark.parametrize(
    "kind",
    [
        "reset",
        "close",
        "server_error",
        "too_many_requests",
        "html",
        "json_array",
        "duplicate_keys",
        "deep_nesting",
        "large_body",
        "gzip_bomb",
        "redirect",
        "truncated",
        "invalid_client",
        "unknown_error",
    ],
)
def test_a_refresh_that_aries_fails_signs_nobody_out_and_its_token_stays_good(
    world: World, kind: FaultKind, function: str
) -> None:
    phone = world.signed_in()
    world.clock.sleep(GRACE + 1)
    world.aries.faults.append(Fault(kind, times=None, grant_type="refresh_token"))
    assert_kept(phone.refresh(function=function))
    # An immediate repetition: if the outcome is unknown, the lease is still held.
    assert_kept(phone.refresh(function=function))
    world.aries.faults.clear()
    world.clock.sleep(LEASE_SECONDS)
    assert_tokens(phone.refresh(function=function))


@ENDPOINTS
def test_an_aries_that_is_down_and_a_function_without_time_sign_nobody_out(world: World, function: str) -> None:
    phone = world.signed_in()
    world.clock.sleep(GRACE + 1)
    down = world.make_handler(function, ARIES_TOKEN_URL="http://127.0.0.1:1/v1/oauth2/token")
    assert_kept(phone.refresh(function=function, via=down))
    assert_kept(phone.refresh(function=function, seconds=1))
    assert_tokens(phone.refresh(function=function))


@ENDPOINTS
def test_a_lease_that_another_request_holds_signs_nobody_out(world: World, function: str) -> None:
    phone = world.signed_in()
    token = phone.refresh_token
    world.clock.sleep(GRACE + 1)
    meanwhile: list[Answer] = []
    # The first request has its lease and reads the secret. The other one waits in vain before the first continues.
    with world.aws.visited("GetSecretValue", lambda: meanwhile.append(phone.refresh(token, function=function))):
        phone.refresh(token, function=function)
    assert_kept(meanwhile[0])
    world.clock.sleep(LEASE_SECONDS)
    assert_tokens(phone.refresh(token, function=function))


@ENDPOINTS
def test_a_bug_and_a_table_restored_from_a_backup_sign_nobody_out(world: World, function: str) -> None:
    phone = world.signed_in()
    backup = world.dynamodb.get_item(TableName="sign-ins", Key={"session_id": {"S": phone.session_id}})["Item"]
    for _ in range(2):
        world.clock.sleep(GRACE + 1)
        assert_tokens(phone.refresh(function=function))

    def stumble() -> None:
        raise KeyError("a bug")

    with world.aws.visited("UpdateItem", stumble):
        assert_kept(phone.refresh(function=function), 500)
    world.dynamodb.put_item(TableName="sign-ins", Item=backup)
    assert_kept(phone.refresh(function=function))


@ENDPOINTS
def test_everything_final_is_an_error_that_both_know_and_ends_the_session_in_the_app(
    world: World, function: str
) -> None:
    phone, ended, dead = world.signed_in(), world.signed_in(), world.signed_in()
    assert ended.revoke().status == 200
    world.clock.sleep(GRACE + 1)
    world.aries.faults.append(Fault("invalid_grant"))
    for answer, error in (
        (dead.refresh(function=function), "invalid_grant"),
        (dead.refresh(function=function), "invalid_grant"),
        (ended.refresh(function=function), "invalid_grant"),
        (phone.refresh("x" * 43 + ".1." + "x" * 43, function=function), "invalid_grant"),
        (phone.refresh("x", function=function), "invalid_grant"),
        (phone.refresh(function=function, client_id=OTHER_CLIENT_ID), "invalid_grant"),
        (phone.refresh(function=function, client_id="nobody"), "invalid_client"),
        (phone.refresh(function=function, client_secret="guess"), "invalid_client"),
        (phone.refresh(function=function, scope="market:information"), "invalid_scope"),
        (phone.refresh(function=function, refresh_token=""), "invalid_request"),
        (phone.refresh(function=function, grant_type="password"), "unsupported_grant_type"),
    ):
        assert reaction(answer) == Reaction.SIGNED_OUT
        assert answer.json["error"] == error
        assert error in TOKEN_ERRORS
        # AuthorizationService.java reads both as strings. Older versions threw if the description was missing.
        assert isinstance(answer.json["error_description"], str)
    # OIDErrorUtilities.m and AuthorizationException.java treat a code's failure alike.
    assert phone.redeem("x", redirect_uri=APP_URI).json["error"] == "invalid_grant"


def test_tokens_are_refreshed_a_minute_early_and_are_fresh_afterwards(world: World) -> None:
    phone = world.phone()
    first = phone.sign_in().json
    world.clock.sleep(first["expires_in"] - EXPIRY_TOLERANCE)
    answer = phone.refresh()
    assert_tokens(answer)
    assert answer.json["access_token"] != first["access_token"]
    # A shorter life would make every call of performActionWithFreshTokens refresh again.
    assert answer.json["expires_in"] > EXPIRY_TOLERANCE


def test_a_forced_refresh_gives_the_tokens_there_are_with_the_time_that_they_have(world: World) -> None:
    # OIDAuthState.m setNeedsTokenRefresh: an app forces a refresh after a refused API call, even with a young token.
    phone = world.phone()
    first = phone.sign_in().json
    world.clock.sleep(5)
    answer = phone.refresh()
    assert_tokens(answer)
    assert answer.json["expires_in"] == first["expires_in"] - 5
