"""The metrics with their dimensions, and the names of log lines, read from the source of the functions."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.support.functions import ROOT

PACKAGE = ROOT / "layers" / "oauth_broker" / "oauth_broker"


def metrics() -> dict[str, set[str]]:
    """Return every metric, with its dimensions beside ``service``."""
    found: dict[str, set[str]] = defaultdict(set)
    for method, call in _calls():
        if method in ("count", "measure") and call.args:
            for name in _texts(call.args[0]):
                found[name] |= {keyword.arg for keyword in call.keywords if keyword.arg}
    return dict(found)


def events() -> set[str]:
    """Return every name of a log line, except names put together at run time."""
    place = {"log": 0, "_write": 1}
    return {
        name
        for method, call in _calls()
        if method in place and len(call.args) > place[method]
        for name in _texts(call.args[place[method]])
    }


def troubles() -> set[str]:
    """Return every name of a log line with the level warning or error."""
    return {
        name
        for method, call in _calls()
        if method == "log" and call.args
        for keyword in call.keywords
        if keyword.arg == "level" and _texts(keyword.value) & {"warning", "error"}
        for name in _texts(call.args[0])
    }


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield node.func.attr, node


def _texts(argument: ast.expr) -> set[str]:
    """Return the possible texts of an argument: itself, or the two of a conditional expression."""
    match argument:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=then, orelse=otherwise):
            return _texts(then) | _texts(otherwise)
        case _:
            return set()
