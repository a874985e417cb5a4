"""The attributes in a function's writes of rows. The function's role allows no others."""

from __future__ import annotations

import json
import re
from typing import Any

_WORDS = frozenset(
    {
        "ADD",
        "AND",
        "DELETE",
        "NOT",
        "OR",
        "REMOVE",
        "SET",
        "attribute_exists",
        "attribute_not_exists",
        "attribute_type",
        "if_not_exists",
        "list_append",
    }
)

WRITTEN: dict[str, list[str]] = {
    "Authorize": [
        "app_code_challenge",
        "app_state",
        "browser_hash",
        "client_id",
        "code_verifier",
        "created_at",
        "expires_at",
        "provider_redirect_uri",
        "redirect_uri",
        "reference",
        "request_mac",
        "scope",
        "session_id",
        "status",
        "timeline",
    ],
    "Callback": [
        "access_expires_at",
        "access_seconds",
        "browser_hash",
        "code_expires_at",
        "code_hash",
        "code_verifier",
        "committed_fence",
        "expires_at",
        "failed_error",
        "fence",
        "lease_id",
        "lease_until",
        "sealed",
        "secret_version",
        "session_id",
        "status",
        "timeline",
        "token_scope",
        "token_store",
    ],
    "Sessions": [
        "client_id",
        "code_verifier",
        "escrow",
        "expires_at",
        "handle_hash",
        "lease_id",
        "lease_until",
        "not_before *",
        "previous_hash",
        "sealed",
        "session_id",
        "sessions *",
        "status",
        "timeline",
    ],
    "Revoke": [
        "client_id",
        "escrow",
        "expires_at",
        "handle_hash",
        "lease_id",
        "lease_until",
        "previous_hash",
        "sealed",
        "session_id",
        "status",
        "timeline",
    ],
}


def named_in(body: bytes) -> set[str]:
    """Return the attributes in a request. DynamoDB compares them with ``dynamodb:Attributes``."""
    request: dict[str, Any] = json.loads(body)
    named = {*request.get("Item", {}), *request.get("Key", {})}
    names = request.get("ExpressionAttributeNames", {})
    for member in ("UpdateExpression", "ConditionExpression"):
        for word in re.findall(r"(?<![:\w#])#?[A-Za-z]\w*", request.get(member, "")):
            named.add(names.get(word, word))
    return named - _WORDS
