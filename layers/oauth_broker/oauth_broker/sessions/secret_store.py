"""The secrets of sessions. A session has one secret, and each renewal stores one version of it.

All access goes through the ``SecretStore`` protocol.
"""

from __future__ import annotations

from typing import Protocol

from botocore.exceptions import ClientError

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.oauth.tokens import secret_name, secret_version
from oauth_broker.runtime.aws import SecretsManagerClient, error_code, translated
from oauth_broker.sessions.session_secret import SessionSecret

# Secrets Manager's limit for one value.
_MAX_SECRET_BYTES = 64 * 1024


class SecretStore(Protocol):
    """Versioned secrets by session. Every method raises ServiceUnavailable if the store fails, retriable or not."""

    def create(self, session_id: str, secret: SessionSecret) -> str:
        """Store the first version, under fence 0, and return its id. Repeating it is safe."""
        ...

    def read(self, session_id: str, version: str) -> SessionSecret | None:
        """Return the version with this id, or None if there is none."""
        ...

    def store(self, session_id: str, fence: int, secret: SessionSecret) -> str:
        """Store the version of ``fence``, and return its id. Repeating it is safe."""
        ...

    def delete(self, session_id: str) -> None:
        """Delete the session's secret with all its versions, at once. An absent secret counts as success.

        Raises NotAllowed if AWS denies access: see ``session_end.delete_secret``.
        """
        ...


class SecretsManagerStore:
    """The secret store in AWS Secrets Manager. A value has at most 64 KiB."""

    def __init__(self, client: SecretsManagerClient, prefix: str, key_id: str) -> None:
        self._client = client
        self._prefix = prefix
        self._key_id = key_id

    def create(self, session_id: str, secret: SessionSecret) -> str:
        """See SecretStore."""
        version = secret_version(session_id, 0)
        with translated("secretsmanager", _FINAL_CODES):
            self._client.create_secret(
                Name=secret_name(self._prefix, session_id),
                ClientRequestToken=version,
                KmsKeyId=self._key_id,
                SecretString=_bounded(secret),
            )
        return version

    def read(self, session_id: str, version: str) -> SessionSecret | None:
        """See SecretStore. It reads by version id, because ``AWSCURRENT`` may be a version that no row committed."""
        with translated("secretsmanager"):
            try:
                answer = self._client.get_secret_value(
                    SecretId=secret_name(self._prefix, session_id), VersionId=version
                )
            except ClientError as error:
                # Secrets Manager answers with the second code while it deletes the secret.
                if error_code(error) in ("ResourceNotFoundException", "InvalidRequestException"):
                    return None
                raise
        return SessionSecret.from_json(answer["SecretString"])

    def store(self, session_id: str, fence: int, secret: SessionSecret) -> str:
        """See SecretStore. The version id is the client request token, which makes the write idempotent."""
        version = secret_version(session_id, fence)
        with translated("secretsmanager", _FINAL_CODES):
            self._client.put_secret_value(
                SecretId=secret_name(self._prefix, session_id),
                ClientRequestToken=version,
                SecretString=_bounded(secret),
            )
        return version

    def delete(self, session_id: str) -> None:
        """See SecretStore."""
        with translated("secretsmanager", _REFUSED_DELETIONS):
            try:
                self._client.delete_secret(
                    SecretId=secret_name(self._prefix, session_id), ForceDeleteWithoutRecovery=True
                )
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise


# Somebody else changed such a secret (replicated it, say). It stays so until a person acts.
_REFUSED_DELETIONS = frozenset({"InvalidParameterException", "InvalidRequestException", "ValidationException"})
# If Secrets Manager refuses a write with one of these codes, it refuses the repetition too.
_FINAL_CODES = frozenset(
    {
        "AccessDeniedException",
        "DecryptionFailure",
        "EncryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        # A secret has about a hundred versions. An app with a refresh every minute reaches that in two hours.
        "LimitExceededException",
        "ResourceExistsException",
        "ResourceNotFoundException",
        "ValidationException",
    }
)


def _bounded(secret: SessionSecret) -> str:
    text = secret.to_json()
    if len(text.encode()) > _MAX_SECRET_BYTES:
        raise ServiceUnavailable("vault:too_large", retriable=False)
    return text
