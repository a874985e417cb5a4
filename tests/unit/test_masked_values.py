"""No class of the package shows its secrets, in any way of showing or writing it out."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from http import HTTPStatus
from typing import Any

import pytest

import oauth_broker
from oauth_broker.oauth.tokens import BackendHandle, RefreshToken
from oauth_broker.operations.token_response import TokenResponse
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.web.http import HttpRequest, HttpResponse

CANARY = "canary-5f1c"
# These hold, or may hold, a secret in plain text: the wire, and the row. Their harmless fields may be shown.
HARMLESS = {"status", "method", "path", "domain_name", "request_id", "body_is_base64"}
HARMLESS |= {"client", "redirect_uri", "code_challenge", "scope"}
RAW = {"HttpRequest", "HttpResponse", "SignIn", "Reply", "ProviderCallback", "AuthorizationRequest"}


def classes() -> Iterator[type[Any]]:
    for module in pkgutil.walk_packages(oauth_broker.__path__, "oauth_broker."):
        loaded = importlib.import_module(module.name)
        yield from (
            value for value in vars(loaded).values() if isinstance(value, type) and value.__module__ == loaded.__name__
        )


DATACLASSES = {cls.__name__: cls for cls in classes() if is_dataclass(cls)}
EXCEPTIONS = {f"{cls.__module__}.{cls.__name__}": cls for cls in classes() if issubclass(cls, BaseException)}


def filled(cls: type[Any]) -> Any:
    """Return an instance with the canary in every text and every secret."""
    made = object.__new__(cls)
    for each in fields(cls):
        kind = str(each.type)
        value: Any = Secret(CANARY)
        if cls.__name__ in RAW and "Secret" not in kind:
            value = (CANARY,) if kind.startswith("tuple") else {CANARY: CANARY} if "Mapping" in kind else CANARY
        object.__setattr__(made, each.name, "harmless" if each.name in HARMLESS else value)
    return made


def shown(value: object) -> str:
    return " ".join([repr(value), str(value), f"{value}", f"{value!s}", repr([value]), repr(ValueError(value))])


@pytest.mark.parametrize("name", DATACLASSES)
def test_no_dataclass_shows_a_secret_that_it_holds(name: str) -> None:
    assert CANARY not in shown(filled(DATACLASSES[name]))


@pytest.mark.parametrize("name", [name for name, cls in DATACLASSES.items() if "Secret" in str(cls.__annotations__)])
def test_an_object_with_a_secret_cannot_be_pickled(name: str) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(filled(DATACLASSES[name]))


# The usual names of secrets. The wire and the row are masked as a whole, above.
SECRET_NAMES = {"code", "code_verifier", "access_token", "refresh_token", "session_key", "token"}
SECRET_NAMES |= {"client_secret", "secret", "backend_handle", "handle"}


def test_every_field_that_is_named_like_a_secret_has_a_type_that_masks_it() -> None:
    masking = {Secret.__name__, RefreshToken.__name__, BackendHandle.__name__, "SessionSecret"}
    bare = [
        f"{name}.{each.name}"
        for name, cls in DATACLASSES.items()
        for each in fields(cls)
        if each.name in SECRET_NAMES and not any(kind in str(each.type) for kind in masking)
    ]
    assert bare == ["SignIn.code_verifier"]


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_no_failure_shows_more_than_its_reason(name: str) -> None:
    error = EXCEPTIONS[name].__new__(EXCEPTIONS[name])
    for attribute in ("found", "state", "redirect_uri", "error"):
        setattr(error, attribute, CANARY)
    assert CANARY not in shown(error)


def test_the_row_the_request_and_the_answer_name_only_what_is_harmless() -> None:
    assert repr(SignIn("id", "active", 1, code_verifier=CANARY)) == "SignIn(status='active')"
    assert "GET" in repr(HttpRequest("GET", "/", CANARY, {}, (), "", body_is_base64=False, domain_name=""))
    assert "***" in repr(TokenResponse(filled(DATACLASSES["SessionSecret"]), Secret(CANARY), 0))
    assert "200" in repr(HttpResponse(HTTPStatus.OK, CANARY))
