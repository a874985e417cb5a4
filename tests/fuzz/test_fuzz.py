"""A coverage-guided fuzzer finds no input with an undeclared answer of a parser or of a whole endpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.fuzzer import fuzz
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import PARSERS, TARGETS

pytestmark = pytest.mark.fuzz

# All targets together take about a minute.
_RUNS = 80_000
# Coverage finds the defect in far fewer runs; chance needs far more (256 to the fourth).
_PLANTED_RUNS = 300_000
_PLANTED_LONGEST = 64


@pytest.mark.parametrize("target", sorted(PARSERS))
def test_any_input_is_parsed_or_refused_as_declared(
    target: str, tmp_path: Path, numbers: Callable[[str], None]
) -> None:
    fuzzed = fuzz(target, _RUNS, tmp_path)
    assert not fuzzed.found, fuzzed.output[-4000:]
    # The fuzzer made all its runs, and reached code beyond the seeds.
    assert fuzzed.executed == _RUNS
    assert fuzzed.covered > 0
    if target != "token":
        # The parser of tokens is two regular expressions, opaque to the fuzzer.
        assert fuzzed.features > fuzzed.features_of_seeds
    numbers(
        f"{target}: {fuzzed.executed:,} inputs, {fuzzed.covered} branches covered, "
        f"features {fuzzed.features_of_seeds} by the seeds, {fuzzed.features} at the end"
    )


def test_a_planted_defect_is_found(tmp_path: Path) -> None:
    fuzzed = fuzz("planted", _PLANTED_RUNS, tmp_path, longest=_PLANTED_LONGEST)
    assert fuzzed.found
    assert "PlantedDefect" in fuzzed.output
    (crash,) = tmp_path.glob("crash-*")
    assert crash.read_bytes().startswith(b"k=v%")


def test_without_coverage_the_planted_defect_is_not_found(tmp_path: Path) -> None:
    fuzzed = fuzz("planted", _PLANTED_RUNS, tmp_path, "--blind", longest=_PLANTED_LONGEST)
    assert not fuzzed.found, fuzzed.output[-4000:]
    assert fuzzed.executed == _PLANTED_RUNS
    assert fuzzed.covered == 0


def test_every_target_has_seeds_and_takes_them_and_an_empty_input() -> None:
    assert SEEDS.keys() == TARGETS.keys()
    for name, seeds in SEEDS.items():
        for seed in (*seeds, ""):
            TARGETS[name](seed.encode())
