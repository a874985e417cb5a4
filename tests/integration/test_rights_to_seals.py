"""Which function may seal tokens into a row, and which may open them: IAM decides it by the template's policies.

The test evaluates the policies as IAM does, for the encryption contexts of the real code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.seal import Purpose, Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.transformed import FUNCTIONS, listed, plain, properties

KEY = "Key.Arn"
PURPOSES: tuple[Purpose, ...] = ("row", "escrow")
# The calls that the code makes of KMS directly. Every other call of KMS goes through DynamoDB or Secrets Manager.
MAY = {
    ("kms:Encrypt", "row"): {"Callback", "Token", "Refresh", "Backend"},
    ("kms:Encrypt", "escrow"): {"Token", "Refresh", "Backend"},
    ("kms:Decrypt", "row"): {"Token", "Refresh", "Revoke", "Sessions", "Backend"},
    ("kms:Decrypt", "escrow"): {"Token", "Refresh", "Revoke", "Sessions", "Backend"},
}
OTHER_ACTIONS = [
    "kms:CreateGrant",
    "kms:DisableKey",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ScheduleKeyDeletion",
]
Values = Mapping[str, list[str]]


def context_of(purpose: Purpose) -> dict[str, str]:
    """Return the encryption context of the real code."""
    contexts: list[dict[str, str]] = []

    class Kms:
        def encrypt(self, **parameters: Any) -> dict[str, bytes]:
            contexts.append(parameters["EncryptionContext"])
            return {"CiphertextBlob": b"sealed"}

        decrypt = encrypt

    secret = SessionSecret(Secret("key"), "holder", Secret("access"), None, 0, "scope")
    Seal(Kms, "key").sealing(SignIn("session", "active", 0, client_id="app", fence=3), secret, purpose).sealed()
    (context,) = contexts
    return context


def statements(role: str) -> Iterator[dict[str, Any]]:
    for policy in properties(role)["Policies"]:
        for statement in plain(policy["PolicyDocument"]["Statement"]):
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def holds(operator: str, key: str, wanted: list[str], values: Values) -> bool:
    """Evaluate one key of a condition."""
    found = values.get(key, [])
    match operator:
        case "StringEquals":
            return bool(found) and all(value in wanted for value in found)
        case "StringLike":
            return bool(found) and all(any(fnmatchcase(value, one) for one in wanted) for value in found)
        case "ForAllValues:StringEquals":
            return all(value in wanted for value in found)
        case "Null":
            return (not found) is (wanted == ["true"])
        case _:
            raise AssertionError(operator)


def allows(role: str, action: str, context: Mapping[str, str], via: str = "") -> bool:
    """Tell whether the role may call KMS with the stack's key, directly or through the service ``via``."""
    values = {f"kms:EncryptionContext:{name}": [value] for name, value in context.items()}
    values |= {"kms:EncryptionContextKeys": list(context)} | ({"kms:ViaService": [via]} if via else {})
    for statement in statements(f"{role}Role"):
        assert statement["Effect"] == "Allow"
        names_action = any(fnmatchcase(action.lower(), one.lower()) for one in listed(statement["Action"]))
        if not names_action or not {KEY, "*"} & set(listed(statement["Resource"])):
            continue
        conditions = statement.get("Condition", {})
        if all(
            holds(operator, key, listed(wanted), values)
            for operator, keys in conditions.items()
            for key, wanted in keys.items()
        ):
            return True
    return False


@pytest.mark.parametrize(("action", "purpose"), MAY)
def test_the_callback_seals_and_opens_nothing_and_the_sign_out_opens_and_seals_nothing(
    action: str, purpose: Purpose
) -> None:
    context = context_of(purpose)
    assert {role for role in FUNCTIONS if allows(role, action, context)} == MAY[action, purpose]


@pytest.mark.parametrize("action", ["kms:Encrypt", "kms:Decrypt"])
@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "other"},
        {"purpose": None},
        {"session": None},
        {"fence": None},
        {"more": "x"},
        {"aws:dynamodb:tableName": "SignInsTable"},
        dict.fromkeys(("purpose", "session", "client_id", "fence", "part")),
    ],
    ids=str,
)
def test_nobody_may_use_the_key_under_another_context(action: str, changes: dict[str, str | None]) -> None:
    """A seal that is not bound to a session and a fence would open in any row."""
    changed = context_of("row") | changes
    context = {name: value for name, value in changed.items() if value is not None}
    assert [role for role in FUNCTIONS if allows(role, action, context)] == []


@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager"])
def test_the_rights_through_another_service_open_no_seal_by_themselves(service: str) -> None:
    """Such a right needs the service's own request, and neither service sends a context of the seals.

    Cleanup and the operator read a stream through DynamoDB under any context, because DynamoDB documents none for it.
    """
    via = f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"
    for role in set(FUNCTIONS) - {"Token", "Refresh", "Revoke", "Sessions", "Backend"}:
        for purpose in PURPOSES:
            assert not allows(role, "kms:Decrypt", context_of(purpose))
            may = allows(role, "kms:Decrypt", context_of(purpose), via)
            assert may is (service == "dynamodb" and role in ("Cleanup", "Operator")), role


@pytest.mark.parametrize("action", OTHER_ACTIONS)
def test_nobody_may_change_the_key_or_seal_anew_what_is_sealed(action: str) -> None:
    for purpose in PURPOSES:
        assert [role for role in FUNCTIONS if allows(role, action, context_of(purpose))] == []


def test_no_right_on_the_table_without_a_limit_of_attributes_is_with_a_function_that_a_browser_visits() -> None:
    """The callback writes the first seal. The beginning of a sign-in writes neither a seal nor a store."""
    written: dict[str, list[str]] = {}
    for role in ("Authorize", "Callback", "Revoke", "Sessions"):
        for statement in statements(f"{role}Role"):
            if {"dynamodb:PutItem", "dynamodb:UpdateItem"} & set(listed(statement["Action"])):
                written[role] = next(
                    values["dynamodb:Attributes"]
                    for operator, values in statement["Condition"].items()
                    if operator in ("ForAllValues:StringEquals", "ForAllValues:StringLike")
                )
    assert not {"sealed", "token_store", "escrow"} & set(written["Authorize"])
    assert {"sealed", "token_store"} <= set(written["Callback"])
    assert "escrow" not in written["Callback"]
    # The sign-outs remove the seal, and may not turn the session into one of another store.
    for role in ("Revoke", "Sessions"):
        assert "sealed" in written[role]
        assert not {"token_store", "secret_version", "fence", "committed_fence"} & set(written[role])
