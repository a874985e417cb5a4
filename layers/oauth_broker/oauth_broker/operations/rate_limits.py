"""Limits on the requests of one source to one app."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from oauth_broker.clock import Clock

MINUTE = 60.0
HOUR = 3600.0
# Some 2 MB. If an attacker has more addresses, the longest silent ones are forgotten, and so forgiven.
_MOST_PAIRS = 10_000
# The owner of one IPv6 address owns its whole network (RFC 6177).
_IPV6_NETWORK_BITS = 64


class RateLimits:
    """``limit`` requests in ``window`` seconds for each pair of app and source, at once or spread out. 0 is no limit.

    Each pair has its own limit, so a flood takes nothing from others: neither from another app behind the same address
    nor from another address of the same app. The counts are in this process' memory, because a counter in the table
    would cost a write, and the limit exists to save writes. If a flood keeps several processes busy, it
    gets as many times the limit.
    """

    def __init__(self, limit: int, window: float, clock: Clock) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        # The time by which the steady pace pays for a pair's requests (the generic cell rate algorithm of ITU-T I.371).
        self._paid_until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_exceeded(self, client_id: str, source: str) -> bool:
        """Tell whether the pair has used up its limit for now."""
        if not self._limit:
            return False
        until = self._paid_until.get((client_id, _network(source)), 0.0)
        # Half a request of room, so that rounding never makes a difference of one request.
        return until - self._clock.now() > self._window - 0.5 * self._window / self._limit

    def count(self, client_id: str, source: str) -> None:
        """Count one more request of the pair."""
        if not self._limit:
            return
        pair, now = (client_id, _network(source)), self._clock.now()
        until = max(now, self._paid_until.pop(pair, now)) + self._window / self._limit
        # Never further ahead than the window, so that a moment after a flood, however long, there is room again.
        self._paid_until[pair] = min(until, now + self._window)
        if len(self._paid_until) > _MOST_PAIRS:
            self._paid_until.popitem(last=False)


def _network(source: str) -> str:
    try:
        address = ip_address(source)
    except ValueError:
        return source
    if not isinstance(address, IPv6Address):
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> (128 - _IPV6_NETWORK_BITS):x}"
