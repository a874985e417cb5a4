"""The quotas of AWS: the number of users, and of refreshes a day, at which each one binds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.cost_prices import Quota
from tests.bench.cost_usage import MONTH_SECONDS, Month


@dataclass(frozen=True)
class Bound:
    """One quota. The load needs ``mean`` and ``peak`` of it; it is enough for ``most_users``."""

    quota: Quota
    mean: float
    peak: float
    most_users: float

    @property
    def is_exceeded(self) -> bool:
        """Return whether the peak of the load exceeds the quota."""
        return self.peak > self.quota.limit


def bounds(month: Month, quotas: Mapping[str, Quota]) -> list[Bound]:
    """Compare the load with every quota of the service that has the tokens."""
    if month.store == "row":
        return [
            _rate(quotas["kms_requests"], sum(month.calls("kms").values()) / MONTH_SECONDS, month),
            _rate(quotas["table_writes"], month.write_units() / MONTH_SECONDS, month),
        ]
    load, calls = month.load, month.calls("secretsmanager")
    rates = {
        "secret_updates": calls["PutSecretValue"],
        "secret_creations": calls["CreateSecret"],
        # Every sign-in back from Aries has a secret. TTL removes the row, and cleanup deletes the secret.
        "secret_deletions": month.times()["callback"],
        "secret_reads": calls["GetSecretValue"],
    }
    found = [_rate(quotas[name], count / MONTH_SECONDS, month) for name, count in rates.items()]
    versions = quotas["secret_versions"]
    # This quota belongs to one session, and the number of users does not matter.
    most = 0.0 if load.refreshes_a_day > versions.limit else math.inf
    return [
        *found,
        # The Aries client secret takes one place.
        Bound(quotas["secrets"], load.users + 1, load.users + 1, quotas["secrets"].limit - 1),
        Bound(versions, load.refreshes_a_day, load.refreshes_a_day, most),
    ]


def most_refreshes_a_day(month: Month, quota: Quota) -> float:
    """Return the refreshes a day of each user at which the quota of writes binds at the peak."""
    if not month.load.users:
        return math.inf
    return quota.limit * 86_400 / month.load.users / month.load.peak


def _rate(quota: Quota, mean: float, month: Month) -> Bound:
    peak = mean * month.load.peak
    return Bound(quota, mean, peak, math.floor(month.load.users * quota.limit / peak) if peak else math.inf)
