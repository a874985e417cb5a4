"""The environment variables of this process, which all functions of a stack share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

# Whatever begins with one of these configures AWS' clients, SAM CLI, Powertools, or moto. The Makefile names them too.
_CALLERS = ("AWS_", "BOTO_", "SAM_", "POWERTOOLS_", "MOTO_", "TEST_SERVER_MODE")
# Fake credentials, so that nothing can reach a real account.
_MADE_UP = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def apart_from_the_callers_aws(variables: Iterable[str], region: str) -> dict[str, str | None]:
    """Say what to set, and by None what to remove, so that nothing of the caller's own AWS is asked or found."""
    theirs: dict[str, str | None] = {name: None for name in variables if name.startswith(_CALLERS)}
    return {**theirs, **_MADE_UP, "AWS_DEFAULT_REGION": region}


class ProcessEnvironment:
    """Sets variables and remembers what they were."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._before: dict[str, str | None] = {}

    def set(self, variables: Mapping[str, str | None]) -> None:
        """Set variables; None removes one."""
        for name, value in variables.items():
            self._before.setdefault(name, os.environ.get(name))
            _put(name, value)

    def restore(self) -> None:
        """Make every variable that was set what it was before."""
        for name, value in self._before.items():
            _put(name, value)
        self._before.clear()


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
