"""AWS in memory: DynamoDB's conditional updates, Secrets Manager's versions and KMS, as far as the broker uses them.

It is fast enough for millions of calls, atomic, and as strict as AWS: it refuses an unused value, an empty map of
names, and another value under a used client request token. ``test_aws`` compares it with moto.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.client_error import client_error

Item = dict[str, dict[str, Any]]
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
}

# JSON has no such byte.
_END_OF_CONTEXT = b"\0"


def _plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return float(content) if kind == "N" else content


@cache
def _condition(expression: str) -> Callable[..., bool]:
    """Compile a condition into a function of four others.

    One compares, and the others tell if an attribute is missing, has a type, and is smaller than a number.
    """
    source = re.sub(r"([#\w]+) (=|<=|>=|>) (:\w+)", r'compare("\1", "\2", "\3")', expression)
    source = re.sub(r"size\((#?\w+)\) < (:\w+)", r'smaller("\1", "\2")', source)
    source = re.sub(r"attribute_not_exists\((#?\w+)\)", r'missing("\1")', source)
    source = re.sub(r"attribute_exists\((#?\w+)\)", r'not missing("\1")', source)
    source = re.sub(r"attribute_type\((#?\w+), (:\w+)\)", r'typed("\1", "\2")', source)
    source = source.replace(" AND ", " and ").replace(" OR ", " or ").replace("NOT ", "not ")
    compiled: Callable[..., bool] = eval(f"lambda compare, missing, typed, smaller: {source}", {})  # noqa: S307 - our own expression
    return compiled


@cache
def _clauses(expression: str) -> dict[str, list[str]]:
    parts = re.split(r"\b(SET|ADD|REMOVE|DELETE)\b", expression)[1:]
    # A comma inside a function's parentheses does not separate clauses.
    return {
        verb: [part.strip() for part in re.split(r",(?![^()]*\))", text)]
        for verb, text in zip(parts[::2], parts[1::2], strict=True)
    }


@cache
def _used(text: str) -> tuple[set[str], set[str]]:
    """Return the names and the values of an expression."""
    return set(re.findall(r"#\w+", text)), set(re.findall(r":\w+", text))


@cache
def _grown(value: str) -> tuple[str, str, str] | None:
    """Split a ``list_append`` or a sum into the attribute, its default and what is added, or return None."""
    attribute = r"if_not_exists\((\w+), (:\w+)\)"
    found = re.fullmatch(rf"list_append\({attribute}, (:\w+)\)", value) or re.fullmatch(
        rf"{attribute} \+ (:\w+)", value
    )
    return found and (found[1], found[2], found[3])


@dataclass(frozen=True, slots=True)
class Access:
    """A worker read a row or tried to change it; ``item`` is the row afterwards."""

    worker: int
    applied: bool
    item: Item | None


class MemoryDynamoDb:
    """A table with the key ``session_id``. ``log`` lists every access, with the worker in turn.

    A write never changes an item; it puts a new one in its place.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.log: list[Access] = []
        self.writes = 0
        self.worker = 0

    def _note(self, *, applied: bool, item: Item | None) -> None:
        self.writes += applied
        self.log.append(Access(self.worker, applied, item))

    def put_item(self, *, TableName: str, Item: Item, **condition: str) -> dict[str, Any]:  # noqa: N803
        assert condition == {
            "ConditionExpression": "attribute_not_exists(session_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        found = self.items.get(Item["session_id"]["S"])
        if found is not None:
            self._note(applied=False, item=found)
            raise client_error("ConditionalCheckFailedException", Item=dict(found))
        self.items[Item["session_id"]["S"]] = dict(Item)
        self._note(applied=True, item=Item)
        return {}

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        item = self.items.get(Key["session_id"]["S"])
        self._note(applied=False, item=item)
        return {} if item is None else {"Item": dict(item)}

    def delete_item(self, **parameters: Any) -> dict[str, Any]:
        key = parameters["Key"]["session_id"]["S"]
        values = parameters.get("ExpressionAttributeValues", {":": {}})
        _refuse_what_aws_refuses(parameters["ConditionExpression"], {"#": ""}, values)
        self._refuse_unless(parameters["ConditionExpression"], self.items.get(key), {}, values)
        self._note(applied=self.items.pop(key, None) is not None, item=None)
        return {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, asked),) = RequestItems.items()
        assert asked["ConsistentRead"]
        assert len(asked["Keys"]) <= 100
        found = [self.items.get(key["session_id"]["S"]) for key in asked["Keys"]]
        return {"Responses": {table: [dict(item) for item in found if item is not None]}, "UnprocessedKeys": {}}

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        names: dict[str, str] = parameters.get("ExpressionAttributeNames", {"#": ""})
        values: dict[str, dict[str, Any]] = parameters.get("ExpressionAttributeValues", {":": {}})
        update, condition = parameters["UpdateExpression"], parameters.get("ConditionExpression", "")
        _refuse_what_aws_refuses(f"{update} {condition}", names, values)
        key = parameters["Key"]["session_id"]["S"]
        item = self.items.get(key)
        if condition:
            self._refuse_unless(condition, item, names, values)
        new = dict(item or parameters["Key"])
        for verb, clauses in _clauses(update).items():
            for clause in clauses:
                _apply(new, verb, clause, names, values)
        self.items[key] = new
        self._note(applied=True, item=new)
        return {"Attributes": dict(new)} if parameters["ReturnValues"] == "ALL_NEW" else {}

    def _refuse_unless(
        self, condition: str, item: Item | None, names: dict[str, str], values: dict[str, dict[str, Any]]
    ) -> None:
        def attribute(name: str) -> dict[str, Any] | None:
            return (item or {}).get(names.get(name, name))

        def compare(name: str, comparison: str, value: str) -> bool:
            found = attribute(name)
            if found is None or found.keys() != values[value].keys():
                return False
            return _COMPARISONS[comparison](_plain(found), _plain(values[value]))

        def typed(name: str, kind: str) -> bool:
            return values[kind]["S"] in (attribute(name) or {})

        def smaller(name: str, most: str) -> bool:
            ((_, content),) = (attribute(name) or {"": ""}).items()
            return len(content) < int(values[most]["N"])

        if not _condition(condition)(compare, lambda name: attribute(name) is None, typed, smaller):
            self._note(applied=False, item=item)
            raise client_error("ConditionalCheckFailedException", **({"Item": dict(item)} if item is not None else {}))


def _refuse_what_aws_refuses(text: str, names: dict[str, str], values: dict[str, Any]) -> None:
    used_names, used_values = _used(text)
    if not names or not values or names.keys() - {"#"} != used_names or values.keys() - {":"} != used_values:
        raise client_error("ValidationException")


def _apply(item: Item, verb: str, clause: str, names: dict[str, str], values: dict[str, Any]) -> None:
    match verb:
        case "REMOVE":
            item.pop(names.get(clause, clause), None)
        case "ADD":
            name, value = clause.split(" ")
            name = names.get(name, name)
            if "SS" in values[value]:
                item[name] = {"SS": sorted({*item.get(name, {"SS": []})["SS"], *values[value]["SS"]})}
                return
            before = int(item.get(name, {"N": "0"})["N"])
            item[name] = {"N": str(before + int(values[value]["N"]))}
        case "DELETE":
            name, value = clause.split(" ")
            name = names.get(name, name)
            left = sorted({*item[name]["SS"]} - {*values[value]["SS"]})
            item.pop(name)
            # DynamoDB has no empty set.
            if left:
                item[name] = {"SS": left}
        case _:
            name, value = clause.split(" = ")
            item[names.get(name, name)] = _set_to(item, value, values)


def _set_to(item: Item, value: str, values: dict[str, Any]) -> dict[str, Any]:
    grown = _grown(value)
    if grown is None:
        plain: dict[str, Any] = values[value]
        return plain
    name, default, more = grown
    before, added = item.get(name, values[default]), values[more]
    if "L" in added:
        return {"L": before["L"] + added["L"]}
    return {"N": str(int(before["N"]) + int(added["N"]))}


class MemorySecretsManager:
    """Secrets with their versions. The client request token of a write is the version's id.

    ``touched`` has the name of every secret that anybody asked for.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {}
        self.current: dict[str, str] = {}
        self.touched: set[str] = set()

    def create_secret(self, *, Name: str, ClientRequestToken: str, KmsKeyId: str, SecretString: str) -> Any:  # noqa: N803
        self.touched.add(Name)
        if Name in self.secrets and self.secrets[Name] != {ClientRequestToken: SecretString}:
            raise client_error("ResourceExistsException")
        self.secrets[Name] = {ClientRequestToken: SecretString}
        self.current[Name] = ClientRequestToken
        return {"VersionId": ClientRequestToken}

    def put_secret_value(self, *, SecretId: str, ClientRequestToken: str, SecretString: str) -> Any:  # noqa: N803
        versions = self._versions(SecretId)
        if versions.get(ClientRequestToken, SecretString) != SecretString:
            raise client_error("ResourceExistsException")
        if ClientRequestToken not in versions:
            versions[ClientRequestToken] = SecretString
            self.current[SecretId] = ClientRequestToken
        return {"VersionId": ClientRequestToken}

    def get_secret_value(self, *, SecretId: str, VersionId: str | None = None) -> Any:  # noqa: N803
        versions = self._versions(SecretId)
        version = VersionId or self.current[SecretId]
        if version not in versions:
            raise client_error("ResourceNotFoundException")
        return {"SecretString": versions[version], "VersionId": version}

    def delete_secret(self, *, SecretId: str, ForceDeleteWithoutRecovery: bool) -> Any:  # noqa: N803
        assert ForceDeleteWithoutRecovery
        self.touched.add(SecretId)
        self.secrets.pop(SecretId, None)
        self.current.pop(SecretId, None)
        return {}

    def _versions(self, name: str) -> dict[str, str]:
        self.touched.add(name)
        if name not in self.secrets:
            raise client_error("ResourceNotFoundException")
        return self.secrets[name]


class MemoryKms:
    """Seals without secrecy: a ciphertext opens only under its own encryption context.

    ``asked`` has the purpose and the session of every call.
    """

    def __init__(self) -> None:
        self.asked: set[tuple[str, str]] = set()

    def encrypt(self, *, KeyId: str, Plaintext: bytes, EncryptionContext: dict[str, str]) -> Any:  # noqa: N803
        assert len(Plaintext) <= 4096
        return {"CiphertextBlob": self._bound_to(EncryptionContext) + Plaintext}

    def decrypt(self, *, KeyId: str, CiphertextBlob: bytes, EncryptionContext: dict[str, str]) -> Any:  # noqa: N803
        bound_to = self._bound_to(EncryptionContext)
        if not CiphertextBlob.startswith(bound_to):
            raise client_error("InvalidCiphertextException")
        return {"Plaintext": CiphertextBlob[len(bound_to) :]}

    def _bound_to(self, context: dict[str, str]) -> bytes:
        self.asked.add((context.get("purpose", ""), context.get("session", "")))
        return json.dumps(context, sort_keys=True).encode() + _END_OF_CONTEXT


def plaintext_of(ciphertext: bytes) -> bytes:
    """Return the plaintext of a ciphertext of MemoryKms."""
    return ciphertext.partition(_END_OF_CONTEXT)[2]
