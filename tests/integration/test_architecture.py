"""docs/architecture.md names the rooms, decisions, states and attributes of the code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, cast

from oauth_broker.operator.mass_sign_out import IN_EFFECT_SECONDS
from oauth_broker.sessions.row import SignIn
from tests.support.deployment import GRACE, PREFIX
from tests.support.functions import ROOT
from tests.support.world import World
from tests.unit.test_rooms import GROUND, MAY_IMPORT, PACKAGE

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def stored() -> list[dict[str, Any]]:
    return [cast(dict[str, Any], json.loads(block)) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_every_module_stands_in_the_row_of_its_room_and_no_other() -> None:
    rows = {row[0]: re.findall(r"`(\w+)`", row[1]) for row in re.findall(r"^\| `?([a-z ]+?)`? \| (.*?) \|", PAGE, re.M)}
    assert set(rows["the ground"]) == GROUND
    for room in MAY_IMPORT:
        modules = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
        assert set(rows[room]) == modules, room


def test_the_picture_has_an_arrow_only_where_the_rule_allows_an_import() -> None:
    arrows = re.findall(r"^ +(\w+)(?:\[.*?\])? --> (\w+)$", PAGE, re.MULTILINE)
    assert len(arrows) > 10
    for room, other in arrows:
        assert room == "functions" or other == "ground" or other in MAY_IMPORT[room], (room, other)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def defined_in(path: Path) -> set[str]:
    """Return every name defined in a module, or every word of another file."""
    text = path.read_text()
    if path.suffix != ".py":
        return set(re.findall(r"\w+", text))
    names = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def test_everything_is_decided_where_the_page_says() -> None:
    rows = [line[2:-2].split(" | ") for line in section("Where is it decided").splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    for question, answer, file, names in rows[1:]:
        assert answer, question
        (name_of_file,) = re.findall(r"^`([\w/.]+)`$", file)
        paths = [root / name_of_file for root in (PACKAGE, ROOT) if (root / name_of_file).is_file()]
        assert len(paths) == 1, question
        named = set(re.findall(r"`(\w+)`", names))
        assert named, question
        assert named <= defined_in(paths[0]), (question, named - defined_in(paths[0]))


def test_a_mass_sign_out_takes_effect_as_soon_as_this_page_and_the_runbook_say() -> None:
    (answer,) = re.findall(r"^\| the moment when a mass sign-out takes effect \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert answer.startswith(f"within {IN_EFFECT_SECONDS} seconds, in every process")
    assert f"in effect within {IN_EFFECT_SECONDS} seconds" in (ROOT / "docs" / "operate.md").read_text()


def test_every_word_of_the_project_is_explained_once_in_one_sentence() -> None:
    words = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section("Words"), re.MULTILINE)[1:]
    explained = [word for cell, _ in words for word in cell.split(", ")]
    assert len(set(explained)) == len(explained)
    needed = {
        "app",
        "provider",
        "dialect",
        "sign-in",
        "session",
        "claim",
        "redeem",
        "session key",
        "holder",
        "generation",
    }
    needed |= {
        "lease",
        "fence",
        "commit",
        "grace",
        "replay",
        "escrow",
        "pause",
        "timeline",
        "not before",
        "roll forward",
        "seal",
    }
    assert needed <= set(explained)
    assert [word for word, meaning in words if ". " in meaning or meaning.strip().endswith(".")] == []


def test_the_states_are_those_that_the_code_writes() -> None:
    diagram = PAGE.split("stateDiagram-v2")[1].split("```")[0]
    drawn = set(re.findall(r"\b([a-z]+) -->", diagram)) | set(re.findall(r"--> ([a-z]+):", diagram))
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert drawn == {"pending", "claimed", "issued", "active", "failed", "dead", "revoked"}
    assert all(f'"{state}"' in code for state in drawn)


def test_the_row_and_the_secret_are_stored_as_they_are_shown(world: World) -> None:
    phone = world.signed_in(scope="account:information user:information")
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    row, secret, *_ = stored()
    assert list(row) == [name for name in SignIn.__dataclass_fields__ if name in phone.row()]
    (name,) = world.session_secrets()
    assert name.startswith(PREFIX)
    assert list(secret) == list(json.loads(world.secretsmanager.get_secret_value(SecretId=name)["SecretString"]))


def test_a_row_with_its_tokens_is_stored_as_it_is_shown(world: World) -> None:
    world.environment["TOKEN_STORE"] = "row"
    phone = world.signed_in(scope="account:information user:information")
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    *_, row = stored()
    assert list(row) == [name for name in SignIn.__dataclass_fields__ if name in phone.row()]
    assert row["token_store"] == phone.row()["token_store"]
    assert len(row["sealed"]) == len(phone.row()["sealed"]) == 1
    assert world.session_secrets() == []


def test_every_attribute_of_a_row_is_named() -> None:
    assert [name for name in SignIn.__dataclass_fields__ if f'"{name}"' not in PAGE and f"`{name}`" not in PAGE] == []
