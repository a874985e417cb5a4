"""AWS on this machine: moto behind a loopback port, with the resources of the template."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

from tests.local.serving import LoopbackServer
from tests.support import account_settings

REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}

# The first is set by a separate call, the second has no use here, and SAM CLI's reader adds the third. moto's table
# needs no warm throughput, and the reader does not resolve its condition.
_NOT_AT_CREATION = {"TimeToLiveSpecification", "PointInTimeRecoverySpecification", "Metadata", "WarmThroughput"}


class LocalAws:
    """DynamoDB with its streams, Secrets Manager, KMS, SQS and EventBridge."""

    def __init__(self, port: int = 0) -> None:
        """Serve empty services on ``port``; raises PortTaken."""
        self._server = LoopbackServer(port)
        self.url = self._server.url
        moto = _OneAtATime(DomainDispatcherApplication(create_backend_app))
        self._server.serve(moto, _QuietMotoHandler)
        # moto keeps its resources in the process, also those of an earlier stack.
        self._reset()

    def close(self) -> None:
        """Forget all resources and free the port."""
        self._reset()
        self._server.close()

    def client(self, service: str) -> Any:
        """Make a boto3 client of ``service``."""
        make: Any = boto3.client
        return make(service, endpoint_url=self.url, region_name=REGION, **CREDENTIALS)

    def create_key(self) -> str:
        """Create a KMS key and return its ARN."""
        arn: str = self.client("kms").create_key()["KeyMetadata"]["Arn"]
        return arn

    def create_secret(self, name: str, value: str) -> str:
        """Create a secret and return its ARN."""
        arn: str = self.client("secretsmanager").create_secret(Name=name, SecretString=value)["ARN"]
        return arn

    def create_queue(self, name: str) -> str:
        """Create a queue and return its ARN."""
        sqs = self.client("sqs")
        queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn: str = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return arn

    def create_table(self, name: str, properties: Mapping[str, Any]) -> None:
        """Create a table from the properties of an ``AWS::DynamoDB::Table``."""
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(**_create_table_arguments(name, properties))
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification=_booleans(properties["TimeToLiveSpecification"])
        )

    def _reset(self) -> None:
        requests.post(f"{self.url}/moto-api/reset", timeout=5).raise_for_status()


def _create_table_arguments(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {key: _booleans(value) for key, value in properties.items() if key not in _NOT_AT_CREATION}
    encryption = arguments["SSESpecification"]
    encryption["Enabled"] = encryption.pop("SSEEnabled")
    arguments["StreamSpecification"]["StreamEnabled"] = True
    return {**arguments, "TableName": name}


def _booleans(value: Any) -> Any:
    """Turn the strings of parameters into booleans, as CloudFormation does."""
    if isinstance(value, Mapping):
        return {key: _booleans(member) for key, member in value.items()}
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class _OneAtATime:
    """A lock around moto, because its conditional writes are not atomic under threads.

    The body is read before the lock is taken, and the answer is complete before the lock is released. A slow or idle
    connection therefore holds up no other.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = account_settings.answer(environ["PATH_INFO"], environ.get("HTTP_X_AMZ_TARGET", ""))
        if answer is not None:
            start_response("200 OK", [("content-type", "application/json")])
            return [answer]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with self._lock:
            return [b"".join(self._app(environ, start_response))]


class _QuietMotoHandler(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Write nothing."""
