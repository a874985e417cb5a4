"""``python -m tests.bench.cost_floods`` prints the table of docs/security.md: the cost of a day of a flood.

Each flood sends as many requests as the API's own limits allow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.budget import BUDGET
from tests.bench.cost import cost_of, stack
from tests.bench.cost_prices import PriceList
from tests.bench.cost_usage import DAY_SECONDS, MONTH_DAYS, Assumed, Item, Stack
from tests.bench.waits import ARIES_MS, AWS_MS
from tests.support.transformed import properties

_GB = 1024**3
# DynamoDB deletes expired rows within days. The rows of two days of the flood are stored at once.
_ROW_DAYS = 2
# X-Ray records the first request of a second, and one in twenty of the others.
_TRACED = 0.05
_SIGN_IN_ROUTES = ("GET /oauth2/authorize", "GET /oauth2/callback")
_TOKEN_ROUTES = (
    "ANY /oauth2/token",
    "ANY /v1/oauth2/token",
    "ANY /oauth2/refresh",
    "ANY /oauth2/revoke",
    "ANY /oauth2/sessions",
    "ANY /oauth2/sessions/revoke",
)


@dataclass(frozen=True)
class Flood:
    """A flood. ``rates`` are requests a second by function; ``writes`` are writes to the table by request."""

    name: str
    rates: Mapping[str, float]
    writes: Mapping[str, float]
    # New rows a second. DynamoDB deletes them later.
    rows: float = 0
    # True if each callback sends a request to Aries.
    asks_aries: bool = False

    @property
    def requests(self) -> float:
        """Return the requests of a day."""
        return sum(self.rates.values()) * DAY_SECONDS

    @property
    def writes_a_day(self) -> float:
        """Return the writes of a day. AWS bills refused writes too."""
        return sum(rate * self.writes[name] for name, rate in self.rates.items()) * DAY_SECONDS

    def items(self, stands: Stack, assumed: Assumed) -> Iterator[Item]:
        """Return the items of the bill for a day. Deletions by TTL, and Lambda's reads of a stream, are free."""
        lines = sum(rate * (assumed.log_bytes[name] + assumed.platform_log_bytes) for name, rate in self.rates.items())
        stored = self.rows * DAY_SECONDS * _ROW_DAYS / MONTH_DAYS * (assumed.row_bytes + 100) / _GB
        yield Item("API Gateway", "requests", "api_request", self.requests)
        yield Item("API Gateway", "data out", "data_out", self.requests * assumed.answer_bytes / _GB)
        yield Item("Lambda", "invocations", "lambda_request", self.requests)
        yield Item("Lambda", "GB-seconds", "lambda_gb_second", self._gb_seconds(stands, assumed))
        yield Item("DynamoDB", "writes", "dynamodb_write", self.writes_a_day)
        yield Item("DynamoDB", "storage", "dynamodb_storage", stored)
        yield Item("DynamoDB", "point-in-time recovery", "dynamodb_recovery", stored)
        yield Item("CloudWatch", "logs taken in", "log_ingestion", lines * DAY_SECONDS / _GB)
        yield Item("CloudWatch", "logs kept", "log_storage", lines * DAY_SECONDS / _GB * assumed.log_months)
        yield Item("X-Ray", "traces", "trace", len(self.rates) * DAY_SECONDS + _TRACED * self.requests)

    def _gb_seconds(self, stands: Stack, assumed: Assumed) -> float:
        functions = {"authorize": "Authorize", "callback": "Callback", "refresh": "Token"}
        total = 0.0
        for name, rate in self.rates.items():
            memory = stands.memory_mb[functions[name]]
            # A callback to Aries costs as much CPU as a whole callback. Any other request costs as much as authorize.
            asks = self.asks_aries and name == "callback"
            cpu_ms = assumed.cpu_ms["callback" if asks else "authorize"]
            # DynamoDB writes the row and its index in one call. A request makes at most one call, or two with Aries.
            calls = min(self.writes[name], 2 if asks else 1)
            milliseconds = cpu_ms / min(1.0, memory / assumed.full_core_mb) + calls * AWS_MS
            milliseconds += ARIES_MS if asks else 0
            total += rate * DAY_SECONDS * milliseconds / 1000 * memory / 1024
        return total


def limits() -> dict[str, float]:
    """Return the template's throttling rate of each route, in requests a second."""
    settings: dict[str, Any] = properties("ApiApiGatewayDefaultStage")["RouteSettings"]
    return {route: settings[route]["ThrottlingRateLimit"] for route in (*_SIGN_IN_ROUTES, *_TOKEN_ROUTES)}


def floods() -> list[Flood]:
    """Return the floods, each at the limits of its routes."""
    rate = limits()
    begins, returns = (rate[route] for route in _SIGN_IN_ROUTES)
    tokens = sum(rate[route] for route in _TOKEN_ROUTES)
    # A begun sign-in writes its row, and the row's entry in the index by_reference. A made-up token costs a refused
    # write. Beyond SourceLimit, and at a person's sessions, it costs a read, and a read is cheaper.
    writes = {"authorize": BUDGET["authorize"].dynamodb["PutItem"] + 1, "callback": 1, "refresh": 1}
    both = {"authorize": begins, "callback": begins}
    return [
        Flood("sign-ins, begun and left", {"authorize": begins}, writes, rows=begins),
        Flood("sign-ins, begun and declined", both, writes, rows=begins),
        # Two writes: one claims the sign-in, one records its failure.
        Flood("sign-ins, begun, with a made-up code", both, {**writes, "callback": 2}, rows=begins, asks_aries=True),
        Flood("callbacks without a cookie", {"callback": returns}, {**writes, "callback": 0}),
        Flood("callbacks with a made-up cookie", {"callback": returns}, writes),
        Flood("made-up tokens on all six routes", {"refresh": tokens}, writes),
        Flood(
            "the first and the last two together",
            {"authorize": begins, "callback": returns, "refresh": tokens},
            writes,
            rows=begins,
        ),
    ]


def table() -> str:
    """Return the table of docs/security.md in Markdown. It uses the usual times, not the last measured ones."""
    prices, stands, assumed = PriceList.load(), stack(), Assumed()
    services = ["API Gateway", "Lambda", "DynamoDB", "CloudWatch", "X-Ray"]
    rows = [["flood", "requests a second", *services, "dollars a day"], ["---"] * (len(services) + 3)]
    for flood in floods():
        items = list(flood.items(stands, assumed))
        of_each = [cost_of([item for item in items if item.service == service], prices) for service in services]
        rate = " + ".join(f"{it:,.0f}" for it in flood.rates.values())
        rows.append([flood.name, rate, *(f"{cost:.0f}" for cost in of_each), f"**{sum(of_each):.0f}**"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def deletions() -> str:
    """Describe the deletions of a day of begun sign-ins, if each sign-in cost one."""
    prices = PriceList.load()
    begun = limits()["GET /oauth2/authorize"] * DAY_SECONDS
    allowed = prices.quotas["secret_deletions"].limit
    days = begun / allowed / DAY_SECONDS
    cost = prices.prices["secret_call"].of(begun)
    return (
        f"A day at the limit begins {begun:,.0f} sign-ins. If each cost a deletion, the deletions would take"
        f" {days:.0f} days at {allowed} a second, and cost {cost:.0f} dollars more."
    )


if __name__ == "__main__":
    # SAM's transform warns about a feature list. The list exists inside AWS alone.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    print(table())
    print()
    print(deletions())
