"""Lambda's settings of an account, which moto does not know: what GetAccountSettings answers."""

from __future__ import annotations

import json

PATH = "/2016-08-19/account-settings"


def answer(concurrent_executions: int = 1000) -> bytes:
    """The answer of an account that may run all its functions so many times at once."""
    return json.dumps({"AccountLimit": {"ConcurrentExecutions": concurrent_executions}}).encode()
