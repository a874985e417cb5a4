"""Names that outlive a release: stored attributes, metrics, log events and reasons.

The next release reads a stored row. The alarms, dashboards and saved queries of operators name metrics, events and
reasons. A rename in code leaves all of them as they are. A deliberate change of a name changes contracts.json, and
stands in docs/CHANGELOG.md.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from oauth_broker.operator import sweep_progress
from oauth_broker.sessions import control_item, not_before
from oauth_broker.sessions.row import SignIn
from tests.support.functions import ROOT

PACKAGE = ROOT / "layers" / "oauth_broker" / "oauth_broker"
TREES = [ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]
NODES = [node for tree in TREES for node in ast.walk(tree)]
CLASSES = {node.name: node for node in NODES if isinstance(node, ast.ClassDef)}
CONTRACTS = {
    kind: set(names) for kind, names in json.loads((Path(__file__).parent / "contracts.json").read_text()).items()
}


def parameters(function: ast.FunctionDef) -> list[str]:
    names = [argument.arg for argument in function.args.args]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def constructor(name: str) -> list[str]:
    """Return the parameters of a class of the package, from its own constructor or its base's."""
    for node in CLASSES[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return parameters(node)
    for base in CLASSES[name].bases:
        if isinstance(base, ast.Name) and base.id in CLASSES:
            return constructor(base.id)
    return []


def signatures() -> dict[str, list[list[str]]]:
    """Return the parameters of every function, method and class, by its bare name."""
    found: dict[str, list[list[str]]] = {name: [constructor(name)] for name in CLASSES}
    for node in NODES:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(parameters(node))
    # An error calls `super().__init__("reason")`.
    found["__init__"] = [["reason"], ["description", "reason"]]
    return found


SIGNATURES = signatures()


def literals(node: ast.expr) -> Iterator[str]:
    """Yield the possible texts of an argument. If a text contains a value, yield the part before the value."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body)
            yield from literals(orelse)


def assigned(name: str) -> Iterator[str]:
    """Every text that the package assigns to a variable of this name."""
    for node in NODES:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                for one, value in pairs:
                    if isinstance(one, ast.Name) and one.id == name:
                        yield from literals(value)


def given(parameter: str) -> set[str]:
    """Return every text that the package passes for a parameter of this name."""
    found = set(assigned(parameter))
    for node in NODES:
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for names in SIGNATURES.get(name, []):
            if parameter in names[: len(node.args)]:
                found |= set(literals(node.args[names.index(parameter)]))
        for keyword in node.keywords:
            if keyword.arg == parameter:
                found |= set(literals(keyword.value))
    return {text for text in found if text and " " not in text}


@pytest.mark.parametrize("parameter", ["metric", "event", "reason", "service"])
def test_what_is_watched_keeps_its_name(parameter: str) -> None:
    assert given(parameter) == CONTRACTS[parameter]


def test_the_attributes_of_a_row_keep_their_names() -> None:
    assert {field.name for field in fields(SignIn)} == CONTRACTS["row"]


def test_the_attributes_of_the_other_items_keep_their_names() -> None:
    assert control_item.CONTROL_ITEM_KEY == "cut-offs"
    assert not_before.EVERYONE == "everyone"
    assert not_before.target_of("app") == "client:app"
    assert set(sweep_progress._ATTRIBUTES.values()) == CONTRACTS["progress"]
