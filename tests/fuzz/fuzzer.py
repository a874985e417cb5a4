"""A bounded run of the fuzzer over one target. It is always the same: the seed is fixed, and runs are counted."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import SEEDS
from tests.support.functions import ROOT

_PYTHON = ROOT / ".venv-fuzz" / "bin" / "python"
_LONGEST_INPUT = 1024
# Stops a fuzzer that hangs. A run takes less than a tenth of it.
_SECONDS = 120
_STATE = re.compile(r"#\d+\s+(INITED|DONE)\s+cov: (\d+) ft: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


@dataclass(frozen=True)
class Fuzzed:
    """The result of one run. ``covered`` counts branches; ``features`` counts also how often each was taken.

    If a defect is found before the end, or coverage is off, then ``covered`` and ``features`` are 0.
    """

    found: bool
    executed: int
    features_of_seeds: int
    features: int
    covered: int
    output: str


def fuzz(target: str, runs: int, folder: Path, *options: str, longest: int = _LONGEST_INPUT) -> Fuzzed:
    """Fuzz ``target``. Its kept inputs and the failing input stay in ``folder``."""
    if not _PYTHON.exists():
        raise AssertionError("atheris is not installed: run `make fuzz`, which installs it into .venv-fuzz")
    corpora = [folder / "found", folder / "seeds"]
    for corpus in corpora:
        corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]):
        (corpora[1] / str(number)).write_bytes(seed.encode())
    limits = [f"-runs={runs}", "-seed=1", f"-max_len={longest}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    answer = subprocess.run(
        [_PYTHON, "-m", "tests.fuzz", target, *options, *corpora, *limits],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    output = (answer.stdout + answer.stderr).decode(errors="replace")
    states = {name: (int(covered), int(features)) for name, covered, features in _STATE.findall(output)}
    executed = _EXECUTED.search(output)
    assert executed is not None, output
    return Fuzzed(
        found=answer.returncode != 0,
        executed=int(executed[1]),
        features_of_seeds=states.get("INITED", (0, 0))[1],
        features=states.get("DONE", (0, 0))[1],
        covered=states.get("DONE", (0, 0))[0],
        output=output,
    )


def _python_path() -> str:
    """The project, and the packages of this interpreter, so the fuzzer runs the same code as all other tests."""
    return os.pathsep.join([str(ROOT), str(ROOT / "layers" / "oauth_broker"), sysconfig.get_paths()["purelib"]])
