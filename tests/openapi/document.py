"""The OpenAPI document, read as data: its operations, its examples, and a check of an answer against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import requests
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

PATH = Path(__file__).with_name("openapi.yaml")
METHODS = ("get", "post", "put", "delete", "options", "head", "patch", "trace")


@cache
def document() -> dict[str, Any]:
    """Return the whole document."""
    return cast("dict[str, Any]", yaml.safe_load(PATH.read_text()))


def resolve(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the target of a reference in the document, or the value itself."""
    while "$ref" in value:
        target: Any = document()
        for name in value["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


def errors_of(value: object, schema: Mapping[str, Any]) -> list[str]:
    """Return why a value does not fit a schema of the document, or an empty list if it fits."""
    whole = {"components": document()["components"], **schema}
    checker = Draft202012Validator.FORMAT_CHECKER
    return [error.message for error in Draft202012Validator(whole, format_checker=checker).iter_errors(value)]


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method (upper case), path and operation of every operation in the document."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def answer_errors(method: str, path: str, answer: requests.Response) -> list[str]:
    """Return the differences between an answer and the document's entry for this operation and status."""
    listed = document()["paths"][path][method.lower()]["responses"].get(str(answer.status_code))
    if listed is None:
        return [f"{method} {path}: {answer.status_code} is not listed"]
    response = resolve(listed)
    return [
        f"{method} {path} {answer.status_code}: {why}"
        for why in (*_headers(answer, response), *_body(answer, response))
    ]


def _headers(answer: requests.Response, response: Mapping[str, Any]) -> Iterator[str]:
    for name, listed in response.get("headers", {}).items():
        header = resolve(listed)
        if name in answer.headers:
            yield from (f"{name}: {why}" for why in errors_of(answer.headers[name], header["schema"]))
        elif header["required"]:
            yield f"{name} is missing"


def _body(answer: requests.Response, response: Mapping[str, Any]) -> Iterator[str]:
    content = response.get("content", {})
    if not content:
        if answer.content:
            yield "there is a body"
        return
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if media_type not in content:
        yield f"the content type is {media_type!r}"
        return
    value = answer.json() if media_type == "application/json" else answer.text
    yield from errors_of(value, content[media_type]["schema"])
