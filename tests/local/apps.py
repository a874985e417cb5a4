"""The registered apps of the local stack: its own, and those of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oauth_broker.config.clients import Registry, read_text
from oauth_broker.errors import ConfigurationError

PHONE = "phone"
# The app with a backend.
ALERTS = "trader-alerts"
SCOPES = ("user:information", "account:information", "order:execution", "market:information")


def local_apps(phone: str) -> dict[str, dict[str, Any]]:
    """Return the value of the parameter ``Apps``. ``phone`` is the origin of the page for the app."""
    return {
        PHONE: {"redirect_uris": [f"{phone}/"], "scopes": list(SCOPES), "origins": [phone]},
        "trader-ios": {
            "redirect_uris": [
                "https://app.example.com/callback",
                "com.example.trader:/callback",
                "http://127.0.0.1/callback",
            ],
            "scopes": list(SCOPES),
            "apple_app_ids": ["TEAM123456.com.example.trader"],
        },
        "trader-web": {
            "redirect_uris": ["https://web.example.com/callback"],
            "scopes": list(SCOPES),
            "origins": ["https://web.example.com"],
        },
        ALERTS: {
            "redirect_uris": ["com.example.alerts:/callback"],
            "scopes": list(SCOPES),
            "backend": True,
        },
        "trader-android": {
            "redirect_uris": ["https://app.example.com/android", "com.example.trader.android:/callback"],
            "scopes": list(SCOPES),
            "android_packages": {"com.example.trader": [":".join(["5A"] * 32)]},
        },
    }


def read_apps(file: Path, issuer: str) -> dict[str, dict[str, Any]]:
    """Return the apps of a file. It holds a value of the parameter ``Apps``.

    Raises ConfigurationError, naming the file, the app, the member and the rule.
    """
    text = read_text(file)
    registry = Registry.parse(text, str(file))
    registry.refuse_callback_of(issuer, str(file))
    if registry.find(PHONE):
        raise ConfigurationError(f"{file}: app {PHONE!r}: the page that plays an app has this id; choose another id")
    apps: dict[str, dict[str, Any]] = json.loads(text)
    return apps
