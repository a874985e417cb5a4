"""A scope: a set of values (RFC 6749 section 3.3)."""

from __future__ import annotations

from oauth_broker.web.parameters import Parameters


def scope_values(scope: str) -> frozenset[str]:
    """Return the values of a scope. Their order and repetition mean nothing (RFC 6749 section 3.3)."""
    return frozenset(scope.split(" ")) - {""}


def canonical_scope(scope: str) -> str:
    """Return the scope with its values sorted: equal sets become equal texts."""
    return " ".join(sorted(scope_values(scope)))


def requested_scope(parameters: Parameters) -> str | None:
    """Return the app's scope in canonical form, or None. Blanks at its ends and doubled blanks mean nothing."""
    return canonical_scope(parameters.get("scope") or "") or None
