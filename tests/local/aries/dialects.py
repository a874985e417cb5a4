"""The two dialects of the token endpoint, as data."""

from dataclasses import dataclass
from typing import Literal

DialectName = Literal["aries", "standard", "standard-basic"]


@dataclass(frozen=True)
class Dialect:
    """The form of a token request."""

    content_type: str
    code_grant: str
    code_takes_secret: bool
    refresh_needs_redirect_uri: bool
    client_by_basic: bool = False


DIALECTS: dict[DialectName, Dialect] = {
    # Step 3: JSON, grant type `code`, "do not include client_secret". Step 5: refresh sends the redirect URI.
    "aries": Dialect("application/json", "code", code_takes_secret=False, refresh_needs_redirect_uri=True),
    # RFC 6749 sections 4.1.3 and 6: an optional secret or redirect URI must still be the right one if it is sent.
    "standard": Dialect(
        "application/x-www-form-urlencoded",
        "authorization_code",
        code_takes_secret=True,
        refresh_needs_redirect_uri=False,
    ),
    # RFC 6749 section 2.3.1: the client's name and secret come by HTTP Basic alone.
    "standard-basic": Dialect(
        "application/x-www-form-urlencoded",
        "authorization_code",
        code_takes_secret=True,
        refresh_needs_redirect_uri=False,
        client_by_basic=True,
    ),
}
