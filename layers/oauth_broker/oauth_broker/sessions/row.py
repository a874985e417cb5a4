"""One row of the sign-in table: a sign-in and the session it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# The value of the attribute token_store in the row of a sign-in that failed before a secret was asked for.
NO_TOKENS = "none"

# `dead`: ended by the broker; `revoked`: signed out, by the app or by the operator.
Status = Literal["pending", "claimed", "issued", "failed", "active", "dead", "revoked"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """One row. Times are seconds since 1970; a number that was never set reads as 0, a text as ''."""

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
    created_at: int = 0
    reference: str = ""
    timeline: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name the state only: a row holds a verifier and hashes that belong in no log."""
        return f"SignIn(status={self.status!r})"

    @property
    def asked(self) -> tuple[str, ...]:
        """What the app asked for, which stays as it was when the sign-in began."""
        return (
            self.session_id,
            self.client_id,
            self.redirect_uri,
            self.app_state,
            self.app_code_challenge,
            self.scope,
        )

    def is_live(self, now: float) -> bool:
        """Tell whether the row has not expired, whatever DynamoDB has got round to deleting."""
        return self.expires_at > now

    def is_before_mass_sign_out(self, not_before: int) -> bool:
        """Tell whether the sign-in began before a mass sign-out; ``cut_off`` is 0 where there was none."""
        return bool(not_before) and self.created_at <= not_before

    def is_leased(self, now: float) -> bool:
        """Tell whether a worker holds the row."""
        return bool(self.lease_id) and self.lease_until > now

    def is_paused(self, now: float) -> bool:
        """Tell whether nobody may ask Aries for the session yet (``Leases.pause``)."""
        return not self.lease_id and self.lease_until > now


_FRACTIONAL = frozenset({"rotated_at", "lease_until"})


def from_item(item: dict[str, Any]) -> SignIn:
    """Read a DynamoDB item. Attributes that a later version added are left alone."""

    def plain(name: str, value: dict[str, Any]) -> Any:
        match value:
            case {"N": number}:
                return float(number) if name in _FRACTIONAL else int(number)
            case {"L": parts}:
                return tuple(part["S"] if "S" in part else bytes(part["B"]) for part in parts)
            case _:
                return value["S"]

    known = SignIn.__dataclass_fields__
    return SignIn(**{name: plain(name, value) for name, value in item.items() if name in known})


def may_have_a_secret(old_image: object) -> bool:
    """Tell from a removed row, as a stream has it, whether a secret may be left; None if the stream has no images.

    A row has no secret if it is pending, or if it says in ``token_store`` where its tokens are instead. The table's
    control items have no status and no secret. A claimed row may have a secret that it never recorded. An ended row may
    have one that could not be deleted.

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
    """Return DynamoDB's form of a value; fractions are kept to the millisecond."""
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
    """Return a row as a DynamoDB item; what was never set is left out."""
    values = {name: getattr(row, name) for name in SignIn.__dataclass_fields__}
    return {name: to_value(value) for name, value in values.items() if value}


# Enough for a sign-in and what went wrong last. DynamoDB charges every write by the row's size.
LENGTH = 10


def entry(now: float, event: str, reason: str = "") -> str:
    """Return the entry for what happens at ``now``."""
    return f"{int(now)} {event} {reason}".rstrip()


def extended(timeline: tuple[str, ...], new: str) -> tuple[str, ...]:
    """Return the timeline with one more entry, and no more than the last ``LENGTH``.

    An entry that only repeats the one before takes its place: neither an outage nor a month of refreshes may push out
    what came before.
    """
    kept = timeline[:-1] if timeline and _what(timeline[-1]) == _what(new) else timeline
    return (*kept, new)[-LENGTH:]


def was_refused(timeline: tuple[str, ...]) -> bool:
    """Tell whether the last thing that happened to the session was an answer of Aries that was none."""
    return bool(timeline) and _what(timeline[-1]).startswith("refresh_failed provider:status_")


@dataclass(frozen=True, slots=True)
class Transition:
    """One entry, read: ``at`` is in seconds since 1970, ``reason`` is '' where there is none."""

    at: int
    event: str
    reason: str


def transitions(timeline: tuple[str, ...]) -> list[Transition]:
    """Read a timeline, the oldest entry first."""
    return [Transition(int(at), *_split(what)) for at, _, what in (text.partition(" ") for text in timeline)]


def _what(text: str) -> str:
    return text.partition(" ")[2]


def _split(what: str) -> tuple[str, str]:
    event, _, reason = what.partition(" ")
    return event, reason
