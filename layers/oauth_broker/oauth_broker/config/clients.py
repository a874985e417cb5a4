"""The registered apps, from the parameter ``Apps`` or the file ``apps.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from oauth_broker.errors import ConfigurationError
from oauth_broker.strict_json import DuplicateName, parse_object

# A valid port, 1 to 65535, without a leading zero, or no port.
OPTIONAL_PORT = r"(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
# Browsers leave the default port out of an origin (RFC 6454 section 4). An origin with that port equals no browser's.
HTTPS_PORT = rf"(?!:443(?![0-9])){OPTIONAL_PORT}"
HTTP_PORT = rf"(?!:80(?![0-9])){OPTIONAL_PORT}"
# A bare origin has no path and no trailing slash: it is the same byte for byte everywhere. http is for loopback only.
ORIGIN = rf"(?:https://[a-z0-9][a-z0-9.-]*{HTTPS_PORT}|http://(?:127\.0\.0\.1|\[::1\]|localhost){HTTP_PORT})"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
# RFC 6749 section 3.3.
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,128}")
# Visible ASCII. Browsers and servers disagree about the characters left out.
_URI = re.compile(r"[!$-;=?-\[\]_a-z~]{1,512}")
# RFC 8252 section 7.1: a custom scheme is a reversed domain name, and so has a dot. The dot also keeps out
# `javascript:`, `data:` and their like.
_CUSTOM_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/.*")
_HTTPS = re.compile(rf"https://[a-z0-9.-]+{OPTIONAL_PORT}(/.*)?")
# RFC 8252 section 7.3. AppAuth-JS and others also use `localhost`.
_LOOPBACK = re.compile(rf"(http://(?:127\.0\.0\.1|\[::1\]|localhost)){OPTIONAL_PORT}((?:[/?].*)?)")
_DEFAULT_PORT = re.compile(r"https://[^/]*:443|http://[^/]*:80")
_APPLE_APP_ID = re.compile(r"[A-Z0-9]{10}\.[A-Za-z0-9.-]+")
_ANDROID_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}")
_MOST_SHOWN = 80
_MEMBERS = (
    "redirect_uris",
    "scopes",
    "origins",
    "apple_app_ids",
    "android_packages",
    "session_days",
    "idle_days",
    "refresh",
    "backend",
    "sessions",
)
_MOST_DAYS = 365
_DAY_SECONDS = 24 * 60 * 60


# How the backend of an app may name a session: not at all, by its handle, or by its person's id at Aries as well.
Backend = Literal["", "handle", "by_user"]


@dataclass(frozen=True, slots=True)
class Client:
    """A registered app: a public client (RFC 6749 section 2.1).

    ``session_seconds`` is the longest life of its sessions, or 0 if the deployment's counts. ``idle_seconds`` is the
    life of a session that nobody uses, or 0 if such a session lives on. ``may_refresh`` tells whether the app gets
    refresh tokens, and ``backend`` how its backend may ask for access tokens. ``shows_all_apps`` tells
    whether a person sees and ends, in this app, their sessions of all apps.
    """

    client_id: str
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    origins: frozenset[str] = frozenset()
    apple_app_ids: tuple[str, ...] = ()
    android_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    session_seconds: int = 0
    idle_seconds: int = 0
    may_refresh: bool = True
    backend: Backend = ""
    shows_all_apps: bool = False

    @property
    def gets_handle(self) -> bool:
        """Whether the app gets the handles of its sessions for its backend. A page could not keep them."""
        return bool(self.backend) and not self.origins

    @property
    def idle_days(self) -> int:
        """Return the ``idle_seconds`` in days."""
        return self.idle_seconds // _DAY_SECONDS

    def allows_redirect(self, redirect_uri: str) -> bool:
        """Tell whether ``redirect_uri`` is registered: the same string, or a registered loopback URI with any port.

        On loopback an empty path and ``/`` are one path, because many libraries add or drop the slash.
        """
        if redirect_uri in self.redirect_uris:
            return True
        asked = _on_loopback(redirect_uri)
        return asked is not None and any(_on_loopback(registered) == asked for registered in self.redirect_uris)

    def allows_scope(self, scope: str) -> bool:
        """Tell whether each of the space-separated scopes is registered."""
        return self.scopes.issuperset(scope.split())


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
    def parse(cls, text: str, source: str = "APPS") -> Registry:
        """Read the apps. Raises ConfigurationError naming ``source``, the app, the member and the broken rule."""
        try:
            apps = parse_object(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{source} is not JSON: {error}") from error
        except DuplicateName as error:
            raise ConfigurationError(f"{source}: {_shown(error.name)} stands twice in one object") from error
        except ValueError as error:
            raise ConfigurationError(f"{source}: {error}") from error
        if not apps:
            raise ConfigurationError(f"{source}: no app is registered")
        return cls(_client(client_id, entry, source) for client_id, entry in apps.items())

    def refuse_callback_of(self, issuer: str, source: str = "APPS") -> None:
        """Raise ConfigurationError if a redirect URI of an app is the broker's own callback, reserved for Aries."""
        for client in self.clients:
            if f"{issuer}/oauth2/callback" in client.redirect_uris:
                raise ConfigurationError(
                    f"{source}: app {client.client_id!r}: redirect_uris has the broker's own callback, reserved for "
                    "Aries"
                )


def read_text(file: Path) -> str:
    """Return the text of a file of apps. Raises ConfigurationError from an OSError or a UnicodeDecodeError."""
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8") from error


def _on_loopback(uri: str) -> tuple[str, str] | None:
    """Return a loopback URI without its port, or None for any other URI.

    RFC 8252 section 7.3 lets the port vary. RFC 3986 section 6.2.3 makes an empty path the same as ``/``.
    """
    match = _LOOPBACK.fullmatch(uri)
    if match is None:
        return None
    origin, rest = match[1], match[2]
    return origin, rest if rest.startswith("/") else f"/{rest}"


def _broken_rule_of_redirect_uri(uri: str) -> str | None:
    """Return the broken rule of a redirect URI, or None."""
    if _URI.fullmatch(uri) is None:
        return "a redirect URI has 1 to 512 visible ASCII characters, no fragment, quotation mark, backslash, < or >"
    if any(form.fullmatch(uri) for form in (_HTTPS, _LOOPBACK, _CUSTOM_SCHEME)):
        return None
    scheme, colon, rest = uri.partition(":")
    if scheme == "https":
        return "an https URI begins with https://, a host name in lower case and perhaps a port from 1 to 65535"
    if scheme == "http":
        return "http is allowed only on loopback: http://127.0.0.1/..., http://[::1]/... or http://localhost/..."
    if not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return "a redirect URI begins with https://, or with a scheme in lower case and a colon"
    if "." not in scheme:
        return "a custom scheme needs a dot, as in com.example.app:/callback (RFC 8252 section 7.1)"
    if not rest.startswith("/"):
        return "after a custom scheme come a colon and a slash, as in com.example.app:/callback"
    return "a custom scheme has letters or digits on both sides of each dot, as in com.example.app:/callback"


def _broken_rule_of_scope(scope: str) -> str | None:
    if _SCOPE.fullmatch(scope):
        return None
    return "a scope has 1 to 128 visible ASCII characters, no space, quotation mark or backslash (RFC 6749 section 3.3)"


def _broken_rule_of_origin(origin: str) -> str | None:
    if re.fullmatch(ORIGIN, origin):
        return None
    if _DEFAULT_PORT.fullmatch(origin):
        return f"browsers leave out the default port: write {origin.rpartition(':')[0]!r}"
    return "an origin is https:// (http:// only on loopback), a host name in lower case, perhaps a port, and no path"


def _broken_rule_of_apple_app_id(app_id: str) -> str | None:
    if _APPLE_APP_ID.fullmatch(app_id):
        return None
    return "an Apple app id is the team id, a dot and the bundle id, as in ABCDE12345.com.example.app"


_RULES: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {
        "redirect_uris": _broken_rule_of_redirect_uri,
        "scopes": _broken_rule_of_scope,
        "origins": _broken_rule_of_origin,
        "apple_app_ids": _broken_rule_of_apple_app_id,
    }
)


def _shown(value: object) -> str:
    """Return the beginning of a value, enough to find it by. A long value could cut off the rule behind it."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _client(client_id: str, entry: Any, source: str) -> Client:
    def refusal(what: str) -> ConfigurationError:
        return ConfigurationError(f"{source}: app {_shown(client_id)}: {what}")

    def strings(name: str, *, required: bool = False) -> tuple[str, ...]:
        value = entry.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or (required and not value):
            raise refusal(f"{name} must be a list of strings" + (", not empty" if required else ""))
        for item in value:
            if rule := _RULES[name](item):
                raise refusal(f"{name} has {_shown(item)}, which is not allowed: {rule}")
        return tuple(value)

    if _CLIENT_ID.fullmatch(client_id) is None:
        raise refusal("the client id must be 1 to 64 letters, digits, '.', '_', '~' or '-'")
    if not isinstance(entry, dict):
        raise refusal("must be an object")
    unknown = entry.keys() - set(_MEMBERS)
    if unknown:
        raise refusal(f"unknown member {_shown(min(unknown))}: the members are {', '.join(_MEMBERS)}")
    origins = frozenset(strings("origins"))
    backend = _backend(entry, refusal)
    if backend == "handle" and origins:
        # A page of the app holds its handle, and so would any script in it.
        raise refusal("backend must not be true for an app with origins: a page cannot keep the handle of a backend")
    return Client(
        client_id,
        strings("redirect_uris", required=True),
        frozenset(strings("scopes", required=True)),
        origins,
        strings("apple_app_ids"),
        _android_packages(entry.get("android_packages", {}), refusal),
        _seconds(entry, "session_days", refusal),
        _seconds(entry, "idle_days", refusal),
        _flag(entry, "refresh", refusal, default=True),
        backend,
        _shows_all_apps(entry, refusal),
    )


def _seconds(entry: dict[str, Any], name: str, refusal: Callable[[str], ConfigurationError]) -> int:
    """Return a number of days in seconds, or 0 if there is none."""
    if name not in entry:
        return 0
    days = entry[name]
    # bool is a number to Python, not to JSON.
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= _MOST_DAYS:
        raise refusal(f"{name} must be a whole number from 1 to {_MOST_DAYS}")
    return days * _DAY_SECONDS


def _flag(entry: dict[str, Any], name: str, refusal: Callable[[str], ConfigurationError], *, default: bool) -> bool:
    value = entry.get(name, default)
    if not isinstance(value, bool):
        raise refusal(f"{name} must be true or false")
    return value


def _backend(entry: dict[str, Any], refusal: Callable[[str], ConfigurationError]) -> Backend:
    value = entry.get("backend", False)
    if value == "by_user":
        return "by_user"
    if not isinstance(value, bool):
        raise refusal('backend must be true, false or "by_user"')
    return "handle" if value else ""


def _shows_all_apps(entry: dict[str, Any], refusal: Callable[[str], ConfigurationError]) -> bool:
    value = entry.get("sessions", "app")
    if value not in ("app", "person"):
        raise refusal(
            f'sessions is {_shown(value)}, which is not allowed: "person" shows a person the sessions of all apps, '
            '"app" those of this app alone'
        )
    return bool(value == "person")


def _android_packages(value: Any, refusal: Callable[[str], ConfigurationError]) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise refusal("android_packages must be an object: package names to lists of fingerprints")
    packages = {}
    for package, fingerprints in value.items():
        if not _ANDROID_PACKAGE.fullmatch(package):
            raise refusal(
                f"android_packages has {_shown(package)}, which is not allowed: a name is like com.example.app"
            )
        if not isinstance(fingerprints, list) or not fingerprints:
            raise refusal(f"android_packages: {_shown(package)} must have a list of fingerprints, not empty")
        for fingerprint in fingerprints:
            if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
                raise refusal(
                    f"android_packages: {_shown(package)} has {_shown(fingerprint)}, which is not allowed: a "
                    "fingerprint is the SHA-256 of the signing certificate, 32 pairs of digits and letters A to F with "
                    "colons between"
                )
        packages[package] = tuple(fingerprints)
    return packages
