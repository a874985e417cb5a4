"""Fuzz a target: ``python -m tests.fuzz TARGET`` and libFuzzer's options. This needs atheris."""

from __future__ import annotations

import sys

import atheris

# Turns the view of coverage off, to show the finds of chance alone.
_BLIND = "--blind"


def main() -> None:
    name, *options = sys.argv[1:]
    covered = [] if _BLIND in options else ["oauth_broker", "tests.fuzz.planted"]
    with atheris.instrument_imports(include=covered or ["nothing"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *(option for option in options if option != _BLIND)], TARGETS[name])
    atheris.Fuzz()


main()
