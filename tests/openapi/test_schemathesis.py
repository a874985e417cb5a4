"""Schemathesis tries the document on the running stack, with right and wrong requests. Every run has the same ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.local.stack import LocalStack
from tests.openapi.document import PATH
from tests.openapi.programs import program

pytestmark = pytest.mark.openapi

_SECONDS = 240


def test_the_stack_answers_as_the_document_says(tmp_path: Path) -> None:
    options = ["--config-file", str(PATH.with_name("schemathesis.toml")), "--no-color"]
    command = [*program("schemathesis.cli"), *options, "run"]
    with LocalStack() as stack:
        answer = subprocess.run(
            [*command, str(PATH), "--url", stack.issuer],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(PATH.with_name("hooks.py"))},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        asked_of_aries = stack.aries_simulator.requests

    assert answer.returncode == 0, answer.stdout[-20_000:] + answer.stderr
    # Schemathesis followed no redirect, and a stranger's requests did not reach Aries.
    assert list(asked_of_aries) == []
