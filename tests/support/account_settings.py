"""Lambda's settings of an account, as GetAccountSettings answers them. moto does not know this call."""

from __future__ import annotations

import json

PATH = "/2016-08-19/account-settings"


def answer(concurrent_executions: int = 1000) -> bytes:
    """Return the answer for an account with this limit of concurrent executions."""
    return json.dumps({"AccountLimit": {"ConcurrentExecutions": concurrent_executions}}).encode()
