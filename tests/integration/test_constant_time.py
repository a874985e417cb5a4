"""Guessing teaches nothing: comparisons of secrets take constant time, and every bad secret gets the same answer."""

from __future__ import annotations

import ast
import re

from tests.support.deployment import GRACE, OTHER_CLIENT_ID
from tests.support.emitted import PACKAGE
from tests.support.world import Answer, Phone, World

# ``lease_id`` never leaves the broker, and a bare ``code`` in this package is an error code.
SECRET_NAME = re.compile(r"(hash|token|verifier|challenge|secret|state|session_key|mac|cookie|grant\.code)$")
# No caller presents these values. Each comparison has its reason.
HARMLESS = {
    "found.browser_hash == row.browser_hash": "two rows of ours: whether a row that is there is our own",
    "found.code_hash == row.code_hash": "two rows of ours: whether an update was our own",
    "self.text == RefreshToken.mint(self.session_id, self.generation, session_key).text": "Secret: constant time",
    "self.text == BackendHandle.mint(self.session_id, session_key).text": "Secret: constant time",
}


def is_secret(operand: ast.expr) -> bool:
    if isinstance(operand, ast.Tuple | ast.List):
        return any(is_secret(element) for element in operand.elts)
    if isinstance(operand, ast.Call):
        return is_secret(operand.func)
    if not isinstance(operand, ast.Attribute | ast.Name):
        return False
    name = ast.unparse(operand)
    return SECRET_NAME.search(name) is not None or name.rpartition(".")[2] in ("reveal", "digest", "text")


def compared(source: str) -> list[str]:
    """Return every comparison by value of a secret's name. A comparison with a constant reveals nothing."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            sides = [node.left, *node.comparators]
            if any(map(is_secret, sides)) and not any(isinstance(side, ast.Constant) for side in sides):
                found.append(ast.unparse(node))
    return found


def test_no_secret_or_hash_of_one_is_compared_in_variable_time() -> None:
    found = {text for path in PACKAGE.rglob("*.py") for text in compared(path.read_text())}
    assert found == set(HARMLESS)


def test_the_search_finds_what_it_is_for() -> None:
    for text in (
        "a.hash == b",
        "token != other",
        "x not in (row.handle_hash, row.previous_hash)",
        "s.reveal() == t",
        "grant.code == c",
    ):
        assert len(compared(text)) == 1


def same(answers: list[Answer]) -> None:
    assert {answer.status for answer in answers} == {400}
    first, *others = answers
    assert [(without_id(other), other.headers, other.cookies) for other in others] == [
        (without_id(first), first.headers, first.cookies)
    ] * len(others)


def without_id(answer: Answer) -> str:
    """Return the exact body without the id of the invocation. The id says nothing of the reason."""
    assert answer.json["request_id"] == answer.request_id
    assert answer.body.count(answer.request_id) == 1
    return answer.body.replace(answer.request_id, "")


def foreign(world: World) -> Phone:
    return world.phone(client_id=OTHER_CLIENT_ID)


def test_unknown_forged_foreign_unproven_expired_and_used_codes_get_the_same_answer_save_for_its_id(
    world: World,
) -> None:
    phone = world.phone()
    code = phone.code()
    session_id, _, mac = code.partition(".")
    answers = [
        phone.redeem("garbage"),
        phone.redeem(f"{'A' * 43}.{mac}"),
        phone.redeem(f"{session_id}.{'A' * 43}"),
        foreign(world).redeem(code),
        phone.redeem(code, code_verifier="x" * 43),
        phone.redeem(code, redirect_uri="https://app.example.com/other"),
    ]
    late = world.phone()
    expired = late.code()
    assert phone.redeem(code).status == 200
    world.clock.time += 61
    answers += [late.redeem(expired), phone.redeem(code), phone.redeem(code)]
    same(answers)


def test_unknown_forged_foreign_reused_and_ended_refresh_tokens_get_the_same_answer_save_for_its_id(
    world: World,
) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    session_id, _, mac = first.split(".")
    world.clock.time += GRACE + 1
    phone.refresh()
    world.clock.time += GRACE + 1
    phone.refresh()
    answers = [
        phone.refresh("garbage"),
        phone.refresh(f"{'A' * 43}.1.{mac}"),
        phone.refresh(f"{session_id}.3.{'A' * 43}"),
        foreign(world).refresh(phone.refresh_token),
        phone.refresh(first),
        phone.refresh(phone.refresh_token),
    ]
    same(answers)
