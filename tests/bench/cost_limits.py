"""Where AWS' quotas bind that no request raises: at how many users, and at how many refreshes a day."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.cost_prices import Quota
from tests.bench.cost_usage import MONTH_SECONDS, Month


@dataclass(frozen=True)
class Bound:
    """One quota. ``mean`` and ``peak`` are what the load needs of it, ``most_users`` what it would suffice for."""

    quota: Quota
    mean: float
    peak: float
    most_users: float

    @property
    def is_exceeded(self) -> bool:
        """Whether the load is too much at its peak."""
        return self.peak > self.quota.limit


def bounds(month: Month, quotas: Mapping[str, Quota]) -> list[Bound]:
    """Every quota of Secrets Manager, held against the load. None of them binds where tokens lie in the row."""
    load, calls = month.load, month.calls("secretsmanager")
    rates = {
        "secret_updates": calls["PutSecretValue"],
        "secret_creations": calls["CreateSecret"],
        # With its row goes the secret of every sign-in that came back from Aries.
        "secret_deletions": month.times()["callback"],
        "secret_reads": calls["GetSecretValue"],
    }
    found = [_rate(quotas[name], count / MONTH_SECONDS, month) for name, count in rates.items()]
    versions = quotas["secret_versions"]
    # However many users there are: it is one session's own.
    most = 0.0 if load.refreshes_a_day > versions.limit else math.inf
    return [
        *found,
        # The Aries client secret is one more.
        Bound(quotas["secrets"], load.users + 1, load.users + 1, quotas["secrets"].limit - 1),
        Bound(versions, load.refreshes_a_day, load.refreshes_a_day, most),
    ]


def most_refreshes_a_day(month: Month, quota: Quota) -> float:
    """How many refreshes a day each user may make before the quota on their writes binds at the peak."""
    if not month.load.users:
        return math.inf
    return quota.limit * 86_400 / month.load.users / month.load.peak


def _rate(quota: Quota, mean: float, month: Month) -> Bound:
    peak = mean * month.load.peak
    return Bound(quota, mean, peak, math.floor(month.load.users * quota.limit / peak) if peak else math.inf)
