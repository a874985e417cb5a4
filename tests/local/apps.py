"""The apps that the local stack registers: its own, and those of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from oauth_broker.errors import ConfigurationError
from oauth_broker.registry import Registry

PHONE = "phone"
SCOPES = ("user:information", "account:information", "order:execution", "market:information")


def local_apps(phone: str) -> dict[str, dict[str, Any]]:
    """Return the ``Apps`` parameter's value; ``phone`` is the origin of the page that plays the app."""
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
        "trader-android": {
            "redirect_uris": ["https://app.example.com/android", "com.example.trader.android:/callback"],
            "scopes": list(SCOPES),
            "android_packages": {"com.example.trader": [":".join(["5A"] * 32)]},
        },
    }


_ORIGIN = re.compile(r"(https://[a-z0-9.-]+|http://(127\.0\.0\.1|\[::1\]|localhost))(:[0-9]{1,5})?")


def is_origin(text: str) -> bool:
    """Tell whether the broker takes ``text`` for an origin: https, or http on loopback."""
    return _ORIGIN.fullmatch(text) is not None


class AppsRefused(Exception):
    """The file of apps cannot be read, or names an app that the broker would not take."""


def read_apps(path: Path) -> dict[str, dict[str, Any]]:
    """Return the apps of a file that holds a value of the ``Apps`` parameter.

    Raises AppsRefused, which names the file, and the app, the member and the rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
        registry = Registry.parse(text, str(path))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AppsRefused(f"{path}: {why}") from error
    except ConfigurationError as error:
        raise AppsRefused(error.reason) from error
    if registry.find(PHONE):
        raise AppsRefused(f"{path}: app {PHONE!r}: this is the page that plays the app; choose another id")
    apps: dict[str, dict[str, Any]] = json.loads(text)
    return apps
