"""The configuration of a function: environment variables, read once into a frozen value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from oauth_broker.config.clients import ORIGIN, Client, Registry, read_text
from oauth_broker.config.dialect import DIALECTS, ProviderDialect
from oauth_broker.errors import ConfigurationError

T = TypeVar("T")

# The file is for apps too long for a variable. The layer's build copies layers/oauth_broker/apps.json there, to
# /opt/python/apps.json.
APPS_FILE = Path(__file__).parents[2] / "apps.json"

_ORIGIN = re.compile(ORIGIN)
_ENDPOINT = re.compile(rf"{ORIGIN}/[A-Za-z0-9._~/-]*")
# RFC 8414 section 2: an issuer has neither a query nor a fragment. A realm's name may hold any character of a path.
_PROVIDER_ISSUER = re.compile(rf"{ORIGIN}(/[!$%&()*+,./0-9:;=@A-Z_a-z~-]*)?")
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_VISIBLE = re.compile(r"[!-~]+")
# Parameters of an authorization request that a deployment may pass on to Aries (`oauth.authorization`).
PASS_ON = ("prompt", "login_hint", "max_age")
# The prompts of OpenID Connect Core section 3.1.2.1, without none.
PROMPTS = ("login", "consent", "select_account")
# An event bus by its name.
_EVENT_BUS = re.compile(r"[A-Za-z0-9._/-]{1,100}")
_DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Settings:
    """All decisions of a deployment. Durations are in seconds unless the name says otherwise."""

    issuer: str
    domain_name: str
    aries_client_id: str
    aries_client_secret_arn: str
    aries_authorize_url: str
    aries_token_url: str
    aries_issuer: str
    dialect: ProviderDialect
    pass_on: tuple[str, ...]
    registry: Registry
    session_days: int
    refresh_grace_seconds: int
    late_retry: bool
    source_limit: int
    sign_in_limit: int
    session_limit: int
    tokens_in_row: bool
    table_name: str
    secret_prefix: str
    key_id: str
    aries_user_url: str
    aries_user_id_member: str
    subject_key_arn: str

    @property
    def identifies_people(self) -> bool:
        """Whether Aries is asked whose access token it is."""
        return bool(self.aries_user_url)

    event_bus: str

    @property
    def can_refresh(self) -> bool:
        """Whether a client secret is configured. Aries refreshes only with a client secret (Aries step 5)."""
        return bool(self.aries_client_secret_arn)

    def lets_refresh(self, client: Client) -> bool:
        """Tell whether the app gets refresh tokens."""
        return self.can_refresh and client.may_refresh

    def session_seconds(self, client: Client) -> int:
        """Return the longest life of the app's sessions."""
        return client.session_seconds or self.session_days * _DAY_SECONDS

    def within_grace(self, seconds: float) -> float:
        """Return the Retry-After, in seconds, for a session that another worker may still commit.

        If late retries end the session, it is at most the grace, because the app must be back within the grace after
        the commit.
        """
        return seconds if self.late_retry else min(seconds, self.refresh_grace_seconds)

    def issuer_for(self, domain_name: str) -> str:
        """Return the configured issuer, or the issuer made from the host name of the request.

        ``domain_name`` is ``requestContext.domainName``: API Gateway itself sets it, never a client's header.
        """
        return self.issuer or f"https://{domain_name}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], apps_file: Path | None = None) -> Settings:
        """Read the settings. Raises ConfigurationError naming the first missing or malformed variable.

        If APPS is empty, the apps come from ``apps_file``, by default the layer's file.
        """
        read = _Reader(environment)
        settings = cls(
            issuer=read.text("ISSUER", _ORIGIN, "an https origin (http on loopback only)", optional=True),
            domain_name=read.text("DOMAIN_NAME", _HOST_NAME, "a host name", optional=True),
            aries_client_id=read.text("ARIES_CLIENT_ID", _VISIBLE, "Aries' client id"),
            aries_client_secret_arn=read.text("ARIES_CLIENT_SECRET_ARN", _VISIBLE, "a secret's ARN", optional=True),
            aries_authorize_url=read.text("ARIES_AUTHORIZE_URL", _ENDPOINT, "an https URL without a query"),
            aries_token_url=read.text("ARIES_TOKEN_URL", _ENDPOINT, "an https URL without a query"),
            aries_issuer=read.aries_issuer(),
            dialect=read.choice("PROVIDER_DIALECT", DIALECTS),
            pass_on=read.names("PASS_ON", PASS_ON),
            registry=read.registry(apps_file or APPS_FILE),
            session_days=read.integer("SESSION_DAYS", 1, 365),
            refresh_grace_seconds=read.integer("REFRESH_GRACE_SECONDS", 1, 300),
            late_retry=read.choice("LATE_RETRY", {"allow": True, "revoke": False}),
            source_limit=read.integer("SOURCE_LIMIT", 0, 6000),
            sign_in_limit=read.integer("SIGN_IN_LIMIT", 0, 6000),
            session_limit=read.integer("SESSION_LIMIT", 1, 100),
            tokens_in_row=read.choice("TOKEN_STORE", {"secrets": False, "row": True}),
            table_name=read.text("TABLE_NAME", _VISIBLE, "a table's name"),
            secret_prefix=read.text(
                "SECRET_PREFIX", re.compile(r"[A-Za-z0-9/_+=.@-]{1,256}"), "the beginning of a secret's name"
            ),
            key_id=read.text("KEY_ID", _VISIBLE, "a KMS key's ARN"),
            aries_user_url=read.text("ARIES_USER_URL", _ENDPOINT, "an https URL without a query", optional=True),
            aries_user_id_member=read.text(
                "ARIES_USER_ID_MEMBER", re.compile(r"[A-Za-z0-9_.-]{1,64}"), "the name of a member of a JSON object"
            ),
            subject_key_arn=read.text("SUBJECT_KEY_ARN", _VISIBLE, "a secret's ARN"),
            event_bus=read.text("EVENT_BUS", _EVENT_BUS, "the name of an event bus", optional=True),
        )
        settings.registry.refuse_callback_of(settings.issuer)
        if settings.dialect.code_sends_secret and not settings.can_refresh:
            raise ConfigurationError("ARIES_CLIENT_SECRET_ARN must not be empty with this PROVIDER_DIALECT")
        return settings


def refuse_two_registrations(environment: Mapping[str, str], apps_file: Path | None = None) -> None:
    """Raise ConfigurationError if a deployment has both a parameter and a file of apps.

    The parameter would win silently. If a deployment does not name a parameter, CloudFormation keeps the parameter's
    last value. After a move of the apps into the file, the file would then have no effect.
    """
    if environment.get("APPS") and (apps_file or APPS_FILE).exists():
        raise ConfigurationError(
            'APPS: apps are registered by the parameter and by apps.json: set the parameter to nothing (Apps=""), or '
            "remove the file"
        )


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, form: re.Pattern[str], what: str, *, optional: bool = False) -> str:
        value = self._environment.get(name, "")
        if not value and optional:
            return value
        if form.fullmatch(value) is None:
            raise ConfigurationError(f"{name} must be {what}" + (", not empty" if not value else ""))
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int:
        value = self._environment.get(name, "")
        if re.fullmatch(r"[0-9]{1,9}", value) is None or not lowest <= int(value) <= highest:
            raise ConfigurationError(f"{name} must be a whole number from {lowest} to {highest}")
        return int(value)

    def names(self, name: str, known: Collection[str]) -> tuple[str, ...]:
        """Return names with commas between them, or none."""
        found = tuple(dict.fromkeys(part for part in self._environment.get(name, "").split(",") if part))
        if set(found) - set(known):
            raise ConfigurationError(f"{name} must be some of {', '.join(known)}, with commas between them, or empty")
        return found

    def choice(self, name: str, choices: Mapping[str, T]) -> T:
        value = self._environment.get(name, "")
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")
        return choices[value]

    def aries_issuer(self) -> str:
        """Return the only accepted ``iss`` of Aries' answers, by default the origin of Aries' authorize URL."""
        what = "an https URL (http on loopback only) without a query or fragment"
        if named := self.text("ARIES_ISSUER", _PROVIDER_ISSUER, what, optional=True):
            return named
        parts = urlsplit(self._environment["ARIES_AUTHORIZE_URL"])
        return f"{parts.scheme}://{parts.netloc}"

    def registry(self, apps_file: Path) -> Registry:
        if text := self._environment.get("APPS", ""):
            return Registry.parse(text)
        try:
            text = read_text(apps_file)
        except ConfigurationError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ConfigurationError("APPS must not be empty if the build had no apps.json") from error
            raise
        return Registry.parse(text, apps_file.name)
