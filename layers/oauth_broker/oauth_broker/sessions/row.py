"""The row of the sign-in table: a sign-in and the session it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oauth_broker.errors import ServiceUnavailable

# The reason of a row that the broker cannot have written.
MALFORMED_ROW = "row:malformed"
# The place of a row's tokens. An unset attribute token_store means: in a secret, or not stored yet.
TokensIn = Literal["", "none", "row"]
# The sign-in failed before the broker asked for a secret.
NO_TOKENS: TokensIn = "none"
# The row's attribute ``sealed`` has the tokens, and nobody ever makes a secret.
IN_ROW: TokensIn = "row"

# A lease, and the claim of a sign-in, outlive their worker by this much, so that the worker of an expired one is dead.
# Clocks differ, and Aries may work a moment longer on an abandoned request. It stands here because ``callback``
# needs it and loads no leases.
LEASE_MARGIN_SECONDS = 10

# A function works for 29 seconds at most, under a lease that it took in the last second of its session. Clocks differ.
_IDLE_MARGIN_SECONDS = 120

# The broker ended a `dead` session. The app or the operator signed out a `revoked` one.
Status = Literal["pending", "claimed", "issued", "failed", "active", "dead", "revoked"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """A row. Times are seconds since 1970. An unset number reads as 0, an unset text as ''."""

    session_id: str
    status: Status
    expires_at: int
    client_id: str = ""
    redirect_uri: str = ""
    app_state: str = ""
    app_code_challenge: str = ""
    scope: str = ""
    code_verifier: str = ""
    provider_redirect_uri: str = ""
    browser_hash: str = ""
    request_mac: str = ""
    code_hash: str = ""
    code_expires_at: int = 0
    failed_error: str = ""
    secret_version: str = ""
    access_expires_at: int = 0
    access_seconds: int = 0
    token_scope: str = ""
    generation: int = 0
    handle_hash: str = ""
    previous_hash: str = ""
    rotated_at: float = 0
    fence: int = 0
    committed_fence: int = 0
    lease_id: str = ""
    lease_until: float = 0
    escrow: tuple[bytes, ...] = ()
    token_store: TokensIn = ""
    sealed: tuple[bytes, ...] = ()
    created_at: int = 0
    reference: str = ""
    timeline: tuple[str, ...] = ()
    renewed_at: int = 0
    ends_at: int = 0
    # The person whose session it is, with its proof (``tokens.signed_subject``). Read it by ``people.proven_subject``.
    subject: str = ""
    # The last try to learn the subject after the sign-in.
    subject_tried_at: int = 0

    def __repr__(self) -> str:
        """Name the state only, because a row holds a verifier and hashes, and they belong in no log."""
        return f"SignIn(status={self.status!r})"

    @property
    def asked(self) -> tuple[str, ...]:
        """The app's request, unchanged since the sign-in began."""
        return (
            self.session_id,
            self.client_id,
            self.redirect_uri,
            self.app_state,
            self.app_code_challenge,
            self.scope,
        )

    def is_live(self, now: float) -> bool:
        """Tell whether the row has not expired. DynamoDB deletes an expired row late."""
        return self.expires_at > now

    def ends_by(self, idle_seconds: int) -> int:
        """Return when the session ends if nobody uses it any more.

        ``idle_seconds`` is 0 if an unused session of its app lives on. If the app's registration has changed since the
        last use, the row may expire earlier.
        """
        return min(self.expires_at, self._end(idle_seconds))

    def expiry(self, idle_seconds: int) -> int:
        """Return the row's next ``expires_at``, by which DynamoDB deletes it and every update is refused.

        An idle session expires a moment after its end. A lease of its last second may still commit: Aries has rotated
        its tokens by then.
        """
        return min(self.ends_at, self._end(idle_seconds) + _IDLE_MARGIN_SECONDS)

    def _end(self, idle_seconds: int) -> int:
        # The app's refreshes alone are a use, so rotated_at tells the last one. A row of a release that knew no idle
        # sessions has no ends_at.
        ends_at = self.ends_at or self.expires_at
        return min(ends_at, int(self.rotated_at) + idle_seconds) if idle_seconds else ends_at

    def is_before_mass_sign_out(self, not_before: int) -> bool:
        """Tell whether the sign-in began up to ``not_before``, the time of a mass sign-out, or 0."""
        return bool(not_before) and self.created_at <= not_before

    def is_leased(self, now: float) -> bool:
        """Tell whether a worker holds the row."""
        return bool(self.lease_id) and self.lease_until > now

    def is_paused(self, now: float) -> bool:
        """Tell whether the session still leaves Aries alone (``Leases.pause``)."""
        return not self.lease_id and self.lease_until > now


_FRACTIONAL = frozenset({"rotated_at", "lease_until"})
# DynamoDB's type of each attribute, by the default of its field. The fields without a default stand apart.
_TYPES = {
    name: {int: "N", str: "S", tuple: "L"}[type(field.default)]
    for name, field in SignIn.__dataclass_fields__.items()
    if name not in ("session_id", "status", "expires_at")
} | {"session_id": "S", "status": "S", "expires_at": "N"}


def from_item(item: dict[str, Any]) -> SignIn:
    """Read a DynamoDB item. The row leaves out attributes of a later version.

    Raises ServiceUnavailable if the item is no row of this table, because somebody has written it by other means. Such
    a row must neither end a session nor hold up a mass sign-out.
    """

    def plain(name: str, value: dict[str, Any]) -> Any:
        kind = _TYPES[name]
        found = value[kind]
        if kind == "N":
            return float(found) if name in _FRACTIONAL else int(found)
        if kind == "L":
            return tuple(part["S"] if name == "timeline" else bytes(part["B"]) for part in found)
        return found

    try:
        return SignIn(**{name: plain(name, value) for name, value in item.items() if name in _TYPES})
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceUnavailable(MALFORMED_ROW, retriable=False) from error


def may_have_a_secret(old_image: object) -> bool:
    """Tell whether a removed row may leave a secret. ``old_image`` is the stream's, or None if it has no images.

    A row has no secret if it is pending, or if ``token_store`` says where its tokens are instead. The table's control
    items have no status and no secret. A claimed row may have an unrecorded secret. An ended row may still have its
    secret, after a failed deletion.

    The filter of the event source mapping in the template says the same. A test compares the two.
    """
    if not isinstance(old_image, Mapping):
        return True
    match old_image:
        case {"token_store": _}:
            return False
        case {"status": {"S": status}}:
            return bool(status != "pending")
        case _:
            return False


Value = str | float | tuple[bytes, ...] | tuple[str, ...]


def to_value(value: Value) -> dict[str, Any]:
    """Return DynamoDB's form of a value. Fractions are exact to the millisecond."""
    match value:
        case str():
            return {"S": value}
        case tuple():
            return {"L": [{"S": part} if isinstance(part, str) else {"B": part} for part in value]}
        case int():
            return {"N": str(value)}
        case _:
            return {"N": f"{value:.3f}"}


def to_item(row: SignIn) -> dict[str, Any]:
    """Return a row as a DynamoDB item, without unset attributes."""
    values = {name: getattr(row, name) for name in SignIn.__dataclass_fields__}
    return {name: to_value(value) for name, value in values.items() if value}


# Enough for a sign-in and the last failures. DynamoDB charges every write by the row's size.
TIMELINE_LENGTH = 10
_SIGN_IN = frozenset({"started", "claimed", "issued", "redeemed"})
_ROUTINE = frozenset({"refreshed", "refreshed late_retry", "renewed"})


def entry(now: float, event: str, reason: str = "") -> str:
    """Return the timeline entry for an event at ``now``."""
    return f"{int(now)} {event} {reason}".rstrip()


def extended(timeline: tuple[str, ...], new: str) -> tuple[str, ...]:
    """Return the timeline with one more entry, cut to ``TIMELINE_LENGTH``.

    Neither an outage nor a month of refreshes and renewals may push out what matters. If the entry repeats the newest
    one, it takes its place. Only the newest refresh, late retry and renewal that succeeded stay, and so do the entries
    of the sign-in. The oldest of the others goes.
    """
    said = _what(new)
    kept = [text for text in timeline[:-1] if said not in _ROUTINE or _what(text) != said]
    kept += [text for text in timeline[-1:] if _what(text) != said]
    surplus = max(0, len(kept) + 1 - TIMELINE_LENGTH)
    going = [place for place, text in enumerate(kept) if _what(text) not in _SIGN_IN | _ROUTINE][:surplus]
    return (*(text for place, text in enumerate(kept) if place not in going), new)


def was_refused(timeline: tuple[str, ...]) -> bool:
    """Tell whether the newest entry is a refresh to which Aries answered with an error status."""
    return bool(timeline) and _what(timeline[-1]).startswith("refresh_failed provider:status_")


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A timeline entry in its parts: ``at`` is in seconds since 1970, ``reason`` may be ''."""

    at: int
    event: str
    reason: str


def timeline_entries(timeline: tuple[str, ...]) -> list[TimelineEntry]:
    """Read a timeline, the oldest entry first. A text that the broker cannot have written is left out."""
    parts = [text.partition(" ") for text in timeline]
    return [TimelineEntry(int(at), *_split(what)) for at, _, what in parts if at.isascii() and at.isdecimal()]


def _what(text: str) -> str:
    return text.partition(" ")[2]


def _split(what: str) -> tuple[str, str]:
    event, _, reason = what.partition(" ")
    return event, reason
