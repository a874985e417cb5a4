"""The rooms of the package, and the allowed imports between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.functions import ROOT

PACKAGE = ROOT / "layers" / "oauth_broker" / "oauth_broker"
GROUND = {"clock", "errors", "secret", "strict_json"}
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "web": set(),
    "runtime": set(),
    "oauth": {"config", "web"},
    "aries": {"config", "runtime"},
    "sessions": {"config", "oauth", "runtime"},
    "people": {"config", "web", "runtime", "oauth", "aries", "sessions"},
    "operations": {"config", "web", "runtime", "oauth", "aries", "sessions", "people", "events"},
    "backends": {"config", "web", "runtime", "oauth", "aries", "sessions", "people", "operations"},
    "events": {"runtime"},
    "operator": {"config", "runtime", "oauth", "aries", "sessions", "people", "events"},
}
# Modules of rooms that are closed otherwise.
AND_MODULES: dict[str, set[str]] = {
    "operator": {"operations.cleanup", "operations.parts"},
    "people": {"operations.rate_limits"},
}
# One room speaks to the SDK. The modules that speak to a service know the SDK's errors.
SPEAKS_TO_AWS = {"runtime/aws.py", "sessions/secret_store.py", "operator/checks.py", "operator/dead_letters.py"}


def imported(path: str) -> Iterator[str]:
    """Yield the whole name of every module that a module imports."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            assert node.level == 0
            is_package = (PACKAGE.parent / node.module.replace(".", "/")).is_dir()
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if is_package else [node.module]


MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_every_module_stands_in_a_room_or_is_the_ground() -> None:
    rooms = {path.split("/")[0].removesuffix(".py") for path in MODULES}
    assert rooms == {*MAY_IMPORT, *GROUND, "__init__"}
    assert all(path.count("/") <= 1 for path in MODULES)


@pytest.mark.parametrize("path", MODULES)
def test_a_room_imports_only_from_those_that_it_may(path: str) -> None:
    room = path.split("/", maxsplit=1)[0].removesuffix(".py")
    may = GROUND | MAY_IMPORT.get(room, set()) | {room, "VERSION"}
    ours = {name.removeprefix("oauth_broker.") for name in imported(path) if name.startswith("oauth_broker.")}
    assert {name for name in ours if name.split(".")[0] not in may} <= AND_MODULES.get(room, set())


@pytest.mark.parametrize("path", MODULES)
def test_no_module_needs_an_assert_or_a_docstring_because_the_bytecode_has_none(path: str) -> None:
    nodes = list(ast.walk(ast.parse((PACKAGE / path).read_text())))
    assert not [node for node in nodes if isinstance(node, ast.Assert)]
    assert not [
        node for node in nodes if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("__doc__")
    ]


@pytest.mark.parametrize("path", MODULES)
def test_the_sdk_is_imported_only_where_a_service_is_spoken_to(path: str) -> None:
    found = {name.split(".")[0] for name in imported(path)} & {"boto3", "botocore"}
    assert not found or path in SPEAKS_TO_AWS
