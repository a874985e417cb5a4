"""The seeds of each target: a parser accepts these inputs, so the fuzzer gets past its first check."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.support.pkce import CHALLENGE

_AUTHORIZE = (
    "response_type=code&client_id=app&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback&scope=read&state=a%2Bb"
    f"&code_challenge={CHALLENGE}&code_challenge_method=S256"
)
_LOOPBACK = _AUTHORIZE.replace("https%3A%2F%2Fapp.example.com%2Fcallback", "http://127.0.0.1:5000/cb")
_TOKEN = f"{'S' * 43}.12.{'m' * 43}"
_CODE = f"{'S' * 43}.{'m' * 43}"
_REDEEM = (
    f"grant_type=authorization_code&client_id=app&code={_CODE}&redirect_uri=https://app.example.com/callback"
    f"&code_verifier={'v' * 43}"
)
_REFRESH = f"grant_type=refresh_token&client_id=app&refresh_token={_TOKEN}&scope=read"
_CALLBACK = f"code=abc&state={'s' * 43}&iss=https://app.aries.example"
_FORM = "content-type: application/x-www-form-urlencoded"
_GRANTED = {"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r", "scope": "read"}
_STORED = {
    "session_key": "k",
    "holder": "h",
    "access_token": "a",
    "refresh_token": None,
    "access_expires_at": 1,
    "scope": "read",
}
_APP = {
    "redirect_uris": ["https://app.example.com/callback", "com.example.app:/cb", "http://[::1]:1/cb"],
    "scopes": ["read"],
    "origins": ["https://app.example.com"],
    "apple_app_ids": ["ABCDE12345.com.example"],
    "android_packages": {"com.example": [":".join(["AB"] * 32)]},
    "session_days": 7,
    "idle_days": 2,
    "refresh": True,
    "sessions": "person",
}

SEEDS: Mapping[str, tuple[str, ...]] = {
    "query": (_AUTHORIZE, "state=%7E+x&state&=&%73tate=1"),
    "authorization_request": (_AUTHORIZE, _LOOPBACK, _AUTHORIZE + "&request=x", _AUTHORIZE + "&response_mode=query"),
    "provider_callback": (_CALLBACK, f"error=access_denied&state={'s' * 43}"),
    "body": (f"f{_REDEEM}", 'j{"grant_type":"code","code":"\\u0061"}', "JeyJhIjoiYiJ9", "KeyJhIjoiYiJ9"),
    "token_request": (
        f"\n{_REDEEM}",
        f"Basic YXBwOg==\n{_REFRESH}",
        f"\nclient_id=app&token={_TOKEN}",
        "\n" + json.dumps({"grant_type": "refresh_token", "client_id": "app", "refresh_token": _TOKEN}),
        "\n" + json.dumps({"grant_type": "code", "client_id": "app", "code": _CODE, "redirect_uri": "x:/"}),
    ),
    "token": (_TOKEN, _CODE),
    # These are more than the broker keeps, so it removes the oldest ones by name.
    "cookies": (
        "\n".join(f"__Host-signin-{letter * 16}=x" for letter in "STUVWX"),
        "\n".join(f"signin-{letter * 16}=x" for letter in "STUVWX"),
    ),
    "aries_answer": (f"200\n{json.dumps(_GRANTED)}", '400\n{"error":"invalid_grant"}', "503\n<html>"),
    "settings": (
        "ISSUER=http://127.0.0.1:80\nSESSION_DAYS=7",
        "PROVIDER_DIALECT=standard-basic\nLATE_RETRY=revoke\nPASS_ON=prompt",
    ),
    "apps": (json.dumps({"app": _APP}),),
    "stored_secret": (json.dumps(_STORED), '{"client_secret":"x"}', "plain"),
    "sealed_secret": (json.dumps(_STORED), "x"),
    "operator_command": (
        '{"action":"session","operator":"me","session":"0123456789abcdef"}',
        '{"action":"revoke_all","operator":"me","client_id":"app","continue":true,"seconds":900}',
        '{"action":"redrive","operator":"me","limit":5,"drop_lost":true}',
        '{"action":"sessions","operator":"me","user":"usr_1001"}',
        '{"action":"forget","operator":"me","user":1001}',
        '{"action":"count","operator":"me","continue":true,"seconds":900}',
        '{"action":"check","operator":"me"}',
        '{"action":["check"],"operator":{"a":null},"seconds":1e9}',
    ),
    "any_request": (
        f"GET /oauth2/authorize?{_AUTHORIZE}\ncookie: __Host-signin-{'S' * 16}=abc\nsec-fetch-mode: navigate",
        f"GET /oauth2/callback?{_CALLBACK}\ncookie: __Host-signin-{'S' * 16}=abc",
        f"POST /oauth2/token\n{_FORM}\n\n{_REDEEM}",
        f"POST /oauth2/token\n{_FORM}\nauthorization: Basic YXBwOg==\n\n{_REFRESH}",
        'POST /v1/oauth2/token\ncontent-type: application/json\n\n{"grant_type":"code","client_id":"app","code":"c"}',
        f"POST /oauth2/refresh\n{_FORM}\n\n{_REFRESH}",
        f"POST! /oauth2/revoke\n{_FORM}\n\nY2xpZW50X2lkPWFwcA==",
        f"POST /oauth2/revoke\n{_FORM}\n\nclient_id=app&token={_TOKEN}",
        f"POST /oauth2/sessions\n{_FORM}\n\nclient_id=app&token={_TOKEN}",
        f"POST /oauth2/sessions/revoke\n{_FORM}\n\nclient_id=app&token={_TOKEN}&others=true",
        "POST /backend/server/token\ncontent-type: application/json\n\n"
        + json.dumps({"backend_handle": _CODE, "min_seconds": 60, "scope": "read"}),
        'POST /backend/%61pp/token\nunsigned:\n\n{"backend_handle": null}',
        "OPTIONS /oauth2/token\norigin: https://app.example.com",
        "GET /.well-known/openid-configuration",
    ),
    # The seed has no byte of the planted defect.
    "planted": ("z",),
}
