"""The apps that may use the broker, from the ``Apps`` parameter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oauth_broker.errors import ConfigurationError
from oauth_broker.strict_json import parse_object

# A port that there is, 1 to 65535, without a leading zero, or none.
OPTIONAL_PORT = r"(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
# RFC 6749 section 3.3.
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,128}")
# Visible ASCII without the characters that browsers and servers read differently.
_URI = re.compile(r"[!$-;=?-\[\]_a-z~]{1,512}")
# RFC 8252 section 7.1: a custom scheme is a reversed domain name, so that it has a dot; this also keeps out
# `javascript:`, `data:` and their like.
_CUSTOM_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/.*")
_HTTPS = re.compile(rf"https://[a-z0-9.-]+{OPTIONAL_PORT}(/.*)?")
# RFC 8252 section 7.3, and `localhost`, which AppAuth-JS and others use.
_LOOPBACK = re.compile(rf"(http://(?:127\.0\.0\.1|\[::1\]|localhost)){OPTIONAL_PORT}((?:[/?].*)?)")
_ORIGIN = re.compile(rf"(https://[a-z0-9.-]+|http://(127\.0\.0\.1|\[::1\]|localhost)){OPTIONAL_PORT}")
_APPLE_APP_ID = re.compile(r"[A-Z0-9]{10}\.[A-Za-z0-9.-]+")
_ANDROID_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}")


@dataclass(frozen=True, slots=True)
class Client:
    """A registered app: a public client (RFC 6749 section 2.1)."""

    client_id: str
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    origins: frozenset[str] = frozenset()
    apple_app_ids: tuple[str, ...] = ()
    android_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def allows_redirect(self, redirect_uri: str) -> bool:
        """Tell whether ``redirect_uri`` is registered: the same string, or a registered loopback URI with any port."""
        if redirect_uri in self.redirect_uris:
            return True
        asked = _without_port(redirect_uri)
        return asked is not None and any(_without_port(registered) == asked for registered in self.redirect_uris)


class Registry:
    """All registered apps."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = {client.client_id: client for client in clients}
        self.clients = tuple(self._clients.values())
        self.origins = frozenset(origin for client in self.clients for origin in client.origins)

    def find(self, client_id: str) -> Client | None:
        """Return the app with this id, or None."""
        return self._clients.get(client_id)

    @classmethod
    def parse(cls, text: str) -> Registry:
        """Read the ``Apps`` parameter; raises ConfigurationError naming the app and the member that is wrong."""
        try:
            apps = parse_object(text)
        except ValueError as error:
            raise ConfigurationError(f"APPS: {error}") from error
        if not apps:
            raise ConfigurationError("APPS: no app is registered")
        return cls(_client(client_id, entry) for client_id, entry in apps.items())


def _without_port(uri: str) -> tuple[str, str] | None:
    match = _LOOPBACK.fullmatch(uri)
    return (match[1], match[2]) if match else None


def _is_redirect_uri(uri: str) -> bool:
    if _URI.fullmatch(uri) is None:
        return False
    return any(form.fullmatch(uri) for form in (_HTTPS, _LOOPBACK, _CUSTOM_SCHEME))


def _client(client_id: str, entry: Any) -> Client:
    def refuse(what: str) -> ConfigurationError:
        return ConfigurationError(f"APPS: app {client_id!r}: {what}")

    def strings(name: str, *, required: bool = False) -> tuple[str, ...]:
        value = entry.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or (required and not value):
            raise refuse(f"{name} must be a list of strings" + (", not empty" if required else ""))
        return tuple(value)

    if _CLIENT_ID.fullmatch(client_id) is None:
        raise refuse("the client id must be 1 to 64 letters, digits, '.', '_', '~' or '-'")
    if not isinstance(entry, dict):
        raise refuse("must be an object")
    unknown = entry.keys() - {"redirect_uris", "scopes", "origins", "apple_app_ids", "android_packages"}
    if unknown:
        raise refuse(f"unknown member {min(unknown)!r}")
    client = Client(
        client_id,
        strings("redirect_uris", required=True),
        frozenset(strings("scopes", required=True)),
        frozenset(strings("origins")),
        strings("apple_app_ids"),
        _android_packages(entry.get("android_packages", {}), refuse("android_packages must map names to fingerprints")),
    )
    for value, valid, name in (
        *((uri, _is_redirect_uri(uri), "redirect_uris") for uri in client.redirect_uris),
        *((scope, _SCOPE.fullmatch(scope), "scopes") for scope in client.scopes),
        *((origin, _ORIGIN.fullmatch(origin), "origins") for origin in client.origins),
        *((app_id, _APPLE_APP_ID.fullmatch(app_id), "apple_app_ids") for app_id in client.apple_app_ids),
    ):
        if not valid:
            raise refuse(f"{name} has {value!r}, which is not allowed")
    return client


def _android_packages(value: Any, refusal: ConfigurationError) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise refusal
    packages = {}
    for package, fingerprints in value.items():
        well_formed = (
            _ANDROID_PACKAGE.fullmatch(package)
            and isinstance(fingerprints, list)
            and fingerprints
            and all(isinstance(item, str) and _FINGERPRINT.fullmatch(item) for item in fingerprints)
        )
        if not well_formed:
            raise refusal
        packages[package] = tuple(fingerprints)
    return packages
