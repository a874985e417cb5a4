"""The budget of the design: the calls of each operation, for each store of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# The values of the parameter TokenStore: a secret for each session, or tokens sealed in the session's row.
Store = Literal["secrets", "row"]


@dataclass(frozen=True)
class Calls:
    """The calls of one operation: to the services of AWS by name, and the requests to Aries.

    ``aries`` counts the requests to its token endpoint, ``user`` those to its user endpoint.
    """

    dynamodb: Mapping[str, int] = field(default_factory=dict)
    secretsmanager: Mapping[str, int] = field(default_factory=dict)
    kms: Mapping[str, int] = field(default_factory=dict)
    aries: int = 0
    user: int = 0

    def to_aws(self) -> dict[str, int]:
        """Count the calls of AWS, as ``service:Operation``."""
        named = {"dynamodb": self.dynamodb, "secretsmanager": self.secretsmanager, "kms": self.kms}
        return {f"{service}:{name}": times for service, calls in named.items() for name, times in calls.items()}


# A warm process also reads the control item every five seconds, the Aries client secret every five minutes, and the key
# of the subjects once. A list of more sessions than the caller's own costs one BatchGetItem more. A backend's request
# finds an access token that lives long enough; a renewal costs a refresh, and one more of each call.
BUDGETS: Mapping[Store, Mapping[str, Calls]] = {
    "secrets": {
        "authorize": Calls({"PutItem": 1}),
        "callback": Calls({"UpdateItem": 2}, {"CreateSecret": 1}, aries=1),
        "redeem": Calls({"GetItem": 1, "UpdateItem": 1}, {"GetSecretValue": 1}),
        "refresh": Calls({"UpdateItem": 2}, {"GetSecretValue": 1, "PutSecretValue": 1}, aries=1),
        "replay": Calls({"UpdateItem": 1}, {"GetSecretValue": 1}),
        "revoke": Calls({"UpdateItem": 1}, {"DeleteSecret": 1}),
        "redeem with its person": Calls({"GetItem": 1, "UpdateItem": 2}, {"GetSecretValue": 1}, user=1),
        "list sessions": Calls({"GetItem": 2}, {"GetSecretValue": 1}),
        "backend": Calls({"GetItem": 1}, {"GetSecretValue": 1}),
    },
    "row": {
        "authorize": Calls({"PutItem": 1}),
        "callback": Calls({"UpdateItem": 2}, kms={"Encrypt": 1}, aries=1),
        "redeem": Calls({"GetItem": 1, "UpdateItem": 1}, kms={"Decrypt": 1}),
        "refresh": Calls({"UpdateItem": 2}, kms={"Decrypt": 1, "Encrypt": 1}, aries=1),
        "replay": Calls({"UpdateItem": 1}, kms={"Decrypt": 1}),
        "revoke": Calls({"UpdateItem": 1}),
        "redeem with its person": Calls({"GetItem": 1, "UpdateItem": 2}, kms={"Decrypt": 1}, user=1),
        "list sessions": Calls({"GetItem": 2}, kms={"Decrypt": 1}),
        "backend": Calls({"GetItem": 1}, kms={"Decrypt": 1}),
    },
}
# What a sign-in calls beside that if it ends one session beyond SessionLimit: the rows and the end.
BEYOND_THE_LIMIT: Mapping[Store, Calls] = {
    "secrets": Calls({"BatchGetItem": 1, "UpdateItem": 1}, {"DeleteSecret": 1}),
    "row": Calls({"BatchGetItem": 1, "UpdateItem": 1}),
}
# What a refresh calls beside its budget if it learns whose session it is: the person's item, the row, and the question.
LATER_TRY = Calls({"UpdateItem": 2}, user=1)
BUDGET = BUDGETS["secrets"]
SIGN_IN = ("authorize", "callback", "redeem")


def aws_calls(*operations: str) -> dict[str, int]:
    """Count the calls of AWS of these operations together, as ``service:Operation``."""
    total: dict[str, int] = {}
    for operation in operations:
        for call, times in BUDGET[operation].to_aws().items():
            total[call] = total.get(call, 0) + times
    return total
