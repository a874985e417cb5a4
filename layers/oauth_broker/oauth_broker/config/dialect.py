"""The dialect of a provider's token endpoint: data, not code paths scattered about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType


class Outcome(Enum):
    """The meaning of a token endpoint's failure for the session. ``DEAD`` alone ends a session.

    ``DEAD``: the grant is gone for good. ``MISCONFIGURED``: the provider refuses the broker, not the grant.
    ``REFUSED``: the provider declined before it did anything. ``UNKNOWN_ERROR``: a 4xx missing from the table; an
    operator should extend the table. ``AMBIGUOUS``: the provider may have processed the request, or may still do so.
    """

    DEAD = "dead"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"
    UNKNOWN_ERROR = "unknown_error"
    AMBIGUOUS = "ambiguous"


# (status, `error`) -> outcome. The key None matches every `error`. Aries documents no errors. The table has the errors
# of RFC 6749 section 5.2, with the status codes seen from other servers.
_OUTCOMES: Mapping[tuple[int, str | None], Outcome] = MappingProxyType(
    {
        (400, "invalid_grant"): Outcome.DEAD,
        (401, "invalid_grant"): Outcome.DEAD,
        (403, "invalid_grant"): Outcome.DEAD,
        (400, "invalid_client"): Outcome.MISCONFIGURED,
        (403, "invalid_client"): Outcome.MISCONFIGURED,
        (401, None): Outcome.MISCONFIGURED,
        (429, None): Outcome.REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class ProviderDialect:
    """One provider's dialect of RFC 6749 section 4.1.3 and section 6.

    ``secret_by_basic`` tells whether the client authenticates by HTTP Basic instead of in the body (section 2.3.1).
    """

    name: str
    json_body: bool
    code_grant_type: str
    code_sends_secret: bool
    secret_by_basic: bool
    refresh_sends_redirect_uri: bool
    outcomes: Mapping[tuple[int, str | None], Outcome]

    def outcome(self, status: int, error: object) -> Outcome:
        """Return the outcome of a failed answer. ``error`` is the answer's member ``error``, of any type."""
        known = self.outcomes.get((status, error)) if isinstance(error, str) else None
        known = known or self.outcomes.get((status, None))
        if known is not None:
            return known
        is_client_error = 400 <= status < 500
        return Outcome.UNKNOWN_ERROR if is_client_error else Outcome.AMBIGUOUS


# Aries steps 3 and 5: JSON, grant type `code`, no client_secret on the code grant, redirect_uri on the refresh.
ARIES = ProviderDialect(
    name="aries",
    json_body=True,
    code_grant_type="code",
    code_sends_secret=False,
    secret_by_basic=False,
    refresh_sends_redirect_uri=True,
    outcomes=_OUTCOMES,
)
# RFC 6749 as it stands, for a confidential client.
STANDARD = ProviderDialect(
    name="standard",
    json_body=False,
    code_grant_type="authorization_code",
    code_sends_secret=True,
    secret_by_basic=False,
    refresh_sends_redirect_uri=False,
    outcomes=_OUTCOMES,
)
# The same for a provider that takes the client secret by HTTP Basic alone. RFC 6749 lets a provider choose.
STANDARD_BASIC = replace(STANDARD, name="standard-basic", secret_by_basic=True)
DIALECTS: Mapping[str, ProviderDialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (ARIES, STANDARD, STANDARD_BASIC)}
)
