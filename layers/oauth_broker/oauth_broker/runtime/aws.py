"""AWS clients: made once a process, every call bounded, every failure translated."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, Protocol, cast

import boto3
from botocore import httpsession
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from oauth_broker.errors import NotAllowed, ServiceUnavailable, Throttled

# Two attempts, because a pooled connection may die while the process is frozen. Callers do any further retries; they
# know the time left.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=1.5,
    retries={"mode": "standard", "total_max_attempts": 2},
    # A fixed text. The SDK makes its own text anew, twice a call, in a sixth of the call's processor time.
    user_agent=f"Boto3/{boto3.__version__}",
    # The services check parameters themselves. A check here first takes a twelfth of a call's processor time.
    parameter_validation=False,
)
# The longest time of one call: two attempts and the SDK's pause between them. A call of SQS may take two seconds more,
# one for each attempt.
AWS_CALL_SECONDS = 6


class _TrustingContext(ssl.SSLContext):
    """Reads the trusted certificates once, however often it is told to."""

    _has_read = False

    def load_verify_locations(self, *where: Any, **named: Any) -> None:
        if not self._has_read:
            super().load_verify_locations(*where, **named)
            self._has_read = True


# The SDK makes a context for each client. The context reads all certificates anew for each connection, and so whenever
# a connection was idle for too long. This takes 20 ms of a core, and a function has a part of a core. The SDK has no
# setting against it.
httpsession.SSLContext = _TrustingContext  # type: ignore[attr-defined]
httpsession.create_urllib3_context = cache(httpsession.create_urllib3_context)


class DynamoDbClient(Protocol):
    """The broker's calls of DynamoDB."""

    def put_item(self, **parameters: Any) -> Any: ...

    def get_item(self, **parameters: Any) -> Any: ...

    def update_item(self, **parameters: Any) -> Any: ...

    def delete_item(self, **parameters: Any) -> Any: ...

    def batch_get_item(self, **parameters: Any) -> Any: ...

    def query(self, **parameters: Any) -> Any: ...

    def scan(self, **parameters: Any) -> Any: ...


class SecretsManagerClient(Protocol):
    """The broker's calls of Secrets Manager."""

    def create_secret(self, **parameters: Any) -> Any: ...

    def get_secret_value(self, **parameters: Any) -> Any: ...

    def put_secret_value(self, **parameters: Any) -> Any: ...

    def delete_secret(self, **parameters: Any) -> Any: ...


class KmsClient(Protocol):
    """The broker's calls of KMS."""

    def encrypt(self, **parameters: Any) -> Any: ...

    def decrypt(self, **parameters: Any) -> Any: ...


class DynamoDbStreamsClient(Protocol):
    """The broker's calls of DynamoDB Streams."""

    def get_shard_iterator(self, **parameters: Any) -> Any: ...

    def get_records(self, **parameters: Any) -> Any: ...


class LambdaClient(Protocol):
    """The broker's calls of Lambda."""

    def get_account_settings(self, **parameters: Any) -> Any: ...


class ServiceQuotasClient(Protocol):
    """The broker's calls of Service Quotas."""

    def get_service_quota(self, **parameters: Any) -> Any: ...


class EventsClient(Protocol):
    """The broker's calls of EventBridge."""

    def put_events(self, **parameters: Any) -> Any: ...

    def describe_event_bus(self, **parameters: Any) -> Any: ...


class SqsClient(Protocol):
    """The broker's calls of SQS."""

    def receive_message(self, **parameters: Any) -> Any: ...

    def delete_message(self, **parameters: Any) -> Any: ...

    def get_queue_attributes(self, **parameters: Any) -> Any: ...


def _client(service: Any, more: Config | None = None) -> object:
    trusted = httpsession.get_cert_path(True)
    # The process reads the certificates now, because it has a whole core while it starts.
    httpsession.create_urllib3_context().load_verify_locations(trusted)
    # Named here, because the environment could name another file.
    return boto3.client(service, config=_CONFIG.merge(more) if more else _CONFIG, verify=trusted)


def dynamodb() -> DynamoDbClient:
    """Make a DynamoDB client."""
    return cast(DynamoDbClient, _client("dynamodb"))


def secretsmanager() -> SecretsManagerClient:
    """Make a Secrets Manager client."""
    return cast(SecretsManagerClient, _client("secretsmanager"))


def kms() -> KmsClient:
    """Make a KMS client."""
    return cast(KmsClient, _client("kms"))


def dynamodbstreams() -> DynamoDbStreamsClient:
    """Make a DynamoDB Streams client."""
    return cast(DynamoDbStreamsClient, _client("dynamodbstreams"))


def aws_lambda() -> LambdaClient:
    """Make a Lambda client."""
    return cast(LambdaClient, _client("lambda"))


def service_quotas() -> ServiceQuotasClient:
    """Make a Service Quotas client."""
    return cast(ServiceQuotasClient, _client("service-quotas"))


def sqs() -> SqsClient:
    """Make an SQS client. Its reads may wait for a second more, because an empty queue answers late."""
    return cast(SqsClient, _client("sqs", Config(read_timeout=2.5)))


def events() -> EventsClient:
    """Make an EventBridge client. Its calls delay an answer that is ready: they take 0.3 seconds at most, in one try.

    As with every service, the look-up of a name that is not known yet comes on top.
    """
    hasty = Config(connect_timeout=0.1, read_timeout=0.2, retries={"mode": "standard", "total_max_attempts": 1})
    return cast(EventsClient, _client("events", hasty))


def error_code(error: ClientError) -> str:
    """Return the service's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


# The SDK's list without LimitExceededException. In Secrets Manager that code is not about a rate.
_THROTTLING_CODES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# The JSON protocols have the first code, SQS has the second.
_NOT_ALLOWED_CODES = frozenset({"AccessDeniedException", "AccessDenied"})


class Write(NamedTuple):
    """DynamoDB's answer to a conditional write.

    If the write was applied, ``item`` has the attributes chosen by ``ReturnValues``. If the condition failed, ``item``
    is the item as DynamoDB found it. An absent item is ``{}``.

    It is a named tuple, because a frozen dataclass with slots costs the start of every function 0.3 to 0.5 ms.
    """

    is_applied: bool
    item: dict[str, Any]


def read_item(client: DynamoDbClient, table_name: str, key: dict[str, Any]) -> dict[str, Any]:
    """Read the item with this key, consistently. An absent item is ``{}``.

    Raises ServiceUnavailable if DynamoDB fails.
    """
    with translated("dynamodb"):
        answer = client.get_item(TableName=table_name, Key=key, ConsistentRead=True)
    item: dict[str, Any] = answer.get("Item", {})
    return item


def read_some_items(
    client: DynamoDbClient, table_name: str, keys: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read up to 100 items, consistently. Return the present ones, and the keys that DynamoDB has not looked at yet.

    Raises ServiceUnavailable if DynamoDB fails.
    """
    with translated("dynamodb"):
        answer = client.batch_get_item(RequestItems={table_name: {"Keys": keys, "ConsistentRead": True}})
    left = answer.get("UnprocessedKeys", {}).get(table_name, {})
    return answer["Responses"].get(table_name, []), left.get("Keys", [])


def conditional_write(write: Callable[..., Any], **parameters: Any) -> Write:
    """Call ``write``, a client's ``put_item``, ``update_item`` or ``delete_item``, with a ``ConditionExpression``.

    Raises ServiceUnavailable if DynamoDB fails. A failed condition is no failure of DynamoDB. Our own expressions never
    change, so DynamoDB finds one invalid only for the item that it meets: no repetition helps.
    """
    with translated("dynamodb", final=("ValidationException",)):
        try:
            answer = write(ReturnValuesOnConditionCheckFailure="ALL_OLD", **parameters)
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            refused: Any = error.response
            return Write(False, refused.get("Item", {}))
    return Write(True, answer.get("Attributes", {}))


@contextmanager
def translated(service: str, final: Container[str] = ()) -> Iterator[None]:
    """Turn every failure of an AWS call into ServiceUnavailable, because each of them passes in time.

    The failure is retriable unless its error code is one of ``final``.
    """
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        kind = (
            Throttled if code in _THROTTLING_CODES else NotAllowed if code in _NOT_ALLOWED_CODES else ServiceUnavailable
        )
        raise kind(f"{service}:{code}", retriable=code not in final) from error
    except BotoCoreError as error:
        raise ServiceUnavailable(f"{service}:{type(error).__name__}") from error
