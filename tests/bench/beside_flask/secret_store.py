"""Secrets Manager: a secret for each session with its Aries tokens, and the client secret for Aries."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from tests.bench.beside_flask.aries import AriesTokens

_CLIENT_SECRET_SECONDS = 300


class SecretStore:
    """The Aries tokens by session."""

    def __init__(self, client: Any, config: dict[str, str]) -> None:
        self._client = client
        self._prefix = config["SECRET_PREFIX"]
        self._key_id = config["KEY_ID"]
        self._client_secret_arn = config["ARIES_CLIENT_SECRET_ARN"]
        self._client_secret = ""
        self._client_secret_until = 0.0

    def client_secret(self) -> str:
        """Return the client secret for Aries. It is read again after five minutes."""
        if time.monotonic() >= self._client_secret_until:
            answer = self._client.get_secret_value(SecretId=self._client_secret_arn)
            self._client_secret = answer["SecretString"]
            self._client_secret_until = time.monotonic() + _CLIENT_SECRET_SECONDS
        return self._client_secret

    def create(self, session_id: str, tokens: AriesTokens) -> None:
        """Keep the first tokens of a session."""
        self._client.create_secret(Name=self._name(session_id), KmsKeyId=self._key_id, SecretString=_to_json(tokens))

    def read(self, session_id: str) -> AriesTokens:
        """Return the current tokens."""
        answer = self._client.get_secret_value(SecretId=self._name(session_id))
        return AriesTokens(**json.loads(answer["SecretString"]))

    def replace(self, session_id: str, tokens: AriesTokens) -> None:
        """Keep these tokens instead of the ones before."""
        self._client.put_secret_value(SecretId=self._name(session_id), SecretString=_to_json(tokens))

    def delete(self, session_id: str) -> None:
        """Forget the tokens at once."""
        self._client.delete_secret(SecretId=self._name(session_id), ForceDeleteWithoutRecovery=True)

    def _name(self, session_id: str) -> str:
        # The name holds a hash of the id, because the app knows the id.
        return self._prefix + sha256(session_id.encode()).hexdigest()


def _to_json(tokens: AriesTokens) -> str:
    return json.dumps(asdict(tokens))
