"""Token request bodies: bytes to members, strictly."""

import json
from typing import NoReturn
from urllib.parse import parse_qsl

from werkzeug.http import parse_options_header

from tests.local.aries.errors import InvalidRequest


def parse_body(raw: bytes, content_type: str | None, expected: str) -> dict[str, object]:
    """The members of a token request. Raises InvalidRequest, also if the media type is not `expected`."""
    media_type, options = parse_options_header(content_type)
    if media_type != expected or options.get("charset", "utf-8").lower() != "utf-8":
        raise InvalidRequest(f"Content-Type must be {expected}")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8") from None
    return _parse_json(text) if expected == "application/json" else _parse_form(text)


def _parse_json(text: str) -> dict[str, object]:
    try:
        body = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    return body


def _parse_form(text: str) -> dict[str, object]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:
        raise InvalidRequest("The body is not form-encoded") from None
    return _without_duplicates([(name, value) for name, value in pairs])


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("A member is repeated")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
