"""The programs installed apart from the tests' own packages."""

from __future__ import annotations

from tests.local.template import ROOT

_PYTHON = ROOT / ".venv-openapi" / "bin" / "python"


def program(module: str) -> list[str]:
    """Return the command of a program of .venv-openapi; raises AssertionError if it is not installed."""
    if not _PYTHON.exists():
        raise AssertionError(
            f"{module} is not installed: run `make test-openapi`, which installs it into .venv-openapi"
        )
    return [str(_PYTHON), "-m", module]
