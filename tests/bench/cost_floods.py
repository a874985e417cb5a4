"""``python -m tests.bench.cost_floods``: what a day of a flood at the API's own limits costs, for docs/security.md."""

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
# DynamoDB deletes expired rows within days. So many of them lie there at once, for each day of the flood.
_ROW_DAYS = 2
# One request a second, and one in twenty of the others.
_TRACED = 0.05
_SIGN_IN_ROUTES = ("GET /oauth2/authorize", "GET /oauth2/callback")
_TOKEN_ROUTES = ("ANY /oauth2/token", "ANY /v1/oauth2/token", "ANY /oauth2/refresh", "ANY /oauth2/revoke")


@dataclass(frozen=True)
class Flood:
    """``rates`` are requests a second by the function that answers them; ``writes`` those of the table, for each."""

    name: str
    rates: Mapping[str, float]
    writes: Mapping[str, float]
    # Rows that are left for DynamoDB to delete, a second.
    rows: float = 0
    # Whether each callback asks Aries.
    asks_aries: bool = False

    @property
    def requests(self) -> float:
        """In a day."""
        return sum(self.rates.values()) * DAY_SECONDS

    @property
    def writes_a_day(self) -> float:
        """Those that are refused are paid for too."""
        return sum(rate * self.writes[name] for name, rate in self.rates.items()) * DAY_SECONDS

    def items(self, stands: Stack, assumed: Assumed) -> Iterator[Item]:
        """What AWS bills for a day. Deletions by TTL, and Lambda's reading of a stream, are free."""
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
            # One or two calls of AWS, and no more work than that of a sign-in's beginning, unless Aries is asked.
            asks = self.asks_aries and name == "callback"
            cpu_ms = assumed.cpu_ms["callback" if asks else "authorize"]
            # The index is written with the row.
            calls = min(self.writes[name], 2 if asks else 1)
            milliseconds = cpu_ms / min(1.0, memory / assumed.full_core_mb) + calls * AWS_MS
            milliseconds += ARIES_MS if asks else 0
            total += rate * DAY_SECONDS * milliseconds / 1000 * memory / 1024
        return total


def limits() -> dict[str, float]:
    """Requests a second of each route, as the template has them."""
    settings: dict[str, Any] = properties("ApiApiGatewayDefaultStage")["RouteSettings"]
    return {route: settings[route]["ThrottlingRateLimit"] for route in (*_SIGN_IN_ROUTES, *_TOKEN_ROUTES)}


def floods() -> list[Flood]:
    """Each at the limits of its routes."""
    rate = limits()
    begins, returns = (rate[route] for route in _SIGN_IN_ROUTES)
    tokens = sum(rate[route] for route in _TOKEN_ROUTES)
    # A begun sign-in writes its row, and the row's entry in the index by_reference. A made-up token is refused a write
    # or, beyond SourceLimit, read for less.
    writes = {"authorize": BUDGET["authorize"].dynamodb["PutItem"] + 1, "callback": 1, "refresh": 1}
    both = {"authorize": begins, "callback": begins}
    return [
        Flood("sign-ins that are begun", {"authorize": begins}, writes, rows=begins),
        Flood("the same, each declined", both, writes, rows=begins),
        # Each is claimed and fails.
        Flood("the same, each with a made-up code", both, {**writes, "callback": 2}, rows=begins, asks_aries=True),
        Flood("callbacks without a cookie", {"callback": returns}, {**writes, "callback": 0}),
        Flood("callbacks with a made-up cookie", {"callback": returns}, writes),
        Flood("made-up tokens, on all four routes", {"refresh": tokens}, writes),
        Flood(
            "the first and the last two at once",
            {"authorize": begins, "callback": returns, "refresh": tokens},
            writes,
            rows=begins,
        ),
    ]


def table() -> str:
    """The table of docs/security.md, in Markdown. The times are the usual ones, not what was measured last."""
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
    """What a day of begun sign-ins would take if each cost the deletion of a secret, in words."""
    prices = PriceList.load()
    begun = limits()["GET /oauth2/authorize"] * DAY_SECONDS
    allowed = prices.quotas["secret_deletions"].limit
    days = begun / allowed / DAY_SECONDS
    cost = prices.prices["secret_call"].of(begun)
    return (
        f"A day at the limit begins {begun:,.0f} sign-ins. If each cost a deletion, at {allowed} a second they would"
        f" take {days:.0f} days and cost {cost:.0f} dollars more."
    )


if __name__ == "__main__":
    # SAM's transform misses a feature list of its own that nobody has outside AWS.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    print(table())
    print()
    print(deletions())
