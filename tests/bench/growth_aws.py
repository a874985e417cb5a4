"""DynamoDB and Secrets Manager in a process of their own, with a table of as many rows as wanted.

As little as the broker needs, and so faster than moto, which would be what everything waits for. Commanded on standard
input, one JSON object a line; each is answered with one on standard output, the first of all with the URL.
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
_CUT_OFFS = "cut-offs"
# DynamoDB's errors are named with this.
_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"

Asked = dict[str, Any]


class Failed(Exception):
    """An error that the service answers with."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.body = {"__type": code, "message": code, **members}


@dataclass
class Aws:
    """The services. ``made`` counts the calls as ``service:Operation``, and ``routine`` those that no operation makes.

    Routine is what every warm process reads again and again, whatever is asked of it.
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
            if asked.get("SecretId") == CLIENT_SECRET_ARN or asked.get("Key") == {"session_id": {"S": _CUT_OFFS}}:
                self.routine += 1
            else:
                self.made[f"{'dynamodb' if target.startswith('DynamoDB') else 'secretsmanager'}:{operation}"] += 1
            try:
                return 200, json.dumps(_OPERATIONS[operation](self, asked)).encode()
            except Failed as failed:
                return 400, json.dumps(failed.body).encode()

    def have_rows(self, count: int) -> None:
        """Let the table have this many rows of sessions of other people, and none else.

        They are a row that a sign-in has made, again and again under other keys; the first time there must be one.
        """
        if count not in self._filled:
            model = next(row for row in self.table.rows.values() if row["status"]["S"] == "active")
            keys = (f"{number:043d}" for number in range(count))
            self._filled[count] = {key: {**model, "session_id": {"S": key}} for key in keys}
            # The collector of this process need not look at a million rows again and again.
            gc.collect()
            gc.freeze()
        rows = self._filled[count]
        # A dict keeps the order of its insertions: what came after the filling is what was signed in since.
        while len(rows) > count:
            rows.popitem()
        self.table.rows = rows

    def asked_for(self) -> dict[str, Any]:
        """Say what was asked for since the last time, and the processor's seconds that this process has used."""
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
    """Serve until standard input ends. The first argument is the Aries client secret."""
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
