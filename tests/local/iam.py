"""IAM on this machine, as far as the route of backends asks it: signatures of version 4, and a policy for each app.

botocore's own signer makes the signature that a request must have. A policy allows one path of the API, byte for byte
as it is sent. It is not known whether API Gateway compares a percent-encoded path so, or decodes it first.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.local.aws import REGION

_SERVICE = "execute-api"
_ALGORITHM = "AWS4-HMAC-SHA256"
# API Gateway refuses an older or newer signature.
_MOST_APART = timedelta(minutes=5)
_MUST_BE_SIGNED = {"host", "x-amz-date"}
_ACCOUNT = "123456789012"


@dataclass(frozen=True)
class SignedRequest:
    """A request as it is sent. ``target`` is its path, still percent-encoded, and its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Backend:
    """The role of the backend of one app: its key, its ARN, and the only path that its policy allows."""

    credentials: Credentials
    arn: str
    path: str

    def identity(self) -> dict[str, Any]:
        """Return the identity as a function gets it in ``requestContext.authorizer.iam``."""
        return {
            "accessKey": self.credentials.access_key,
            "accountId": _ACCOUNT,
            "callerId": self.credentials.access_key,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": self.arn,
            "userId": self.credentials.access_key,
        }


class LocalIam:
    """Has a role for the backend of each app that is registered with one."""

    def __init__(self, apps: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the roles of ``apps``, a value of the parameter Apps."""
        self._backends = {
            client_id: Backend(
                Credentials(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)),
                f"arn:aws:iam::{_ACCOUNT}:user/backend-of-{client_id}",
                f"/backend/{client_id}/token",
            )
            for client_id, app in apps.items()
            if app.get("backend")
        }

    def credentials_of(self, client_id: str) -> Credentials:
        """Return the credentials of an app's backend."""
        return self._backends[client_id].credentials

    def identity(self, request: SignedRequest) -> dict[str, Any] | None:
        """Return the identity of the sender, or None if the signature or the policy refuses the request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        algorithm, _, rest = headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        access_key, _, scope = parts.get("Credential", "").partition("/")
        backend = next((it for it in self._backends.values() if it.credentials.access_key == access_key), None)
        signed = parts.get("SignedHeaders", "").split(";")
        if algorithm != _ALGORITHM or backend is None or not _MUST_BE_SIGNED <= set(signed) <= headers.keys():
            return None
        date = headers["x-amz-date"]
        if not _is_near(date) or scope != f"{date[:8]}/{REGION}/{_SERVICE}/aws4_request":
            return None
        said = headers.get("x-amz-content-sha256", sha256(request.body).hexdigest())
        if said != sha256(request.body).hexdigest():
            return None
        expected = _signature(backend.credentials, request, {name: headers[name] for name in signed}, date)
        if not hmac.compare_digest(parts.get("Signature", "").encode(), expected.encode()):
            return None
        is_allowed = (request.method, request.target.partition("?")[0]) == ("POST", backend.path)
        return backend.identity() if is_allowed else None


def _is_near(date: str) -> bool:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(datetime.now(UTC) - signed_at) <= _MOST_APART


def _signature(credentials: Credentials, request: SignedRequest, headers: Mapping[str, str], date: str) -> str:
    """Return the signature that botocore gives the request at that date."""
    again = AWSRequest(request.method, f"http://{headers['host']}{request.target}", headers=headers, data=request.body)
    again.context["timestamp"] = date
    signer = SigV4Auth(credentials, _SERVICE, REGION)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    signature: str = signer.signature(text, again)
    return signature
