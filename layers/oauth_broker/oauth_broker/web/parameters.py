"""Request parameters: query strings, forms and JSON bodies, with repeated parameters told apart."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote_to_bytes

from oauth_broker.errors import InvalidRequest
from oauth_broker.strict_json import parse_object
from oauth_broker.web.http import HttpRequest

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
# Far more than any request of the protocol needs; API Gateway itself lets 10 MB through.
_MAX_BODY_BYTES = 32 * 1024
_MAX_PARAMETERS = 64


class Parameters:
    """Parameters by name. One without a value counts as left out (RFC 6749 section 3.1)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def is_repeated(self, name: str) -> bool:
        """Tell whether the parameter came more than once, with or without a value."""
        return len(self._values.get(name, ())) > 1

    def get(self, name: str) -> str | None:
        """Return the parameter's only value, or None; raises InvalidRequest where it is repeated."""
        if self.is_repeated(name):
            raise InvalidRequest("A parameter is repeated.", f"repeated_{name}")
        return self._values.get(name, [""])[0] or None

    def require(self, name: str) -> str:
        """Return the parameter's only value; raises InvalidRequest where it is missing or repeated.

        ``name`` is always one of ours, so that the description repeats nothing of the request.
        """
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"The parameter {name} is missing.", f"missing_{name}")
        return value

    def refuse_repeated(self) -> None:
        """Raise InvalidRequest where any parameter is repeated, known or not (RFC 6749 section 3.1)."""
        if any(len(values) > 1 for values in self._values.values()):
            raise InvalidRequest("A parameter is repeated.", "repeated")


def parse_query(raw: str) -> Parameters:
    """Parse a raw query string; raises InvalidRequest for bytes that are not UTF-8 and for far too many parameters.

    From the raw text, since API Gateway's own parsed form joins repeated parameters with commas.
    """
    try:
        # Half of a surrogate pair, which the JSON of an event can hold, is not UTF-8 either.
        raw.encode()
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest("The parameters cannot be read.", "malformed_parameters") from error
    return Parameters(pairs)


def raw_query_value(raw: str, name: str) -> str | None:
    """Return a parameter's value still percent-encoded, exactly as it was sent, or None.

    What a client gets back unchanged must not be decoded and encoded again on the way.
    """
    for pair in raw.split("&"):
        key, _, value = pair.partition("=")
        if unquote_to_bytes(key.replace("+", " ")) == name.encode():
            return value or None
    return None


def parse_form(request: HttpRequest) -> Parameters:
    """Parse a form body (RFC 6749 appendix B); raises InvalidRequest for another content type."""
    if _media_type(request) != _FORM:
        raise InvalidRequest(f"The content type must be {_FORM}.", "content_type")
    return parse_query(_text(request))


def parse_form_or_json(request: HttpRequest) -> Parameters:
    """Parse a form body, or a JSON object of strings and nulls; raises InvalidRequest for anything else."""
    return parse_json(request) if _media_type(request) == _JSON else parse_form(request)


def parse_json(request: HttpRequest) -> Parameters:
    """Parse a JSON object of ASCII strings and nulls; raises InvalidRequest for anything else.

    A null counts as left out: many languages write one for a value that they do not have.
    """
    if _media_type(request) != _JSON:
        raise InvalidRequest(f"The content type must be {_JSON}.", "content_type")
    try:
        members = parse_object(_text(request))
    except ValueError as error:
        raise InvalidRequest("The body is not a JSON object.", "malformed_json") from error
    sent = {name: value for name, value in members.items() if value is not None}
    if not all(isinstance(value, str) and value.isascii() for value in sent.values()):
        raise InvalidRequest(
            "Every member of the body must be a string of ASCII characters, or null.", "malformed_json"
        )
    return Parameters(sent.items())


def _media_type(request: HttpRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _text(request: HttpRequest) -> str:
    body = request.body_bytes()
    if len(body) > _MAX_BODY_BYTES:
        raise InvalidRequest("The body is too large.", "body_too_large")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body cannot be read.", "body_not_utf8") from error
