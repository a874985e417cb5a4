"""Discovery is true: advertised features work, all others are refused.

Every member of the document has a check here. The check takes the member's value.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from tests.local.aries import Fault
from tests.local.stack import LocalStack
from tests.support.deployment import CLIENT_ID, ISSUER, SCOPE, SCOPES
from tests.support.pkce import VERIFIER
from tests.support.world import Answer, Phone, World, running_world

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
FUNCTIONS = {
    "/oauth2/authorize": "authorize",
    "/oauth2/token": "token",
    "/oauth2/revoke": "revoke",
    "/oauth2/jwks.json": "metadata",
}
FORM = {"content-type": "application/x-www-form-urlencoded"}
# RFC 6749 sections 4.2 to 4.4, RFC 8628, RFC 8693, RFC 7523, RFC 7522, OpenID CIBA.
OTHER_GRANTS = (
    "password",
    "client_credentials",
    "implicit",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
    "urn:openid:params:grant-type:ciba",
)
# The endpoints of absent metadata members: RFC 7591, 7662, 8628, 9126, and OpenID's own.
NOT_SERVED = (
    "/oauth2/register",
    "/oauth2/introspect",
    "/oauth2/device_authorization",
    "/oauth2/par",
    "/oauth2/userinfo",
    "/oauth2/logout",
    "/oauth2/end_session",
    "/oauth2/check_session",
    "/oauth2",
    "/.well-known/oauth-protected-resource",
    "/.well-known/webfinger",
)
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"none"}', b'{"scope":"user:information","redirect_uri":"https://evil.example"}', b"")
)

Check = Callable[[World, Any], None]
CHECKS: dict[str, Check] = {}


def checks(*members: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(members, check))
        return check

    return register


def advertised(world: World, path: str = DOCUMENTS[0], **event: Any) -> dict[str, Any]:
    return world.call("metadata", "GET", path, **event).json


def assert_sent_back(answer: Answer, error: str) -> None:
    assert (answer.status, answer.query.get("error"), answer.query["iss"]) == (302, error, ISSUER), answer


@checks("issuer")
def issuer_is_where_the_document_is(world: World, value: str) -> None:
    # RFC 8414 section 3.3: identical to the base of the well-known URL. Section 2: https, and bare here.
    assert value == ISSUER
    assert urlsplit(value)._replace(scheme="", netloc="").geturl() == ""


@checks("authorization_endpoint", "token_endpoint", "revocation_endpoint", "jwks_uri")
def every_endpoint_answers_at_the_issuer(world: World, value: str) -> None:
    assert value.startswith(f"{ISSUER}/")
    path = value.removeprefix(ISSUER)
    phone = world.signed_in()
    form = {"grant_type": "refresh_token", "refresh_token": phone.refresh_token, "token": phone.refresh_token}
    if path in ("/oauth2/token", "/oauth2/revoke"):
        assert post(world, path, form).status == 200
    else:
        answer = world.call(FUNCTIONS[path], "GET", path, query=phone.authorization_query())
        assert answer.status == (302 if path == "/oauth2/authorize" else 200)


def post(world: World, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
    body = urlencode({"client_id": CLIENT_ID} | fields)
    return world.call(FUNCTIONS[path], "POST", path, headers=FORM | (headers or {}), body=body)


@checks("scopes_supported")
def every_scope_is_granted_as_it_is_asked_and_no_other(world: World, value: list[str]) -> None:
    assert value == sorted(SCOPES)
    for scope in (*value, " ".join(value)):
        assert world.phone(scope=scope).sign_in().json["scope"] == scope
    for scope in ("openid", "offline_access", "profile", value[0].upper(), f"{value[0]} openid"):
        assert_sent_back(world.phone(scope=scope).authorize(), "invalid_scope")


@checks("response_types_supported")
def a_code_is_the_only_response(world: World, value: list[str]) -> None:
    assert value == ["code"]
    assert world.phone().code()
    for other in ("token", "id_token", "none", "code token", "code id_token", "code id_token token", "CODE"):
        assert_sent_back(world.phone().authorize(response_type=other), "unsupported_response_type")
    assert_sent_back(world.phone().authorize(response_type=None), "invalid_request")


@checks("response_modes_supported")
def it_comes_in_the_query_alone(world: World, value: list[str]) -> None:
    assert value == ["query"]
    phone = world.phone()
    answer = phone.callback(phone.approve(phone.authorize(response_mode="query")))
    assert answer.query["code"]
    assert not urlsplit(answer.location).fragment
    for other in ("fragment", "form_post", "web_message", "jwt", "query.jwt", "QUERY"):
        assert_sent_back(world.phone().authorize(response_mode=other), "invalid_request")


@checks("grant_types_supported")
def every_grant_works_and_no_other(world: World, value: list[str]) -> None:
    assert value == ["authorization_code", "refresh_token"]
    phone = world.signed_in()
    assert phone.refresh().status == 200
    fields = {"refresh_token": phone.refresh_token, "username": "u", "password": "p"}
    for other in OTHER_GRANTS:
        for path in ("/oauth2/token", "/oauth2/revoke"):
            answer = post(world, path, fields | {"grant_type": other})
            assert (
                answer.json.get("error")
                == {
                    "/oauth2/token": "unsupported_grant_type",
                    "/oauth2/revoke": "invalid_request",
                }[path]
            )
        assert phone.refresh(function="refresh", grant_type=other).json["error"] == "unsupported_grant_type"


@checks("token_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported")
def the_client_is_identified_and_never_authenticated(world: World, value: list[str]) -> None:
    assert value == ["none"]
    phone = world.signed_in()
    basic = {"authorization": "Basic " + base64.b64encode(f"{CLIENT_ID}:secret".encode()).decode()}
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": JWT,
    }
    wanted = {"grant_type": "refresh_token", "refresh_token": phone.refresh_token, "token": phone.refresh_token}
    for path in ("/oauth2/token", "/oauth2/revoke"):
        for refused in (
            post(world, path, wanted, basic),
            post(world, path, wanted | {"client_secret": "secret"}),
            post(world, path, wanted | assertion),
            post(world, path, wanted | assertion | {"client_id": ""}),
            post(world, path, wanted | {"client_id": ""}),
        ):
            assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    assert phone.row()["status"] == "active"
    assert post(world, "/oauth2/token", wanted).status == 200
    assert post(world, "/oauth2/revoke", wanted).status == 200
    assert phone.row()["status"] == "revoked"


@checks("code_challenge_methods_supported")
def s256_protects_every_code(world: World, value: list[str]) -> None:
    assert value == ["S256"]
    assert world.phone().sign_in().status == 200
    phone = world.phone()
    code = phone.code()
    assert phone.redeem(code, code_verifier="A" * 43).json["error"] == "invalid_grant"
    assert phone.redeem(code, code_verifier="").json["error"] == "invalid_request"
    for changes in (
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": None},
        {"code_challenge_method": None, "code_challenge": None},
        {"code_challenge_method": "S512"},
    ):
        assert_sent_back(world.phone().authorize(**changes), "invalid_request")


@checks("authorization_response_iss_parameter_supported")
def every_authorization_response_names_the_issuer(world: World, value: bool) -> None:
    # RFC 9207 section 2 demands it of error responses too.
    assert value is True
    for answer in authorization_responses(world):
        assert answer.query["iss"] == ISSUER
        assert ("code" in answer.query) != ("error" in answer.query)


def authorization_responses(world: World) -> Iterator[Answer]:
    """Yield every kind of answer at the app's redirect URI."""
    phone = world.phone()
    returned = phone.approve(phone.authorize())
    yield phone.callback(returned)
    yield phone.callback(returned)  # a reload
    yield world.phone().authorize(response_type="token")
    with world.aws.failing("PutItem"):
        yield world.phone().authorize()
    for fault in (Fault("invalid_grant"), Fault("server_error")):
        phone = world.phone()
        returned = phone.approve(phone.authorize())
        world.aries.faults.append(fault)
        yield phone.callback(returned)
    for error in ("access_denied", "server_error", "unheard_of"):
        phone = world.phone()
        yield phone.callback(f"error={error}&state={phone.authorize().query['state']}")


@checks("request_parameter_supported", "request_uri_parameter_supported")
def a_request_object_is_refused_and_never_fetched(world: World, value: bool) -> None:
    assert value is False
    assert_sent_back(world.phone().authorize(request=JWT), "request_not_supported")
    fetched = world.phone().authorize(request_uri=f"{world.aries.url}/__trap")
    assert_sent_back(fetched, "request_uri_not_supported")
    assert [request.endpoint for request in world.aries.requests] == []


@checks("claims_parameter_supported")
def claims_are_not_read(world: World, value: bool) -> None:
    # OpenID Connect Core section 5.5: a provider without support ignores the parameter.
    assert value is False
    assert world.phone().authorize(claims='{"userinfo":{}}').query["scope"] == SCOPE


@checks("prompt_values_supported")
def a_sign_in_without_a_person_is_answered_and_never_begun(world: World, value: list[str]) -> None:
    # OpenID Connect Core section 3.1.2.6.
    assert value == ["none"]
    assert_sent_back(world.phone().authorize(prompt="none"), "login_required")
    assert world.rows() == []


@checks("subject_types_supported", "id_token_signing_alg_values_supported")
def what_openid_discovery_demands_is_there_and_no_id_token_is_issued(world: World, value: list[str]) -> None:
    # OpenID Connect Discovery section 3 requires both, with RS256. AppAuth refuses a document without them.
    assert value in (["public"], ["RS256"])
    phone = world.phone()
    phone.authorize(nonce="n")
    assert "id_token" not in phone.sign_in().json
    assert "id_token" not in phone.refresh().json
    assert world.call("metadata", "GET", "/oauth2/jwks.json").json == {"keys": []}


def test_no_member_is_advertised_without_a_check_here(world: World) -> None:
    for path in DOCUMENTS:
        assert advertised(world, path).keys() == CHECKS.keys()


@pytest.mark.parametrize("member", CHECKS)
def test_advertised_features_work_and_others_do_not(world: World, member: str) -> None:
    CHECKS[member](world, advertised(world)[member])


def test_both_documents_are_the_same(world: World) -> None:
    first, second = (world.call("metadata", "GET", path) for path in DOCUMENTS)
    assert first == second


def test_a_dpop_proof_binds_nothing_and_the_token_is_said_to_be_a_bearer_token(world: World) -> None:
    # RFC 9449 section 5: the token_type tells the client that no proof binds the token.
    phone = world.phone()
    fields = {"grant_type": "authorization_code", "code": phone.code(), "redirect_uri": phone.redirect_uri}
    answer = post(world, "/oauth2/token", fields | {"code_verifier": VERIFIER}, {"dpop": JWT})
    assert (answer.status, answer.json["token_type"]) == (200, "Bearer")
    assert "dpop-nonce" not in answer.headers


def test_without_a_client_secret_refreshing_is_neither_advertised_nor_possible() -> None:
    token = f"{'a' * 43}.1.{'b' * 43}"
    with running_world(ARIES_CLIENT_SECRET_ARN="") as other:
        assert advertised(other)["grant_types_supported"] == ["authorization_code"]
        phone = other.phone()
        assert "refresh_token" not in phone.sign_in().json
        for function in ("token", "refresh"):
            assert phone.refresh(token, function=function).json["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(("issuer", "domain"), [(ISSUER, ""), ("", ""), (ISSUER, "broker.example.com")])
def test_the_issuer_is_the_same_everywhere_with_a_custom_domain_and_without(issuer: str, domain: str) -> None:
    with running_world(ISSUER=issuer, DOMAIN_NAME=domain) as world:
        for path in DOCUMENTS:
            assert advertised(world, path, headers={"host": "evil.example"})["issuer"] == ISSUER
        for answer in authorization_responses(world):
            assert answer.query["iss"] == ISSUER


def test_each_host_that_api_gateway_serves_is_an_issuer_of_its_own_where_none_is_configured() -> None:
    host = "abc.execute-api.eu-west-1.amazonaws.com"
    with running_world(ISSUER="") as world:
        document = advertised(world, domain_name=host)
        assert document["issuer"] == f"https://{host}"
        query = Phone(world).authorization_query(response_type="token")
        answer = world.call("authorize", "GET", "/oauth2/authorize", query=query, domain_name=host)
        assert answer.query["iss"] == document["issuer"]
        for member in ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "jwks_uri"):
            assert document[member].startswith(f"https://{host}/")


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack() as running:
        yield running


def fetch(stack: LocalStack, method: str, path: str, **headers: str) -> requests.Response:
    return requests.request(method, f"{stack.issuer}{path}", headers=headers, allow_redirects=False, timeout=30)


def test_every_document_is_served_over_http_without_a_redirect(stack: LocalStack) -> None:
    first, second = (fetch(stack, "GET", path) for path in DOCUMENTS)
    assert first.content == second.content
    assert first.json()["issuer"] == stack.issuer
    paths = ["/.well-known/apple-app-site-association", "/.well-known/assetlinks.json"]
    paths.append(first.json()["jwks_uri"].removeprefix(stack.issuer))
    for answer in (first, second, *(fetch(stack, "GET", path) for path in paths)):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_every_advertised_endpoint_is_routed_and_no_other_is(stack: LocalStack) -> None:
    document = fetch(stack, "GET", DOCUMENTS[0]).json()
    for member, method, status in (
        ("authorization_endpoint", "GET", 400),
        ("token_endpoint", "POST", 400),
        ("revocation_endpoint", "POST", 400),
        ("jwks_uri", "GET", 200),
    ):
        assert fetch(stack, method, document[member].removeprefix(stack.issuer)).status_code == status
    for path in NOT_SERVED:
        for method in ("GET", "POST", "OPTIONS"):
            assert fetch(stack, method, path).status_code == 404, (method, path)


def test_over_http_a_preflight_is_answered_where_pages_may_read_and_nowhere_else(stack: LocalStack) -> None:
    headers = {"Origin": stack.phone, "Access-Control-Request-Method": "POST"}
    for path in ("/oauth2/token", "/v1/oauth2/token", "/oauth2/refresh", "/oauth2/revoke", *DOCUMENTS):
        answer = fetch(stack, "OPTIONS", path, **headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, stack.phone)
    for path in ("/oauth2/authorize", "/oauth2/callback"):
        for method in ("OPTIONS", "GET"):
            answer = fetch(stack, method, path, **headers)
            assert answer.status_code == (404 if method == "OPTIONS" else 400)
            assert not any(name.lower().startswith("access-control") for name in answer.headers)
