"""The stored form of a session's secrets."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.secret import Secret
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.drawn import secret_texts
from tests.unit.session_secrets import SECRET

secrets = secret_texts(max_size=60).map(Secret)
session_secrets = st.builds(
    SessionSecret,
    session_key=secrets,
    holder=secret_texts(max_size=43),
    access_token=secrets,
    refresh_token=st.none() | secrets,
    access_expires_at=st.integers(0, 10**11),
    scope=secret_texts(max_size=30),
    access_seconds=st.integers(0, 10**9),
)


@given(session_secrets)
def test_a_session_secret_comes_back_from_its_stored_form(secret: SessionSecret) -> None:
    assert SessionSecret.from_json(secret.to_json()) == secret
    assert SessionSecret.from_json(secret.to_json().encode()) == secret
    assert secret.to_json() == replace(secret).to_json()


def test_secrets_that_were_stored_once_can_still_be_read() -> None:
    stored = (
        '{"session_key":"canary-key","holder":"holder","access_token":"canary-access",'
        '"refresh_token":"canary-refresh","access_expires_at":1800000000,"scope":"a b"}'
    )
    assert SessionSecret.from_json(stored) == SECRET
    assert SECRET.to_json() == stored.replace("}", ',"access_seconds":0}')
    # A later version may have added a member.
    assert SessionSecret.from_json(stored.replace("}", ',"added":1}')) == SECRET


def test_a_session_secret_is_masked() -> None:
    assert "canary" not in repr(SECRET)


def test_a_stored_form_that_lacks_a_member_is_busy() -> None:
    members = json.loads(SECRET.to_json())
    assert members.keys() == {field.name for field in fields(SessionSecret)}
    for name in members.keys() - {"access_seconds"}:
        with pytest.raises(ServiceUnavailable) as raised:
            SessionSecret.from_json(json.dumps({key: value for key, value in members.items() if key != name}))
        assert raised.value.reason == "vault:malformed_secret"


@pytest.mark.parametrize(
    ("name", "raws"),
    [
        ("session_key", ["null", "5", "true", "[]", "{}"]),
        ("holder", ["null", "5", "true", "[]", "{}"]),
        ("access_token", ["null", "5", "true", "[]", "{}"]),
        ("refresh_token", ["5", "true", "[]", "{}"]),
        ("access_expires_at", ["null", "true", "[]", "{}", '"x"', "1e400"]),
        ("scope", ["null", "5", "true", "[]", "{}"]),
        ("access_seconds", ["null", "true", "[]", "{}", '"x"', "1e400"]),
    ],
)
def test_a_stored_form_with_a_member_of_another_type_is_busy_and_no_crash_later(name: str, raws: list[str]) -> None:
    members = {key: json.dumps(value) for key, value in json.loads(SECRET.to_json()).items()}
    for raw in raws:
        text = ",".join(f'"{key}":{value}' for key, value in {**members, name: raw}.items())
        with pytest.raises(ServiceUnavailable):
            SessionSecret.from_json("{" + text + "}")


@given(secret_texts(max_size=60) | st.binary(max_size=60))
def test_any_other_text_is_busy_and_is_not_quoted(text: str | bytes) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        SessionSecret.from_json(text)
    assert raised.value.reason == "vault:malformed_secret"
