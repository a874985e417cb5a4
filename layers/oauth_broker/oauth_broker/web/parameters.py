"""Request parameters of query strings, forms and JSON bodies. Repeated parameters stay visible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from oauth_broker.errors import InvalidRequest
from oauth_broker.strict_json import parse_object
from oauth_broker.web.http import HttpRequest

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
# Far more than any request of the protocol needs. API Gateway itself lets 10 MB through.
_MAX_BODY_BYTES = 32 * 1024
_MAX_PARAMETERS = 64


class Parameters:
    """Parameters by name. A parameter without a value counts as left out (RFC 6749 section 3.1)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def is_repeated(self, name: str) -> bool:
        """Tell whether the parameter came more than once, with or without a value."""
        return len(self._values.get(name, ())) > 1

    def get(self, name: str) -> str | None:
        """Return the parameter's only value, or None. Raises InvalidRequest if the parameter is repeated.

        ``name`` is always one of the broker's, so the description repeats nothing of the request.
        """
        if self.is_repeated(name):
            raise InvalidRequest(f"The parameter {name} is repeated. Send it once.", f"repeated_{name}")
        return self._values.get(name, [""])[0] or None

    def require(self, name: str) -> str:
        """Return the parameter's only value, like ``get``. Raises InvalidRequest also if the parameter is missing."""
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"The parameter {name} is missing.", f"missing_{name}")
        return value

    def refuse_repeated(self) -> None:
        """Raise InvalidRequest if any parameter is repeated, known or not (RFC 6749 section 3.1)."""
        if any(len(values) > 1 for values in self._values.values()):
            raise InvalidRequest("A parameter is repeated. Send each parameter once.", "repeated")


def parse_query(raw: str) -> Parameters:
    """Parse a raw query string. Raises InvalidRequest if it is not UTF-8 or has far too many parameters.

    API Gateway's own parsed form is of no use, because it joins repeated parameters with commas.
    """
    try:
        # The JSON of an event can hold half of a surrogate pair. This is not UTF-8 either.
        raw.encode()
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest(
            f"The parameters cannot be read. Send at most {_MAX_PARAMETERS} parameters, in UTF-8.",
            "malformed_parameters",
        ) from error
    return Parameters(pairs)


def raw_query_value(raw: str, name: str) -> str | None:
    """Return a parameter's value still percent-encoded, exactly as sent, or None.

    The client gets the value back unchanged. Decoding and encoding could change it.
    """
    for pair in raw.split("&"):
        key, _, value = pair.partition("=")
        if unquote_to_bytes(key.replace("+", " ")) == name.encode():
            return value or None
    return None


def parse_form(request: HttpRequest) -> Parameters:
    """Parse a form body (RFC 6749 appendix B). Raises InvalidRequest if the content type is another one."""
    if _media_type(request) != _FORM:
        raise InvalidRequest(f"The header Content-Type must be {_FORM}.", "content_type")
    return parse_query(_text(request))


def parse_form_or_json(request: HttpRequest) -> Parameters:
    """Parse a form body, or a JSON object of strings and nulls. Raises InvalidRequest for anything else."""
    return parse_json(request) if _media_type(request) == _JSON else parse_form(request)


def parse_json(request: HttpRequest) -> Parameters:
    """Parse a JSON object of ASCII strings and nulls. Raises InvalidRequest for anything else.

    A null counts as left out, because many languages write null for a missing value.
    """
    sent = parse_members(request)
    if not all(isinstance(value, str) and value.isascii() for value in sent.values()):
        raise InvalidRequest(
            "Every value in the JSON object must be a string of ASCII characters, or null.", "malformed_json"
        )
    return Parameters(sent.items())


def parse_members(request: HttpRequest) -> dict[str, Any]:
    """Parse a JSON object, and leave out its nulls. Raises InvalidRequest for anything else."""
    if _media_type(request) != _JSON:
        raise InvalidRequest(f"The header Content-Type must be {_JSON}.", "content_type")
    try:
        members = parse_object(_text(request))
    except ValueError as error:
        raise InvalidRequest("The body must be one JSON object, with no name twice.", "malformed_json") from error
    return {name: value for name, value in members.items() if value is not None}


def _media_type(request: HttpRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _text(request: HttpRequest) -> str:
    body = request.body_bytes()
    if len(body) > _MAX_BODY_BYTES:
        raise InvalidRequest(f"The body is too large. Send at most {_MAX_BODY_BYTES // 1024} KiB.", "body_too_large")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body cannot be read. Send UTF-8 text.", "body_not_utf8") from error
