"""An attacker with the right to write rows of the sign-in table, and no other: a function's hostile package, say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.secret import Secret, digest
from tests.support.attacker import GUESS
from tests.support.deployment import APP_URI, CLIENT_ID, GRACE, TABLE
from tests.support.leaks import WATCH
from tests.support.people import END_PATH, LIST_PATH
from tests.support.world import Answer, World

Right = Literal["PutItem", "UpdateItem"]
Item = dict[str, Any]
_GENERATIONS = (1, 2)


@dataclass
class RowWriter:
    """Writes rows with the ``rights``, and then tries every endpoint for access to one of them.

    It knows the protocol and every session id, so it can make codes and refresh tokens of the right form and store
    their hashes. It knows no session's key, no browser's secret and no app's verifier.
    """

    world: World
    rights: tuple[Right, ...]

    def put(self, item: Item) -> None:
        """Put a whole row in the place of the present one."""
        assert "PutItem" in self.rights
        self.world.dynamodb.put_item(TableName=TABLE, Item=item)

    def update(self, session_id: str, changes: Mapping[str, Any]) -> None:
        """Change some attributes of a row, or make it."""
        assert "UpdateItem" in self.rights
        names = {f"#{index}": name for index, name in enumerate(changes)}
        self.world.dynamodb.update_item(
            TableName=TABLE,
            Key={"session_id": {"S": session_id}},
            UpdateExpression="SET " + ", ".join(f"{short} = :{short[1:]}" for short in names),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={f":{short[1:]}": changes[name] for short, name in names.items()},
        )

    def write(self, row: Item, changes: Mapping[str, Any]) -> None:
        """Change the row by the rights: put it whole, change it, or one after the other."""
        if "PutItem" in self.rights:
            self.put({**row, **changes})
        if "UpdateItem" in self.rights:
            self.update(row["session_id"]["S"], changes)

    def loot(self, session_id: str) -> list[str]:
        """Try made-up tokens, code and handle of the session; return every answer with tokens or sessions."""
        token_grants = [
            {"grant_type": "refresh_token", "refresh_token": made_up_token(session_id, generation)}
            for generation in _GENERATIONS
        ]
        code_grant = {"code": made_up_code(session_id), "redirect_uri": APP_URI, "code_verifier": GUESS}
        with WATCH.guessing():
            answers = [
                self.world.form(function, {"client_id": CLIENT_ID} | grant)
                for function in ("token", "refresh")
                for grant in token_grants
            ]
            grant = {"grant_type": "authorization_code", "client_id": CLIENT_ID} | code_grant
            answers.append(self.world.form("token", grant))
            answers += self._about_sessions(session_id)
            answers += [
                self.world.backend({"backend_handle": made_up_handle(session_id)}, path=f"/backend/{client_id}/token")
                for client_id in self.world.apps()
            ]
        return [answer.body for answer in answers if answer.status == 200]

    def _about_sessions(self, session_id: str) -> list[Answer]:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        fields = {"client_id": CLIENT_ID, "token": made_up_token(session_id, 1)}
        return [
            self.world.call("sessions", "POST", path, headers=headers, body=urlencode(fields | more))
            for path, more in ((LIST_PATH, {}), (END_PATH, {"others": "true"}))
        ]


def made_up_token(session_id: str, generation: int) -> str:
    """Return a refresh token of the right form, without the session's key."""
    return f"{session_id}.{generation}.{GUESS}"


def made_up_code(session_id: str) -> str:
    """Return a one-time code of the right form, without the browser's secret."""
    return f"{session_id}.{GUESS}"


def made_up_handle(session_id: str) -> str:
    """Return a handle for backends of the right form, without the session's key."""
    return f"{session_id}.{GUESS}"


def forgeries(session_id: str, now: float) -> dict[str, Item]:
    """Return changes of attributes, by name. After each one, the row takes made-up tokens or codes for its own."""
    far = {"N": str(int(now) + 1_000_000)}
    alive = {"expires_at": far, "created_at": {"N": str(int(now))}, "client_id": {"S": CLIENT_ID}}
    replay_after, fresh = {"N": f"{now - GRACE - 1:.3f}"}, {"N": f"{now:.3f}"}
    found: dict[str, Item] = {}
    for generation in _GENERATIONS:
        made_up = {"S": digest(made_up_token(session_id, generation))}
        active = alive | {"status": {"S": "active"}, "generation": {"N": str(generation)}}
        current = active | {"handle_hash": made_up}
        found |= {
            f"token {generation} is the current one": current | {"rotated_at": replay_after},
            f"token {generation} was refreshed a moment ago": current | {"rotated_at": fresh},
            f"token {generation} is the previous one": active | {"previous_hash": made_up, "rotated_at": replay_after},
            f"token {generation} was the previous one a moment ago": active
            | {"previous_hash": made_up, "rotated_at": fresh},
            f"token {generation} is current, and answers may be stored": current
            | {"rotated_at": replay_after, "fence": {"N": "9"}, "committed_fence": {"N": "0"}},
            f"token {generation} is current, and a lease lapsed": current
            | {"rotated_at": replay_after, "lease_id": {"S": "x"}, "lease_until": {"N": "1"}, "fence": {"N": "2"}},
        }
    issued = alive | {
        "status": {"S": "issued"},
        "code_hash": {"S": digest(made_up_code(session_id))},
        "code_expires_at": far,
        "app_code_challenge": {"S": challenge_of(Secret(GUESS))},
        "redirect_uri": {"S": APP_URI},
    }
    return found | {"a made-up code was issued": issued}
