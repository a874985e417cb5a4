"""The programs that live apart from the tests' own packages."""

from __future__ import annotations

from tests.local.template import ROOT

_PROGRAMS = ROOT / ".venv-openapi" / "bin"


def program(name: str) -> str:
    """Return the path of a program of .venv-openapi; fails where it is not installed."""
    path = _PROGRAMS / name
    if not path.exists():
        raise AssertionError(f"{name} is not installed: run `make test-openapi`, which installs it into .venv-openapi")
    return str(path)
