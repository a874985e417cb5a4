"""docs/architecture.md names the rooms, states and attributes that there are."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from oauth_broker.sessions.row import SignIn
from tests.support.functions import ROOT
from tests.support.world import GRACE, PREFIX, World
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


def test_the_states_are_those_that_the_code_writes() -> None:
    diagram = PAGE.split("stateDiagram-v2")[1].split("```")[0]
    drawn = set(re.findall(r"\b([a-z]+) -->", diagram)) | set(re.findall(r"--> ([a-z]+):", diagram))
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert drawn == {"pending", "claimed", "issued", "active", "failed", "dead", "revoked"}
    assert all(f'"{state}"' in code for state in drawn)


def test_the_row_and_the_secret_are_stored_as_they_are_shown(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    row, secret = stored()
    assert list(row) == [name for name in SignIn.__dataclass_fields__ if name in phone.row()]
    (name,) = world.session_secrets()
    assert name.startswith(PREFIX)
    assert list(secret) == list(json.loads(world.secretsmanager.get_secret_value(SecretId=name)["SecretString"]))


def test_every_attribute_of_a_row_is_named() -> None:
    assert [name for name in SignIn.__dataclass_fields__ if f'"{name}"' not in PAGE and f"`{name}`" not in PAGE] == []
