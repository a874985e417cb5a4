"""Discovery: the documents for stock clients, iOS and Android."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from oauth_broker.config.clients import Client
from oauth_broker.config.settings import PROMPTS, Settings
from oauth_broker.errors import NotFound
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response


class Metadata:
    """The documents under ``/.well-known/`` and the key set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._documents: dict[str, Callable[[str], dict[str, Any] | list[Any]]] = {
            "/.well-known/oauth-authorization-server": self._authorization_server,
            "/.well-known/openid-configuration": self._authorization_server,
            "/oauth2/jwks.json": self._keys,
            "/.well-known/apple-app-site-association": self._apple_app_site_association,
            "/.well-known/assetlinks.json": self._asset_links,
        }

    def __call__(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        """Return the document at the request's path. Raises NotFound."""
        document = self._documents.get(request.path)
        if document is None:
            raise NotFound("unknown_path")
        return json_response(document(self._settings.issuer_for(request.domain_name)))

    def _authorization_server(self, issuer: str) -> dict[str, Any]:
        """RFC 8414 section 2, and the members that OpenID Connect Discovery requires.

        AppAuth and oidc-client-ts ask only for ``openid-configuration``, and refuse it without its required members.
        Others ask only for ``oauth-authorization-server``. The same document serves all. The broker issues no ID
        tokens.
        """
        grants = ["authorization_code", "refresh_token"] if self._settings.can_refresh else ["authorization_code"]
        scopes = {scope for client in self._settings.registry.clients for scope in client.scopes}
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/oauth2/authorize",
            "token_endpoint": f"{issuer}/oauth2/token",
            "revocation_endpoint": f"{issuer}/oauth2/revoke",
            "jwks_uri": f"{issuer}/oauth2/jwks.json",
            "scopes_supported": sorted(scopes),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "claims_parameter_supported": False,
            # The broker answers none with login_required, always. The deployment may let others through to Aries.
            "prompt_values_supported": ["none", *(PROMPTS if "prompt" in self._settings.pass_on else ())],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _keys(self, issuer: str) -> dict[str, Any]:
        """RFC 7517 section 5. The set is empty, because the broker signs nothing."""
        return {"keys": []}

    def _apple_app_site_association(self, issuer: str) -> dict[str, Any]:
        """Apple's "Supporting associated domains": the apps that may claim the redirect URIs on this host."""
        apps = [client for client in self._settings.registry.clients if client.apple_app_ids]
        links = [(client, _component(urlsplit(uri))) for client in apps for uri in _claimed(client, issuer)]
        # The first match wins, and an unnamed part of a component matches anything. The components with the most names
        # therefore come first.
        links.sort(key=lambda link: -len(link[1].get("?", ())))
        details = [{"appIDs": list(client.apple_app_ids), "components": [component]} for client, component in links]
        app_ids = sorted({app_id for client in apps for app_id in client.apple_app_ids})
        return {"applinks": {"details": details}, "webcredentials": {"apps": app_ids}}

    def _asset_links(self, issuer: str) -> list[dict[str, Any]]:
        """Google's Digital Asset Links: the Android apps that may claim https redirect URIs on this host."""
        return [
            {
                "relation": ["delegate_permission/common.handle_all_urls"],
                "target": {
                    "namespace": "android_app",
                    "package_name": package,
                    "sha256_cert_fingerprints": list(fingerprints),
                },
            }
            for client in self._settings.registry.clients
            # A statement is for the whole host, so an app without a redirect URI here gets none.
            if _claimed(client, issuer)
            for package, fingerprints in client.android_packages.items()
        ]


def _claimed(client: Client, issuer: str) -> list[str]:
    """Return the app's redirect URIs on the issuer's own host."""
    return [uri for uri in client.redirect_uris if uri == issuer or uri.startswith(f"{issuer}/")]


def _component(uri: SplitResult) -> dict[str, Any]:
    """Return the component that matches a redirect URI, whatever parameters are added to it."""
    items = [item.partition("=") for item in uri.query.split("&")]
    names = [name for name, _, _ in items]
    # A pattern has to match every item of its name, so a name with several values gets no pattern.
    query = {name: _pattern(value) for name, _, value in items if value and names.count(name) == 1}
    return {"/": _pattern(uri.path or "/")} | ({"?": query} if query else {})


def _pattern(text: str) -> str:
    """Return the narrowest pattern that matches ``text``.

    In a pattern ``*`` matches any characters, ``?`` any single one, and ``$(name)`` one of a list. A pattern cannot
    escape them.
    """
    return text.replace("*", "?").replace("$(", "?(")
