"""DynamoDB: a row for each sign-in. It becomes the session. Conditional writes enforce single use."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin
from botocore.exceptions import ClientError

_SIGN_IN_SECONDS = 600
_CODE_SECONDS = 60
_SESSION_SECONDS = 30 * 24 * 3600


class Conflict(Exception):
    """The row has another state than the condition of the write."""


@dataclass(frozen=True)
class Session(AuthorizationCodeMixin, TokenMixin):  # type: ignore[misc]
    """A row: first Authlib's authorization code, later its token. '' stands for a missing attribute."""

    session_id: str
    client_id: str
    redirect_uri: str
    scope: str
    state: str
    code_challenge: str
    code_verifier: str = ""
    status: str = "pending"
    handle_hash: str = ""

    code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def check_client(self, client: ClientMixin) -> bool:
        return bool(self.client_id == client.get_client_id())

    def holds(self, handle: str, status: str) -> bool:
        """Return whether this is the session's current code (``issued``) or refresh token (``active``)."""
        return self.status == status and hmac.compare_digest(self.handle_hash, hash_of(handle))


def new_handle(session_id: str) -> str:
    """Make a code or a refresh token: the key of its row, and a secret. The row holds a hash of the secret."""
    return f"{session_id}.{secrets.token_urlsafe(32)}"


def hash_of(handle: str) -> str:
    """Return the stored hash of a code or a refresh token."""
    return sha256(handle.encode()).hexdigest()


class Sessions:
    """The table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def create(self, session: Session) -> None:
        """Save a new sign-in."""
        item = {name: {"S": value} for name, value in asdict(session).items() if value}
        item["expires_at"] = {"N": str(int(time.time()) + _SIGN_IN_SECONDS)}
        self._client.put_item(TableName=self._table, Item=item)

    def find(self, handle: str) -> Session | None:
        """Return the row of a code or a refresh token."""
        key = {"session_id": {"S": handle.partition(".")[0] or "-"}}
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        row = answer.get("Item")
        # DynamoDB deletes expired rows late.
        return _session(row) if row and int(row["expires_at"]["N"]) > time.time() else None

    def claim(self, session_id: str) -> Session:
        """Claim the sign-in for this callback alone. Raises Conflict."""
        return self._move(session_id, "pending", "claimed", "REMOVE code_verifier", returned="ALL_OLD")

    def issue(self, session_id: str, code: str) -> None:
        """Record the code for the app."""
        values = {":handle": {"S": hash_of(code)}, ":expiry": {"N": str(int(time.time()) + _CODE_SECONDS)}}
        self._move(session_id, "claimed", "issued", ", handle_hash = :handle, expires_at = :expiry", values)

    def redeem(self, session: Session, refresh_token: str) -> None:
        """Begin the session. Raises Conflict if another request has redeemed the code."""
        self._exchange_handle(session, "issued", refresh_token)

    def rotate(self, session: Session, refresh_token: str) -> None:
        """Replace the refresh token. Raises Conflict if another request has replaced it."""
        self._exchange_handle(session, "active", refresh_token)

    def delete(self, session_id: str) -> None:
        """Forget the session."""
        self._client.delete_item(TableName=self._table, Key={"session_id": {"S": session_id}})

    def _exchange_handle(self, session: Session, status: str, refresh_token: str) -> None:
        values = {
            ":before": {"S": session.handle_hash},
            ":handle": {"S": hash_of(refresh_token)},
            ":expiry": {"N": str(int(time.time()) + _SESSION_SECONDS)},
        }
        change = ", handle_hash = :handle, expires_at = :expiry"
        self._move(session.session_id, status, "active", change, values, " AND handle_hash = :before")

    def _move(
        self,
        session_id: str,
        before: str,
        after: str,
        change: str,
        values: dict[str, Any] | None = None,
        condition: str = "",
        returned: str = "NONE",
    ) -> Session:
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={"session_id": {"S": session_id}},
                UpdateExpression=f"SET #status = :after {change}",
                ConditionExpression=f"#status = :status AND expires_at > :now{condition}",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":status": {"S": before},
                    ":after": {"S": after},
                    ":now": {"N": str(int(time.time()))},
                    **(values or {}),
                },
                ReturnValues=returned,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise Conflict from error
            raise
        return _session(answer.get("Attributes") or {})


def _session(row: dict[str, Any]) -> Session:
    names = Session.__dataclass_fields__
    return Session(**{name: row.get(name, {}).get("S", "") for name in names})
