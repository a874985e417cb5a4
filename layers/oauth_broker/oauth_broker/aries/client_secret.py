"""The Aries client secret, read from Secrets Manager and cached for five minutes."""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.aws import SecretsManagerClient, translated
from oauth_broker.secret import Secret
from oauth_broker.strict_json import parse_object

_SECRET_CACHE_SECONDS = 300


class ClientSecret:
    """Reads the secret with the given ARN: the plain text, or a JSON object with the member ``client_secret``."""

    def __init__(self, client: SecretsManagerClient, arn: str, clock: Clock) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._cached: Secret | None = None
        self._read_at = 0.0

    def current(self) -> Secret:
        """Return the client secret. Raises ServiceUnavailable if it cannot be read and none is cached."""
        if self._cached is not None and self._clock.now() - self._read_at < _SECRET_CACHE_SECONDS:
            return self._cached
        try:
            return self.reread()
        except ServiceUnavailable:
            # Aries itself says whether the cached one still holds.
            if self._cached is None:
                raise
            return self._cached

    def reread(self) -> Secret:
        """Read the client secret now. Raises ServiceUnavailable if it cannot be read."""
        with translated("client_secret"):
            text: str = self._client.get_secret_value(SecretId=self._arn).get("SecretString", "")
        self._cached = Secret(_from_stored(text))
        self._read_at = self._clock.now()
        return self._cached


def _from_stored(text: str) -> str:
    value: object = text.strip()
    if text.strip().startswith("{"):
        try:
            value = parse_object(text)["client_secret"]
        except (ValueError, KeyError) as error:
            raise ServiceUnavailable("client_secret:malformed") from error
    if not isinstance(value, str) or not value:
        raise ServiceUnavailable("client_secret:malformed")
    return value
