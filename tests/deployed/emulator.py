"""MiniStack, with additions for the broker. The Python of .venv-ministack runs this module as ``ministack``."""

import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import dynamodb_streams, lambda_svc, secretsmanager
from ministack.services.cloudformation import provisioners

Response = tuple[int, dict[str, str], bytes]
Resource = tuple[str, dict[str, str]]

_create_secret = secretsmanager._create_secret
_resource_of = iam_actions.extract_resource_arn
_keys_of_tags = iam_actions.request_tag_context


def _create_secret_with_version(request: Mapping[str, Any]) -> Response:
    """Name the first version of a secret as CreateSecret asks."""
    response: Response = _create_secret(request)
    status, _, body = response
    if status == 200 and "ClientRequestToken" in request:
        versions = secretsmanager._secrets[request["Name"]]["Versions"]
        versions[request["ClientRequestToken"]] = versions.pop(json.loads(body)["VersionId"])
    return response


def _resource_or_stream(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> str:
    """Tell IAM the stream of a call."""
    if service != "dynamodbstreams":
        return str(_resource_of(service, method, path, headers, body, *more))
    request = json.loads(body)
    place = dynamodb_streams._decode_iterator(request.get("ShardIterator", "")) or {}
    return str(request.get("StreamArn") or place.get("arn", "*"))


def _keys_of_tags_and_context(service: str, action: str, body: bytes, *more: Any) -> dict[str, Any]:
    """Tell IAM the encryption context of a call to KMS too. MiniStack evaluates conditions, but has no keys for it."""
    keys: dict[str, Any] = _keys_of_tags(service, action, body, *more)
    context = json.loads(body or b"{}").get("EncryptionContext") if service == "kms" else None
    if context:
        keys["kms:EncryptionContextKeys"] = list(context)
        keys |= {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return keys


def _create_nothing(logical_id: str, properties: Mapping[str, Any], stack: str) -> Resource:
    name = f"{stack}-{logical_id}"
    return name, {"Arn": f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"}


def _update_nothing(physical_id: str, before: Any, properties: Any, stack: str, logical_id: str) -> Resource:
    return _create_nothing(logical_id, properties, stack)


def _delete_nothing(physical_id: str, properties: Mapping[str, Any]) -> None: ...


def _import_api(logical_id: str, properties: Mapping[str, Any], *more: Any) -> Resource:
    """Fail for a warning, as API Gateway's import does if the template asks for it."""
    servers = properties.get("Body", {}).get("servers", [])
    if properties.get("FailOnWarnings") in (True, "true") and any("url" not in server for server in servers):
        raise ValueError("Warnings found during import: Parse issue: attribute .servers.url is missing")
    resource: Resource = _create_api(logical_id, properties, *more)
    return resource


_create_api = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]["create"]
provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]["create"] = _import_api
secretsmanager._create_secret = _create_secret_with_version
iam_actions.extract_resource_arn = _resource_or_stream
iam_actions.request_tag_context = _keys_of_tags_and_context
# In MiniStack's own filter, no rule holds for a field with an absent parent. The filter of tests/local is loaded by its
# path, because this program can import from its own folder only.
_lets_through = runpy.run_path(str(Path(__file__).parents[1] / "local" / "event_filter.py"))["lets_through"]
lambda_svc._match_esm_filter = lambda record, pattern: _lets_through(pattern, record)
# Saved queries are text for the console. MiniStack rejects some alarms, and the dashboard's references to alarms.
for _kind in ("AWS::Logs::QueryDefinition", "AWS::CloudWatch::Alarm"):
    provisioners._RESOURCE_HANDLERS[_kind] = {
        "create": _create_nothing,
        "update": _update_nothing,
        "update_with_logical_id": True,
        "delete": _delete_nothing,
    }
main()
