"""Limits of an account that the operator's check reads. moto does not know these calls.

Lambda answers GetAccountSettings at a path of its own. Service Quotas' operations are told apart by a header.
"""

from __future__ import annotations

import json

_LAMBDA_PATH = "/2016-08-19/account-settings"
_QUOTA_TARGET = "ServiceQuotasV20190624.GetServiceQuota"


def answer(path: str, target: str, *, concurrent_executions: int = 1000, kms_requests: int = 10_000) -> bytes | None:
    """Return the answer to the request with this path and this X-Amz-Target, or None if moto answers it."""
    if path.endswith(_LAMBDA_PATH):
        return json.dumps({"AccountLimit": {"ConcurrentExecutions": concurrent_executions}}).encode()
    if target == _QUOTA_TARGET:
        # Service Quotas sends a number with a fraction.
        return json.dumps({"Quota": {"ServiceCode": "kms", "Value": float(kms_requests)}}).encode()
    return None
