"""The apps that the local stack registers."""

from __future__ import annotations

from typing import Any

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
