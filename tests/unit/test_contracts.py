"""Names that outlive a release: stored attributes, metrics, log events and reasons.

The next release reads a stored row. The alarms, dashboards and saved queries of operators name metrics, events and
reasons. A rename in code leaves all of them as they are. A deliberate change of a name changes contracts.json, and
stands in docs/CHANGELOG.md.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from oauth_broker.operations.pause import BACKENDS, Pause
from oauth_broker.operator import count_progress, sweep_progress
from oauth_broker.operator.checks import Check
from oauth_broker.operator.dead_letters import Redriven
from oauth_broker.runtime.invocation import Invocation, OperatorAction
from oauth_broker.sessions import control_item, not_before
from oauth_broker.sessions.row import IN_ROW, NO_TOKENS, SignIn
from tests.support.clock import VirtualClock
from tests.support.functions import ROOT
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.session_secrets import SECRET

PACKAGE = ROOT / "layers" / "oauth_broker" / "oauth_broker"
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
NODES = [node for tree in TREES.values() for node in ast.walk(tree)]
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
        if isinstance(base, ast.Name) and base.id == "Exception":
            # The message of such an error becomes a reason.
            return ["reason"]
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


Assigned = Mapping[str, list[ast.expr]]


def assigned_in(nodes: Iterable[ast.AST]) -> Assigned:
    """Return the values that ``nodes`` assign to each name, and under ``name()`` the values that a function returns."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=True))
            case ast.Assign(targets=names, value=value):
                pairs = [(name, value) for name in names]
            case ast.FunctionDef(name=name):
                returns = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
                found.setdefault(f"{name}()", []).extend(returns)
                continue
            case _:
                continue
        for target, given_value in pairs:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(given_value)
    return found


# A module may import a constant of another module.
CONSTANTS = {name: values for name, values in assigned_in(NODES).items() if name.isupper()}


def literals(node: ast.expr, names: Assigned) -> Iterator[str]:
    """Yield the possible texts of an argument. If a text contains a value, yield the part before the value."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body, names)
            yield from literals(orelse, names)
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            key = name if isinstance(node, ast.Name) else f"{name}()"
            for value in names.get(key) or CONSTANTS.get(key, []):
                # A chain of names would lead to foreign texts.
                if not isinstance(value, ast.Name | ast.Call):
                    yield from literals(value, names)


def given(parameter: str) -> set[str]:
    """Return every text that the package passes for a parameter of this name, or assigns to this name."""
    found: set[str] = set()
    for tree in TREES.values():
        nodes = list(ast.walk(tree))
        names = assigned_in(nodes)
        values = list(names.get(parameter, []))
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for signature in SIGNATURES.get(name, []):
                if parameter in signature[: len(node.args)]:
                    values.append(node.args[signature.index(parameter)])
            values += [keyword.value for keyword in node.keywords if keyword.arg == parameter]
        found |= {text for value in values for text in literals(value, names)}
    return {text for text in found if text and " " not in text}


def dimensions() -> set[str]:
    return {
        keyword.arg
        for node in NODES
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"count", "measure"}
        for keyword in node.keywords
        if keyword.arg
    }


def attributes() -> set[str]:
    """Return every attribute that an expression for DynamoDB compares or sets."""
    texts = [node.value for node in NODES if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {name for text in texts for name in re.findall(r"(?<![\w#:.])([a-z_]+) (?:=|<|>|<=|>=) :[a-z]", text)}


def answer_members() -> set[str]:
    """Return the members of the operator's answers: keys of dictionaries, and the fields of two classes."""
    found = {field.name for kind in (Redriven, Check) for field in fields(kind)}
    for path, tree in TREES.items():
        if path.parent.name != "operator" or path.stem in {"count_progress", "search", "sweep_progress"}:
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Dict(keys=keys):
                    found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
                case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Store()):
                    found.add(key)
    return {name for name in found if name.islower()}


@pytest.mark.parametrize("parameter", ["metric", "event", "reason", "service"])
def test_the_names_in_logs_and_metrics_stay(parameter: str) -> None:
    assert given(parameter) == CONTRACTS[parameter]


@pytest.mark.parametrize(
    ("kind", "names"), [("dimension", dimensions()), ("attribute", attributes()), ("answer", answer_members())]
)
def test_the_names_of_dimensions_attributes_and_answers_stay(kind: str, names: set[str]) -> None:
    assert names == CONTRACTS[kind]


def test_the_fields_of_log_lines_keep_their_names() -> None:
    telemetry = Recorded()
    invocation = Invocation(Context(), telemetry, "api-request", "192.0.2.1")
    invocation.about_session("s" * 43)
    invocation.about_caller("arn")
    invocation.log("event", client_id="app", reason="reason", status=503, error="error")
    action = OperatorAction("revoke", "operator", "session", "app")
    invocation.audit(action, reason="reason", error="error", count=1)
    assert {name for _, _, line in telemetry.lines for name in line} == CONTRACTS["field"]


def test_the_attributes_of_a_row_keep_their_names() -> None:
    assert {field.name for field in fields(SignIn)} == CONTRACTS["row"]
    assert (NO_TOKENS, IN_ROW) == ("none", "row")


def test_the_members_of_a_session_secret_keep_their_names() -> None:
    assert set(json.loads(SECRET.to_json())) == CONTRACTS["secret"]


class RecordedItem(control_item.ControlItem):
    """A control item that notes each changed number."""

    def __init__(self, numbers: dict[str, float]) -> None:
        self.now = numbers
        self.changed: list[str] = []

    def numbers(self) -> dict[str, float]:
        return self.now

    def known(self) -> dict[str, float]:
        return self.now

    def swap(self, name: str, seen: float, number: float) -> bool:
        self.changed.append(name)
        return True


def test_the_numbers_of_a_pause_keep_their_names() -> None:
    item = RecordedItem({f"aries_refused_{place}": 1.0 for place in "01234"})
    pause = Pause(item, VirtualClock())
    pause.refused("f" * 16)
    pause.admit(was_refused=False)
    assert item.changed == ["aries_refused_f", "aries_paused_until"]
    item = RecordedItem({f"backends_refused_{place}": 1.0 for place in "01"})
    pause = Pause(item, VirtualClock(), BACKENDS, wider=Pause(item, VirtualClock()))
    pause.refused("f" * 16)
    pause.admit(was_refused=False)
    assert item.changed == ["backends_refused_f", "backends_paused_until"]


def test_the_attributes_of_the_other_items_keep_their_names() -> None:
    assert control_item.CONTROL_ITEM_KEY == "cut-offs"
    assert not_before.EVERYONE == "everyone"
    assert not_before.target_of("app") == "client:app"
    assert set(sweep_progress._ATTRIBUTES.values()) == CONTRACTS["progress"]
    assert sweep_progress._key("everyone") == {"session_id": {"S": "sweep:everyone"}}
    assert set(count_progress._FIELDS) == CONTRACTS["count"]
    assert count_progress._KEY == {"session_id": {"S": "sweep:count"}}
