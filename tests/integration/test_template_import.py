"""The warnings of API Gateway's import of the transformed body. Emulators give none."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from tests.support.transformed import properties

# SAM's extensions with a meaning in an HTTP API (API Gateway developer guide, "OpenAPI extensions").
KNOWN_EXTENSIONS = {"x-amazon-apigateway-any-method", "x-amazon-apigateway-integration"}
KNOWN_MEMBERS = {"openapi", "info", "paths", "servers", "tags", "x-amazon-apigateway-cors"}
# The scheme that asks IAM stands there.
KNOWN_COMPONENTS = {"securitySchemes"}
METHODS = {"get", "post", "put", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method"}
WRITTEN_BY_SAM = [
    # SAM writes a server for DisableExecuteApiEndpoint, without a URL (aws/serverless-application-model#2424).
    "servers[0].url is missing",
    # The path itself names its parameter.
    "post /backend/{client_id}/token: parameters is not supported",
]


def warnings_of(body: Mapping[str, Any]) -> list[str]:
    """Return the warnings: servers without a URL, and every part without use in an HTTP API."""
    found = [f"servers[{n}].url is missing" for n, server in enumerate(body.get("servers", [])) if "url" not in server]
    found += [f"{name} is not supported" for name in body if name not in KNOWN_MEMBERS | {"components"}]
    found += [
        f"components.{name} is not supported" for name in body.get("components", {}) if name not in KNOWN_COMPONENTS
    ]
    for path, operations in body["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            if method not in METHODS:
                found.append(f"{where} is no method")
            elif "x-amazon-apigateway-integration" not in operation:
                found.append(f"{where} has no integration")
            found += [
                f"{where}: {name} is not supported" for name in ("requestBody", "parameters") if name in operation
            ]
            found += [
                f"{where}: {name} is not known"
                for name in operation
                if name.startswith("x-") and name not in KNOWN_EXTENSIONS
            ]
    return found


def test_the_import_warns_of_nothing_but_what_sam_writes() -> None:
    assert warnings_of(properties("Api")["Body"]) == WRITTEN_BY_SAM


def test_a_warning_of_the_import_takes_no_deployment_back() -> None:
    assert "FailOnWarnings" not in properties("Api")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"components": {"schemas": {}}}, "components.schemas is not supported"),
        ({"x-amazon-apigateway-policy": {}}, "x-amazon-apigateway-policy is not supported"),
        ({"paths": {"/x": {"get": {}}}}, "get /x has no integration"),
        ({"paths": {"/x": {"trace": {}}}}, "trace /x is no method"),
        (
            {"paths": {"/x": {"get": {"x-amazon-apigateway-integration": {}, "x-amazon-apigateway-auth": {}}}}},
            "get /x: x-amazon-apigateway-auth is not known",
        ),
    ],
    ids=str,
)
def test_what_the_import_would_warn_of_is_noticed(change: dict[str, Any], warning: str) -> None:
    assert warning in warnings_of(deepcopy(properties("Api")["Body"]) | change)
