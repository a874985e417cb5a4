"""Every file and make target in docs/CONTRIBUTING.md exists."""

from __future__ import annotations

import re

from layers.install import KEPT_SETTINGS
from tests.support.functions import ROOT
from tests.unit.test_rooms import GROUND, MAY_IMPORT, PACKAGE

PATH = ROOT / "docs" / "CONTRIBUTING.md"
PAGE = PATH.read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_file_that_it_names_exists() -> None:
    rooms = "|".join(MAY_IMPORT)
    ground = "|".join(GROUND)
    ours = r"(?:tests|functions|layers|events|docs|\.ci)/[\w./-]*"
    named = set(re.findall(rf"`({ours}|(?:{rooms})/(?:\w+\.py)?|(?:{ground})\.py|\w+\.(?:yaml|toml))`", PAGE))
    assert len(named) > 40
    assert {name for name in named if not any((root / name).exists() for root in (ROOT, PACKAGE))} == set()


def test_it_says_which_configuration_of_the_developer_counts() -> None:
    assert {"index-url", "proxy", "cert"} <= KEPT_SETTINGS
    told = " ".join(PAGE.split("\n## Set up\n")[1].split("\n## ")[0].split())
    assert "except the part of pip's that reaches a package index" in told


def test_every_make_target_that_it_names_exists_and_every_test_target_is_named() -> None:
    prose, code = "", ""
    for number, part in enumerate(re.split(r"^```.*$", PAGE, flags=re.MULTILINE)):
        prose, code = (prose, code + part) if number % 2 else (prose + part, code)
    named = set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE))
    named |= {name for text in re.findall(r"`([^`]+)`", prose) for name in re.findall(r"\bmake ([a-z-]+)", text)}
    assert named <= TARGETS
    assert {name for name in TARGETS if re.match(r"test|check|fuzz|audit|sbom", name)} <= named
