"""The environment variables of this process. All functions of a stack share them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

# Variables with these prefixes configure AWS' clients, SAM CLI, Powertools, or moto. The Makefile names them too.
_CALLERS = ("AWS_", "BOTO_", "SAM_", "POWERTOOLS_", "MOTO_", "TEST_SERVER_MODE")
# Fake credentials: no call can reach a real account.
_MADE_UP = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def apart_from_the_callers_aws(variables: Iterable[str], region: str) -> dict[str, str | None]:
    """Return the variables to set, and None for those to remove, to keep the caller's own AWS out."""
    theirs: dict[str, str | None] = {name: None for name in variables if name.startswith(_CALLERS)}
    return {**theirs, **_MADE_UP, "AWS_DEFAULT_REGION": region}


class ProcessEnvironment:
    """Sets variables and remembers their old values."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._before: dict[str, str | None] = {}

    def set(self, variables: Mapping[str, str | None]) -> None:
        """Set variables. A value of None removes the variable."""
        for name, value in variables.items():
            self._before.setdefault(name, os.environ.get(name))
            _put(name, value)

    def restore(self) -> None:
        """Give every variable its old value."""
        for name, value in self._before.items():
            _put(name, value)
        self._before.clear()


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
