"""Codes, tokens, names and hashes that follow from a session id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.oauth.tokens import (
    BackendHandle,
    RefreshToken,
    authorization_code,
    secret_name,
    secret_version,
    session_id_of,
    session_id_of_code,
)
from oauth_broker.secret import Secret, digest, session_reference
from tests.support.drawn import secret_texts

BASE64URL = string.ascii_letters + string.digits + "-_"
SESSION = "A" * 42 + "_"
OTHER_SESSION = "A" * 42 + "-"
MAC = "b" * 43
KEY = Secret("the session key")

session_ids = secret_texts(BASE64URL, min_size=43, max_size=43)
generations = st.integers(1, 999_999_999)
keys = secret_texts(min_size=1, max_size=64).map(Secret)


def expected_mac(key: str, text: str) -> str:
    mac = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_a_digest_is_the_unpadded_base64url_of_sha_256() -> None:
    # FIPS 180-4's well-known hash of the empty message, e3b0c442...
    assert digest("") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


@given(secret_texts())
def test_a_digest_always_has_43_characters_that_may_stand_anywhere(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", digest(text))
    assert session_id_of(text) == digest(text)


@given(session_ids, keys)
def test_a_code_is_the_session_id_and_its_mac_under_the_browsers_secret(session_id: str, secret: Secret) -> None:
    code = authorization_code(session_id, secret)
    assert code.reveal() == f"{session_id}.{expected_mac(secret.reveal(), session_id)}"
    assert session_id_of_code(code) == session_id


def test_the_same_browser_gets_the_same_code_and_another_one_another() -> None:
    code = authorization_code(SESSION, Secret("cookie"))
    assert code == authorization_code(SESSION, Secret("cookie"))
    assert code != authorization_code(SESSION, Secret("cookif"))
    assert code != authorization_code(OTHER_SESSION, Secret("cookie"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        SESSION,
        f"{SESSION}.",
        f".{MAC}",
        f"{SESSION}.{MAC}.",
        f"{SESSION}.{MAC}\n",
        f"\n{SESSION}.{MAC}",
        f" {SESSION}.{MAC}",
        f"{SESSION}.{MAC[:-1]}",
        f"{SESSION}.{MAC}b",
        f"{SESSION[:-1]}.{MAC}",
        f"{SESSION}{MAC}",
        f"{SESSION}..{MAC}",
        f"{SESSION}.1.{MAC}",
        f"{SESSION[:-1]}=.{MAC}",
        f"{SESSION[:-1]}\uff11.{MAC}",
        f"{SESSION}\uff0e{MAC}",
        f"{SESSION}.{MAC[:-1]}\u00e9",
    ],
)
def test_a_malformed_code_names_no_session(text: str) -> None:
    assert session_id_of_code(Secret(text)) is None


@given(session_ids, generations, keys)
def test_a_refresh_token_is_session_generation_and_their_mac(session_id: str, generation: int, key: Secret) -> None:
    stem = f"{session_id}.{generation}"
    token = RefreshToken.mint(session_id, generation, key)
    assert token.text.reveal() == f"{stem}.{expected_mac(key.reveal(), stem)}"
    assert token.hash == digest(token.text.reveal())


@given(session_ids, generations, keys)
def test_a_minted_token_comes_back_from_its_text_and_is_authentic(
    session_id: str, generation: int, key: Secret
) -> None:
    minted = RefreshToken.mint(session_id, generation, key)
    parsed = RefreshToken.parse(Secret(minted.text.reveal()))
    assert parsed == minted
    assert parsed is not None
    assert parsed.is_authentic(key)


@given(secret_texts(BASE64URL + ".0\n\uff11", max_size=100))
def test_parsing_any_text_gives_back_that_text_or_none(text: str) -> None:
    token = RefreshToken.parse(Secret(text))
    assert token is None or f"{token.session_id}.{token.generation}.{text[-43:]}" == text


@given(session_ids, generations, keys, st.integers(0, 200), st.sampled_from(BASE64URL))
def test_a_token_with_any_other_character_is_not_authentic(
    session_id: str, generation: int, key: Secret, position: int, character: str
) -> None:
    text = RefreshToken.mint(session_id, generation, key).text.reveal()
    position %= len(text)
    changed = text[:position] + character + text[position + 1 :]
    token = RefreshToken.parse(Secret(changed))
    assert (token is not None and token.is_authentic(key)) is (changed == text)


def test_a_token_is_authentic_under_its_own_key_session_and_generation_only() -> None:
    mac = RefreshToken.mint(SESSION, 7, KEY).text.reveal().rpartition(".")[2]
    for session_id, generation, key, authentic in (
        (SESSION, 7, KEY, True),
        (SESSION, 8, KEY, False),
        (SESSION, 6, KEY, False),
        (SESSION, 77, KEY, False),
        (OTHER_SESSION, 7, KEY, False),
        (SESSION, 7, Secret("another key"), False),
        (SESSION, 7, Secret(""), False),
    ):
        token = RefreshToken.parse(Secret(f"{session_id}.{generation}.{mac}"))
        assert token is not None
        assert token.is_authentic(key) is authentic


def test_a_code_is_never_taken_for_a_refresh_token_nor_the_other_way_round() -> None:
    assert RefreshToken.parse(authorization_code(SESSION, KEY)) is None
    assert session_id_of_code(RefreshToken.mint(SESSION, 1, KEY).text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        f"{SESSION}.{MAC}",
        f"{SESSION}..{MAC}",
        f"{SESSION}.0.{MAC}",
        f"{SESSION}.00.{MAC}",
        f"{SESSION}.01.{MAC}",
        f"{SESSION}.-1.{MAC}",
        f"{SESSION}.+1.{MAC}",
        f"{SESSION}. 1.{MAC}",
        f"{SESSION}.1 .{MAC}",
        f"{SESSION}.1_0.{MAC}",
        f"{SESSION}.1e1.{MAC}",
        f"{SESSION}.0x1.{MAC}",
        f"{SESSION}.1.0.{MAC}",
        f"{SESSION}.\uff11.{MAC}",
        f"{SESSION}.\u0661.{MAC}",
        f"{SESSION}.1000000000.{MAC}",
        f"{SESSION}.{'9' * 5000}.{MAC}",
        f"{SESSION}.1.{MAC}\n",
        f"{SESSION}.1.{MAC} ",
        f" {SESSION}.1.{MAC}",
        f"{SESSION}.1.{MAC}=",
        f"{SESSION}.1.{MAC[:-1]}",
        f"{SESSION}.1.{MAC}b",
        f"{SESSION[:-1]}.1.{MAC}",
        f"{SESSION}A.1.{MAC}",
        f"{SESSION[:-1]}/.1.{MAC}",
        f"{SESSION[:-1]}\u00e9.1.{MAC}",
    ],
)
def test_a_malformed_refresh_token_is_none(text: str) -> None:
    assert RefreshToken.parse(Secret(text)) is None


def test_neither_token_nor_key_shows_in_a_repr() -> None:
    token = RefreshToken.mint(SESSION, 1, KEY)
    assert token.text.reveal() not in repr(token)
    assert token.text.reveal().rpartition(".")[2] not in repr(token)


@given(session_ids)
def test_a_secrets_name_is_the_prefix_and_64_hex_digits(session_id: str) -> None:
    name = secret_name("stack/session/", session_id)
    assert name == "stack/session/" + hashlib.sha256(f"secret{session_id}".encode()).hexdigest()
    # Secrets Manager takes a final hyphen with six characters for its own suffix.
    assert re.search(r"-.{6}$", name) is None


@given(session_ids, st.integers(0, 10**12))
def test_a_version_id_is_a_uuid_of_version_5_as_a_client_request_token_must_be_long(
    session_id: str, fence: int
) -> None:
    version = secret_version(session_id, fence)
    assert uuid.UUID(version).version == 5
    assert 32 <= len(version) <= 64
    assert version == secret_version(session_id, fence)


def test_each_fence_of_each_session_has_a_version_id_of_its_own() -> None:
    versions = {secret_version(session, fence) for session in (SESSION, OTHER_SESSION) for fence in range(500)}
    assert len(versions) == 1000


def test_names_and_version_ids_stay_what_they_were_for_the_secrets_that_exist() -> None:
    # Computed once, apart from this code. A change would lose every stored session.
    assert secret_name("", SESSION) == "a11b0835027e366842fdab45cbd2f840d1df8916fa270c7d239941c1b19a7020"
    assert secret_version(SESSION, 3) == "069b9387-ae40-55a7-b464-f2c7410f1a76"


@given(session_ids)
def test_a_reference_for_the_log_tells_sessions_apart_but_not_what_they_are(session_id: str) -> None:
    reference = session_reference(session_id)
    assert re.fullmatch("[0-9a-f]{16}", reference)
    assert reference == session_reference(session_id)
    # The reference must not help to find the secret, the row or the token.
    assert reference not in secret_name("", session_id)
    assert session_reference(SESSION) != session_reference(OTHER_SESSION)


class TestBackendHandle:
    @given(session_ids, keys)
    def test_it_is_the_session_id_and_a_mac_of_the_session_key(self, session_id: str, key: Secret) -> None:
        handle = BackendHandle.mint(session_id, key)
        assert handle.text.reveal() == f"{session_id}.{expected_mac(key.reveal(), 'backend')}"
        assert BackendHandle.parse(handle.text) == handle
        assert handle.is_authentic(key)

    @given(session_ids, keys, keys)
    def test_another_key_made_another(self, session_id: str, key: Secret, other: Secret) -> None:
        assert BackendHandle.mint(session_id, key).is_authentic(other) == (key == other)

    def test_the_handle_of_one_session_is_not_that_of_another_with_another_key(self) -> None:
        mine = BackendHandle.mint(SESSION, KEY)
        moved = BackendHandle.parse(Secret(mine.text.reveal().replace(SESSION, OTHER_SESSION)))
        assert moved is not None
        assert not moved.is_authentic(Secret("the key of the other session"))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            SESSION,
            f"{SESSION}.",
            f".{MAC}",
            f"{SESSION}.1.{MAC}",
            f"{SESSION}.{MAC}\n",
            f"{SESSION}.{MAC}=",
            f"{SESSION[1:]}.{MAC}",
            f"{SESSION}.{MAC}b",
            f"{SESSION}.{MAC[1:]}\u00e9",
            f"{SESSION} {MAC}",
        ],
    )
    def test_another_text_is_none(self, text: str) -> None:
        assert BackendHandle.parse(Secret(text)) is None
