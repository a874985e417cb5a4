"""The usage of a month: counts in the units of the price list, for a number of users."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.bench.budget import BUDGETS, LATER_TRY, Calls, Store
from tests.bench.waits import ARIES_MS, AWS_MS

DAY_SECONDS = 86_400
MONTH_DAYS = 365 / 12
MONTH_SECONDS = MONTH_DAYS * DAY_SECONDS
# Bytes of DynamoDB's units: one for writes, one for consistent reads. No call here is a transaction.
WRITE_UNIT = 1024
READ_UNIT = 4096
_GB = 1024**3
# KMS requests of Secrets Manager for one call. CreateSecret tries the key first (GenerateDataKey, Decrypt).
_KMS_OF_SECRETS = {"CreateSecret": 3, "GetSecretValue": 1, "PutSecretValue": 1, "DeleteSecret": 0}
_FUNCTION_OF = {
    "authorize": "Authorize",
    "callback": "Callback",
    "redeem": "Token",
    "redeem with its person": "Token",
    "refresh": "Token",
    "replay": "Token",
}
# Lambda's trigger waits this long for more records before each call of cleanup.
_CLEANUP_WINDOW_SECONDS = 5


class BadInput(ValueError):
    """The input makes no sense. The message says why."""


@dataclass(frozen=True)
class Load:
    """Sessions alive at the same time, and the requests of each session."""

    users: int
    refreshes_a_day: float = 8.0
    sign_ins_a_month: float = 1.0
    # The load when the market opens, as a multiple of the day's mean.
    peak: float = 10.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("users", 0, 1_000_000_000),
            ("refreshes_a_day", 0, DAY_SECONDS / 60),
            ("sign_ins_a_month", 0, 1_000),
            ("peak", 1, 10_000),
        ):
            value = getattr(self, name)
            # NaN fails every comparison; this form refuses it too.
            if not least <= value <= most:
                raise BadInput(f"{name.replace('_', ' ')} must be from {least:,} to {most:,.0f}, not {value:,}")

    @property
    def refreshes(self) -> float:
        """In a month."""
        return self.users * self.refreshes_a_day * MONTH_DAYS

    @property
    def sign_ins(self) -> float:
        """In a month."""
        return self.users * self.sign_ins_a_month


@dataclass(frozen=True)
class Assumed:
    """Assumptions beside the load. ``make bench`` measures some of them; tests compare the sizes with the product."""

    # Milliseconds of CPU on a full core, for a warm operation, for the start, and for the first request after it.
    cpu_ms: Mapping[str, float] = field(
        default_factory=lambda: {
            "authorize": 1.5,
            "callback": 4.6,
            "redeem": 3.8,
            "redeem with its person": 5.5,
            "refresh": 5.9,
            "replay": 2.8,
            "backend": 2.8,
        }
    )
    init_ms: float = 285
    first_ms: float = 25
    # Lambda gives a full core at this memory size (Lambda's documentation).
    full_core_mb: int = 1769
    cold_share: float = 0.01
    # Milliseconds of waiting for one call.
    aws_ms: float = AWS_MS
    aries_ms: float = ARIES_MS
    # Share of the sign-ins with the scope for which Aries says who the person is. For some of those it says it later.
    named: float = 1.0
    named_later: float = 0.01
    # Bytes of a person's item with one app, and with one session more than SessionLimit allows. Its sign-in reads the
    # rows of the others, and takes those whose row is gone out of the item.
    person_bytes: int = 1_010
    session_limit: int = 20
    # Bytes of a leased row, of Aries' tokens, and of the rest of one answer.
    row_bytes: int = 950
    tokens_bytes: int = 3_000
    # Bytes of a leased row with such tokens sealed in it, and of KMS' own part of a seal. A data key of 32 bytes has a
    # ciphertext of 184 bytes, and the length of a longer plaintext takes a few bytes more.
    sealed_row_bytes: int = 3_450
    seal_overhead_bytes: int = 160
    answer_bytes: int = 1_000
    # Bytes of the function's log lines by operation, and of Lambda's lines and the access log by request.
    log_bytes: Mapping[str, int] = field(
        default_factory=lambda: {
            "authorize": 475,
            "callback": 740,
            "redeem": 480,
            "redeem with its person": 750,
            "refresh": 760,
            "backend": 790,
            "cleanup": 230,
        }
    )
    platform_log_bytes: int = 1_300
    log_months: float = 1.0
    # Repeated refreshes for each refresh, and abandoned sign-ins for each finished sign-in.
    repeated: float = 0.02
    abandoned: float = 0.2
    # Our own metrics with data in every hour. These are the metrics by service, the metrics by reason with constant
    # data, and six of the event source mapping for its events.
    metrics: int = 38


@dataclass(frozen=True)
class Stack:
    """The parts of the template without users. ``memory_mb`` is the memory in MB by the function's name."""

    alarm_metrics: int
    dashboards: int
    keys: int
    memory_mb: Mapping[str, int]


@dataclass(frozen=True)
class Item:
    """A line of the bill: ``count`` units at the price named ``price``."""

    service: str
    name: str
    price: str
    count: float


@dataclass(frozen=True)
class Month:
    """A month of this load on this stack. ``store`` has the tokens of all sessions."""

    load: Load
    stack: Stack
    assumed: Assumed
    store: Store = "secrets"

    @property
    def budget(self) -> Mapping[str, Calls]:
        """The calls of each operation."""
        return BUDGETS[self.store]

    @property
    def row_bytes(self) -> int:
        """The bytes of a leased row."""
        return self.assumed.sealed_row_bytes if self.store == "row" else self.assumed.row_bytes

    def items(self) -> list[Item]:
        """Return all lines of the bill."""
        return [
            *self._requests(),
            *self._dynamodb(),
            *self._secrets(),
            Item("KMS", "key", "kms_key", self.stack.keys),
            Item("KMS", "requests", "kms_request", self._kms()),
            *self._cloudwatch(),
        ]

    def times(self) -> dict[str, float]:
        """Count the operations by name."""
        load, assumed = self.load, self.assumed
        return {
            "authorize": load.sign_ins * (1 + assumed.abandoned),
            "callback": load.sign_ins,
            "redeem": load.sign_ins * (1 - assumed.named),
            "redeem with its person": load.sign_ins * assumed.named,
            "refresh": load.refreshes,
            "replay": load.refreshes * assumed.repeated,
        }

    def calls(self, service: str) -> dict[str, float]:
        """Count the calls of a service by name. The service is ``dynamodb``, ``secretsmanager`` or ``kms``."""
        total: dict[str, float] = {}
        for operation, times in self.times().items():
            for call, count in getattr(self.budget[operation], service).items():
                total[call] = total.get(call, 0) + count * times
        return total

    def api_requests(self) -> float:
        """Count the requests to the API. Each sign-in begins with a discovery request."""
        return sum(self.times().values()) + self.load.sign_ins

    def milliseconds(self, operation: str) -> float:
        """Return the billed milliseconds of one invocation, with the cold starts spread over all invocations.

        A function starts on a whole core. Its first request runs on the share of a core for its memory size.
        """
        assumed, calls = self.assumed, self.budget[operation]
        share = min(1.0, self.stack.memory_mb[_FUNCTION_OF[operation]] / assumed.full_core_mb)
        waits = (calls.aries + calls.user) * assumed.aries_ms
        waits += sum(calls.to_aws().values()) * assumed.aws_ms
        cpu_ms = assumed.cpu_ms[operation]
        cold_ms = assumed.init_ms + (assumed.first_ms - cpu_ms) / share
        return cpu_ms / share + waits + assumed.cold_share * cold_ms

    def _requests(self) -> Iterator[Item]:
        requests = self.api_requests()
        cleanups = min(self._removals(), MONTH_SECONDS / _CLEANUP_WINDOW_SECONDS)
        answers = requests * self.assumed.answer_bytes
        # Each redemption and refresh sends tokens to the app. Each refresh also sends the refresh token to Aries.
        tokens = (self.load.sign_ins + 2 * self.load.refreshes) * self.assumed.tokens_bytes
        yield Item("API Gateway", "requests", "api_request", requests)
        yield Item("API Gateway", "data out", "data_out", (answers + tokens) / _GB)
        yield Item("Lambda", "invocations", "lambda_request", requests + cleanups)
        yield Item("Lambda", "GB-seconds", "lambda_gb_second", self._gb_seconds())

    def _gb_seconds(self) -> float:
        serving = sum(
            count * self.milliseconds(operation) * self.stack.memory_mb[_FUNCTION_OF[operation]]
            for operation, count in self.times().items()
        )
        cleaning = self._removals() * self.assumed.aws_ms * self.stack.memory_mb["Cleanup"]
        # The same function goes on after a refresh. Its work beside the waits is little.
        waits = LATER_TRY.user * self.assumed.aries_ms + sum(LATER_TRY.to_aws().values()) * self.assumed.aws_ms
        trying = self._later_tries() * waits * self.stack.memory_mb["Token"]
        return (serving + cleaning + trying) / 1000 / 1024

    def _removals(self) -> float:
        """Count the removed rows with a call of cleanup. Each is a sign-in with a secret, removed by TTL."""
        return self.times()["callback"] if self.store == "secrets" else 0

    def _later_tries(self) -> float:
        """Count the sessions whose person becomes known after a refresh. Each takes one try."""
        return self._named() * self.assumed.named_later

    def _named(self) -> float:
        """Count the sign-ins that ask who the person is."""
        return self.load.sign_ins * self.assumed.named

    def write_units(self) -> float:
        """Count the write units of the table without its index."""
        calls = self.calls("dynamodb")
        # The insertion and the claim write a small row in both stores, because it has no tokens yet.
        small = calls["PutItem"] + self.load.sign_ins
        # The claim, and the person's item.
        large = calls["UpdateItem"] - self.load.sign_ins - self._named() + self._later_tries()
        persons = self._named() + self._later_tries() + self._named() / self.assumed.session_limit
        return (
            small * units(self.assumed.row_bytes, WRITE_UNIT)
            + large * units(self.row_bytes, WRITE_UNIT)
            + persons * units(self.assumed.person_bytes, WRITE_UNIT)
        )

    def _dynamodb(self) -> Iterator[Item]:
        calls = self.calls("dynamodb")
        # A process caches the control item for some seconds. This counts one read for every redemption and refresh.
        control_item = self.load.sign_ins + self.load.refreshes
        # One in `session_limit` sign-ins reads as many rows. Most of them are gone, which takes a unit each.
        of_others = self._named()
        reads = calls["GetItem"] * units(self.row_bytes, READ_UNIT) + control_item + of_others
        of_person = self.assumed.named * (self.assumed.person_bytes + 100)
        stored = self.load.users * (self.row_bytes + 100 + of_person) / _GB
        yield Item("DynamoDB", "writes", "dynamodb_write", self.write_units())
        yield Item("DynamoDB", "writes of the index by_reference", "dynamodb_write", calls["PutItem"])
        yield Item("DynamoDB", "reads", "dynamodb_read", reads)
        yield Item("DynamoDB", "storage", "dynamodb_storage", stored)
        yield Item("DynamoDB", "point-in-time recovery", "dynamodb_recovery", stored)

    def _secrets(self) -> Iterator[Item]:
        if self.store == "secrets":
            calls = sum(self.calls("secretsmanager").values()) + self._removals()
            yield Item("Secrets Manager", "secrets of sessions", "secret", self.load.users)
            yield Item("Secrets Manager", "calls", "secret_call", calls)
        yield Item("Secrets Manager", "the Aries client secret and the key of the subjects", "secret", 2)

    def _kms(self) -> float:
        # Every five minutes, DynamoDB uses the table's key once for each caller. Five functions call it.
        table = 5 * MONTH_SECONDS / 300 if self.load.users else 0
        of_secrets = sum(times * _KMS_OF_SECRETS[call] for call, times in self.calls("secretsmanager").items())
        return table + of_secrets + sum(self.calls("kms").values())

    def _cloudwatch(self) -> Iterator[Item]:
        times, assumed = self.times(), self.assumed
        times["refresh"] += times.pop("replay")
        lines = sum(count * assumed.log_bytes[operation] for operation, count in times.items())
        lines += self._removals() * assumed.log_bytes["cleanup"] + self.api_requests() * assumed.platform_log_bytes
        yield Item("CloudWatch", "logs taken in", "log_ingestion", lines / _GB)
        yield Item("CloudWatch", "logs kept", "log_storage", lines / _GB * assumed.log_months)
        yield Item("CloudWatch", "metrics", "metric", assumed.metrics if self.load.users else 0)
        yield Item("CloudWatch", "metrics that alarms watch", "alarm_metric", self.stack.alarm_metrics)
        yield Item("CloudWatch", "dashboard", "dashboard", self.stack.dashboards)
        yield Item("X-Ray", "traces", "trace", self._traces())

    def _traces(self) -> float:
        """Count the traces by function: the first request of a second and one in twenty others, at random times."""
        times = self.times()
        of_token = self.load.sign_ins + times["refresh"] + times["replay"]
        by_function = [times["authorize"], times["callback"], of_token]
        traced = 0.0
        for count in by_function:
            rate = count / MONTH_SECONDS
            first = -math.expm1(-rate)
            traced += (first + 0.05 * (rate - first)) * MONTH_SECONDS
        return traced


def backend_items(count: float, memory_mb: int, assumed: Assumed, store: Store) -> list[Item]:
    """Return the bill of ``count`` requests of backends, while the access tokens live long enough."""
    calls = BUDGETS[store]["backend"]
    share = min(1.0, memory_mb / assumed.full_core_mb)
    milliseconds = assumed.cpu_ms["backend"] / share + sum(calls.to_aws().values()) * assumed.aws_ms
    row_bytes = assumed.sealed_row_bytes if store == "row" else assumed.row_bytes
    secret_calls = sum(calls.secretsmanager.values())
    kms = sum(calls.kms.values()) + sum(_KMS_OF_SECRETS[name] for name in calls.secretsmanager)
    logged = count * (assumed.log_bytes["backend"] + assumed.platform_log_bytes) / _GB
    return [
        Item("API Gateway", "requests", "api_request", count),
        Item("Lambda", "invocations", "lambda_request", count),
        Item("Lambda", "GB-seconds", "lambda_gb_second", count * milliseconds * memory_mb / 1000 / 1024),
        Item("DynamoDB", "reads", "dynamodb_read", count * units(row_bytes, READ_UNIT)),
        Item("Secrets Manager", "calls", "secret_call", count * secret_calls),
        Item("KMS", "requests", "kms_request", count * kms),
        Item("CloudWatch", "logs taken in", "log_ingestion", logged),
    ]


def units(size: int, unit: int) -> int:
    """Return the units of DynamoDB for a row of ``size`` bytes."""
    return math.ceil(size / unit)
