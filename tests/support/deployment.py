"""The deployment of the tests: its apps, its names, and the environment of its functions."""

from __future__ import annotations

import json
from typing import Any

ISSUER = "https://broker.example.com"
CALLBACK_URI = f"{ISSUER}/oauth2/callback"
APP_URI = "https://app.example.com/callback"
CLIENT_ID = "trader-ios"
OTHER_CLIENT_ID = "trader-web"
# An app with a backend.
BACKEND_CLIENT_ID = "trader-alerts"
BACKEND_APP_URI = "com.example.alerts:/cb"
SCOPES = ["account:information", "market:information", "order:execution", "user:information"]
SCOPE = "account:information order:execution"
ARIES_CLIENT_ID = "aries-client"
ARIES_CLIENT_SECRET = "aries-client-secret-canary"
CLIENT_SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries/client-secret-AbCdEf"
ORIGIN = "https://web.example.com"
GRACE = 60
KEY_ID = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
SUBJECT_KEY_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker/subject-key-AbCdEf"
SUBJECT_KEY = "subject-key-canary-" + 45 * "k"
TABLE = "sign-ins"
PREFIX = "broker/session/"
APPS: dict[str, dict[str, Any]] = {
    CLIENT_ID: {
        "redirect_uris": [
            APP_URI,
            "com.example.trader:/callback",
            "http://127.0.0.1/callback",
            f"{ISSUER}/ios/return",
            "https://app.example.com/callback?brand=a",
        ],
        "scopes": SCOPES,
        "apple_app_ids": ["ABCDE12345.com.example.trader"],
        "android_packages": {"com.example.trader": [":".join(["AB"] * 32)]},
    },
    OTHER_CLIENT_ID: {
        "redirect_uris": ["https://web.example.com/callback"],
        "scopes": ["account:information"],
        "origins": [ORIGIN],
    },
    # The parameter Apps must hold them all.
    BACKEND_CLIENT_ID: {"redirect_uris": [BACKEND_APP_URI], "scopes": SCOPE.split(), "backend": True},
}
# ``Settings`` reads these variables.
_SETTINGS = {
    "ISSUER": ISSUER,
    "DOMAIN_NAME": "",
    "ARIES_CLIENT_ID": ARIES_CLIENT_ID,
    "ARIES_CLIENT_SECRET_ARN": CLIENT_SECRET_ARN,
    "ARIES_AUTHORIZE_URL": "https://app.aries.example/oauth2/authorize",
    "ARIES_TOKEN_URL": "https://api.aries.example/v1/oauth2/token",
    "ARIES_ISSUER": "",
    "PROVIDER_DIALECT": "aries",
    "PASS_ON": "",
    "APPS": json.dumps(APPS),
    "SESSION_DAYS": "30",
    "REFRESH_GRACE_SECONDS": str(GRACE),
    "LATE_RETRY": "allow",
    "SOURCE_LIMIT": "300",
    "SIGN_IN_LIMIT": "600",
    "SESSION_LIMIT": "20",
    "TOKEN_STORE": "secrets",
    "TABLE_NAME": TABLE,
    "SECRET_PREFIX": PREFIX,
    "KEY_ID": KEY_ID,
    "ARIES_USER_URL": "https://api.aries.example/v1/users/me",
    "ARIES_USER_ID_MEMBER": "id",
    "SUBJECT_KEY_ARN": SUBJECT_KEY_ARN,
    "EVENT_BUS": "",
}
# Powertools reads these.
_TELEMETRY = {
    "POWERTOOLS_SERVICE_NAME": "aries-token-broker",
    "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
    "LOG_LEVEL": "INFO",
}


def settings_environment(**changes: str) -> dict[str, str]:
    """Return the variables of ``Settings``, with these changes."""
    return _SETTINGS | changes


def deployed_environment(**changes: str) -> dict[str, str]:
    """Return all variables of a function of the deployment, with these changes."""
    return _SETTINGS | _TELEMETRY | changes
