"""The OpenAPI document is valid, and has the routes of the template."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.local.template import ROOT
from tests.openapi.answers import BACKEND_PATH
from tests.openapi.document import PATH, document, errors_of, operations, resolve
from tests.openapi.programs import program

pytestmark = pytest.mark.openapi


def test_the_document_is_openapi_3_1() -> None:
    answer = subprocess.run(
        [*program("openapi_spec_validator"), "--schema", "3.1", str(PATH)], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_document_has_the_routes_of_the_template() -> None:
    documented = {(method, path) for method, path, _ in operations()}

    assert documented == set(_routes())


def test_every_example_fits_its_schema() -> None:
    examples = list(_examples(document(), "#"))

    assert len(examples) > 50
    assert [(place, errors) for place, value, schema in examples if (errors := errors_of(value, schema))] == []


def test_every_operation_has_an_id_of_its_own_a_summary_and_a_description_or_parameters() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]

    assert len(ids) == len(set(ids))
    assert all(operation["summary"] and operation["description"] for _, _, operation in operations())


def test_no_503_or_429_to_an_app_has_an_error_member() -> None:
    for _, path, operation in operations():
        if path == BACKEND_PATH:
            # No OAuth library of an app asks there.
            continue
        for status in ("429", "500", "503"):
            for media_type, content in resolve(operation["responses"][status])["content"].items():
                if media_type == "application/json":
                    schema = resolve(content["schema"])
                    assert "error" not in schema["properties"], (path, status)
                    assert schema["additionalProperties"] is False, (path, status)


def _routes() -> Iterator[tuple[str, str]]:
    """Yield the routes of the template. A route for any method stands for POST and the preflight."""
    for line in (ROOT / "template.yaml").read_text().splitlines():
        if "Type: HttpApi" not in line and "ApiId: !Ref Api, Method:" in line:
            method = line.partition("Method: ")[2].partition(",")[0]
            path = re.findall(r"Path: '?(.+?)'?(?:, Auth.*)?\}$", line)[0]
            yield from ((one, path) for one in (("POST", "OPTIONS") if method == "ANY" else (method,)))


def _examples(value: Any, place: str) -> Iterator[tuple[str, object, Mapping[str, Any]]]:
    if isinstance(value, dict):
        if isinstance(value.get("schema"), dict):
            if "example" in value:
                yield place, value["example"], value["schema"]
            for name, example in value.get("examples", {}).items():
                yield f"{place}/{name}", example["value"], value["schema"]
        elif isinstance(value.get("examples"), list):
            yield from ((place, example, value) for example in value["examples"])
        for name, member in value.items():
            yield from _examples(member, f"{place}/{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _examples(member, f"{place}/{index}")
