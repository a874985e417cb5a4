"""DynamoDB and Secrets Manager in a process of their own, with a table of any number of rows.

The program does the minimum for the broker. moto is slower, and everything would wait for it. It reads commands on
standard input, one JSON object a line. It answers each with one line on standard output; its first line has the URL.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from tests.bench.growth_serving import KeptAliveServer, Request
from tests.bench.growth_table import ConditionFailed, Row, Table

CLIENT_SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aries/client-secret-AbCdEf"
# The stand-in answers this name with the key of the subjects.
SUBJECT_KEY_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:broker/subject-key-AbCdEf"
_SUBJECT_KEY = "the-key-of-the-subjects-in-the-benchmark"
_ROUTINE = (CLIENT_SECRET_ARN, SUBJECT_KEY_ARN)
_CONTROL_ITEM = "cut-offs"
# The prefix of DynamoDB's error names.
_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"

Asked = dict[str, Any]


class Failed(Exception):
    """An error answer of the service."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.body = {"__type": code, "message": code, **members}


@dataclass
class Aws:
    """The services. ``made`` counts the calls of operations as ``service:Operation``.

    ``routine`` counts the repeated reads of every warm process. They belong to no operation.
    """

    client_secret: str
    table: Table = field(default_factory=Table)
    made: Counter[str] = field(default_factory=Counter)
    routine: int = 0
    _secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    _filled: dict[int, dict[str, Row]] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def answer(self, request: Request) -> tuple[int, bytes]:
        """Answer one call, and count it."""
        target, _, operation = request.headers["X-Amz-Target"].partition(".")
        asked = json.loads(request.body)
        with self._lock:
            if asked.get("SecretId") in _ROUTINE or asked.get("Key") == {"session_id": {"S": _CONTROL_ITEM}}:
                self.routine += 1
            else:
                self.made[f"{'dynamodb' if target.startswith('DynamoDB') else 'secretsmanager'}:{operation}"] += 1
            try:
                return 200, json.dumps(_OPERATIONS[operation](self, asked)).encode()
            except Failed as failed:
                return 400, json.dumps(failed.body).encode()

    def have_rows(self, count: int) -> None:
        """Fill the table with exactly ``count`` sessions of other people.

        Each is a copy of a sign-in's row under another key. The table must hold such a row at the first call.
        """
        if count not in self._filled:
            model = next(row for row in self.table.rows.values() if row["status"]["S"] == "active")
            keys = (f"{number:043d}" for number in range(count))
            self._filled[count] = {key: {**model, "session_id": {"S": key}} for key in keys}
            # The garbage collector of this process then ignores the million rows.
            gc.collect()
            gc.freeze()
        rows = self._filled[count]
        # A dict keeps the order of insertions. Rows after the first ``count`` are later sign-ins.
        while len(rows) > count:
            rows.popitem()
        self.table.rows = rows

    def asked_for(self) -> dict[str, Any]:
        """Return the calls since the last time, and the processor seconds of this process."""
        with self._lock:
            told = {"made": dict(self.made), "routine": self.routine, "cpu": time.process_time()}
            self.made.clear()
            self.routine = 0
        return told

    def put_item(self, asked: Asked) -> Asked:
        self.table.put(asked["Item"])
        return {}

    def get_item(self, asked: Asked) -> Asked:
        row = self.table.get(asked["Key"]["session_id"]["S"])
        return {} if row is None else {"Item": row}

    def update_item(self, asked: Asked) -> Asked:
        names = tuple(asked.get("ExpressionAttributeNames", {}).items())
        key, values = asked["Key"]["session_id"]["S"], asked["ExpressionAttributeValues"]
        try:
            row = self.table.update(key, asked["ConditionExpression"], asked["UpdateExpression"], names, values)
        except ConditionFailed as refused:
            raise Failed(f"{_DYNAMODB}ConditionalCheckFailedException", Item=refused.row) from refused
        return {"Attributes": row}

    def create_secret(self, asked: Asked) -> Asked:
        if asked["Name"] in self._secrets:
            raise Failed("ResourceExistsException")
        self._secrets[asked["Name"]] = {asked["ClientRequestToken"]: asked["SecretString"]}
        return {"Name": asked["Name"], "VersionId": asked["ClientRequestToken"]}

    def get_secret_value(self, asked: Asked) -> Asked:
        if asked["SecretId"] == CLIENT_SECRET_ARN:
            return {"SecretString": self.client_secret, "VersionId": str(uuid.UUID(int=0))}
        if asked["SecretId"] == SUBJECT_KEY_ARN:
            return {"SecretString": _SUBJECT_KEY, "VersionId": str(uuid.UUID(int=0))}
        value = self._secrets.get(asked["SecretId"], {}).get(asked["VersionId"])
        if value is None:
            raise Failed("ResourceNotFoundException")
        return {"SecretString": value, "VersionId": asked["VersionId"]}

    def put_secret_value(self, asked: Asked) -> Asked:
        if asked["SecretId"] not in self._secrets:
            raise Failed("ResourceNotFoundException")
        self._secrets[asked["SecretId"]][asked["ClientRequestToken"]] = asked["SecretString"]
        return {"Name": asked["SecretId"], "VersionId": asked["ClientRequestToken"]}


_OPERATIONS: dict[str, Callable[[Aws, Asked], Asked]] = {
    "PutItem": Aws.put_item,
    "GetItem": Aws.get_item,
    "UpdateItem": Aws.update_item,
    "CreateSecret": Aws.create_secret,
    "GetSecretValue": Aws.get_secret_value,
    "PutSecretValue": Aws.put_secret_value,
}


def main() -> None:
    """Serve until standard input ends. The command line holds the Aries client secret."""
    aws = Aws(sys.argv[1])
    with KeptAliveServer(aws.answer) as server:
        print(json.dumps({"url": server.url}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            if "rows" in command:
                aws.have_rows(command["rows"])
            print(json.dumps(aws.asked_for()), flush=True)


if __name__ == "__main__":
    main()
