"""Every discovery document exists and is true."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.deployment import ISSUER
from tests.support.world import Answer, World, running_world

DISCOVERY = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
PATHS = (*DISCOVERY, "/oauth2/jwks.json", "/.well-known/apple-app-site-association", "/.well-known/assetlinks.json")


def get(world: World, path: str, **event: Any) -> Answer:
    return world.call("metadata", "GET", path, **event)


@pytest.mark.parametrize("path", DISCOVERY)
def test_both_discovery_documents_have_every_member_that_clients_demand(world: World, path: str) -> None:
    document = get(world, path).json
    assert document == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/oauth2/authorize",
        "token_endpoint": f"{ISSUER}/oauth2/token",
        "revocation_endpoint": f"{ISSUER}/oauth2/revoke",
        "jwks_uri": f"{ISSUER}/oauth2/jwks.json",
        "scopes_supported": ["account:information", "market:information", "order:execution", "user:information"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
        "prompt_values_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


@pytest.mark.parametrize(("pass_on", "more"), [("login_hint", []), ("prompt", ["login", "consent", "select_account"])])
@pytest.mark.parametrize("path", DISCOVERY)
def test_prompts_that_the_deployment_lets_through_are_among_the_supported(
    path: str, pass_on: str, more: list[str]
) -> None:
    with running_world(PASS_ON=pass_on) as world:
        assert get(world, path).json["prompt_values_supported"] == ["none", *more]


def test_without_a_configured_issuer_it_is_the_host_that_api_gateway_serves() -> None:
    with running_world(ISSUER="") as world:
        answer = get(world, DISCOVERY[0], domain_name="abc.execute-api.eu-west-1.amazonaws.com", headers={"host": "x"})
        assert answer.json["issuer"] == "https://abc.execute-api.eu-west-1.amazonaws.com"
        phone = world.phone()
        assert phone.authorize().query["redirect_uri"] == f"{ISSUER}/oauth2/callback"


def test_the_key_set_is_empty_since_nothing_is_signed(world: World) -> None:
    assert get(world, "/oauth2/jwks.json").json == {"keys": []}


def test_another_path_is_not_found(world: World) -> None:
    assert get(world, "/.well-known/other").status == 404


def test_metadata_needs_no_aws_at_all(world: World) -> None:
    for path in PATHS:
        get(world, path)
    assert world.aws.made == []
