"""An attacker has stolen one thing, and tries it in every possible place of every endpoint."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import urlencode

from oauth_broker.secret import session_reference
from tests.support.deployment import APP_URI, CLIENT_ID, OTHER_CLIENT_ID
from tests.support.leaks import WATCH
from tests.support.people import END_PATH, LIST_PATH
from tests.support.world import Answer, Phone, World

_ARIES_PATH = "/v1/oauth2/token"
_COOKIE_NAME_LENGTH = 16
_A_MAC = re.compile(r"[A-Za-z0-9_-]{43}")
GUESS = "A" * 43
# An attacker with fewer values than this tries them as each app, and against each known session.
_FEW = 5
# A token, and the answers about sessions: the list and the number of ended ones say whether they are complete.
_GIVEN = ("_token", '"complete"')
# The rest of a row or a line is known to everybody: names, URLs, scopes, words.
_MAY_BE_A_SECRET = re.compile(r"[A-Za-z0-9._~=-]{16,}|__Host-.*")


@dataclass
class Attacker:
    """Has stolen ``values``, and ``session_ids`` of sign-ins. Knows the protocol, the apps and the redirect URIs.

    IAM lets the attacker ask by the path of every app with a backend.
    """

    world: World
    values: list[str]
    session_ids: tuple[str, ...] = ()
    client_id: str = CLIENT_ID
    redirect_uri: str = APP_URI

    @classmethod
    def with_all_in(cls, world: World, content: Any, **app: str) -> Attacker:
        """Return an attacker with every value in a table, a file or an answer."""
        texts = sorted(set(_texts(content)))
        values = [text for text in texts if _MAY_BE_A_SECRET.fullmatch(text)] or texts
        ids = {text.partition(".")[0] for text in values}
        return cls(world, values, tuple(sorted(text for text in ids if _A_MAC.fullmatch(text))), **app)

    def loot(self) -> list[str]:
        """Try everything; return every answer with a token, a code or sessions, or of an end of sessions."""
        with WATCH.guessing():
            return [
                f"{answer.status} {answer.headers.get('location', '')} {answer.body}"
                for answer in self._answers()
                if _gives(answer)
            ]

    def _answers(self) -> Iterator[Answer]:
        yield from self._codes()
        yield from self._backends()
        yield from self._sessions()
        yield from self._tokens()
        yield from self._callbacks()

    def _spliced(self, middle: str) -> set[str]:
        """Return the stolen values, alone and in the place of the authenticator of every known sign-in."""
        made = {f"{one}.{middle}{two}" for one in self.session_ids for two in self.values if _A_MAC.fullmatch(two)}
        return {*self.values, *made, *(f"{one}.{middle}{GUESS}" for one in self.session_ids)}

    def _made_tokens(self) -> Iterator[tuple[str, str]]:
        """Yield every token worth a try, with the app that presents it."""
        client_ids = (self.client_id, OTHER_CLIENT_ID) if len(self.values) < _FEW else (self.client_id,)
        yield from product(self._spliced("1.") | self._spliced("2."), client_ids)

    def _codes(self) -> Iterator[Answer]:
        verifiers = [value for value in self.values if len(value) >= len(GUESS)] + [GUESS]
        codes = [code for code in self._spliced("") if "." in code] or [GUESS]
        for code, verifier in product(codes, verifiers):
            fields = {
                "client_id": self.client_id,
                "redirect_uri": self.redirect_uri,
                "code": code,
                "code_verifier": verifier,
            }
            yield self._form("token", fields | {"grant_type": "authorization_code"})
            yield self._json("token", _ARIES_PATH, fields | {"grant_type": "code"})

    def _tokens(self) -> Iterator[Answer]:
        for token, client_id in self._made_tokens():
            fields = {"client_id": client_id, "refresh_token": token}
            yield self._form("token", fields | {"grant_type": "refresh_token"})
            yield self._json("token", _ARIES_PATH, fields | {"grant_type": "refresh_token"})
            yield self._form("refresh", fields)
            yield self._json("refresh", "/oauth2/refresh", fields)
            yield self._form("revoke", {"client_id": client_id, "token": token})

    def _callbacks(self) -> Iterator[Answer]:
        for state, cookie in product(self.values, [*self.values, GUESS]):
            names = {f"__Host-signin-{session_id[:_COOKIE_NAME_LENGTH]}" for session_id in self._ids_of(state)}
            cookies = [f"{name}={cookie}" for name in names] + ([cookie] if "=" in cookie else [])
            query = urlencode({"state": state, "code": self.values[0]})
            yield self.world.call("callback", "GET", "/oauth2/callback", query=query, cookies=cookies)

    def _sessions(self) -> Iterator[Answer]:
        """Ask for a person's sessions, end all others, and end one: a known one if the loot is little, or the own."""
        known = {session_reference(session_id) for session_id in self.session_ids} if len(self.values) < _FEW else set()
        for token, client_id in self._made_tokens():
            fields = {"client_id": client_id, "token": token}
            yield self._about_sessions(LIST_PATH, fields)
            yield self._about_sessions(END_PATH, fields | {"others": "true"})
            for reference in {*known, session_reference(token.partition(".")[0])}:
                yield self._about_sessions(END_PATH, fields | {"session": reference})

    def _backends(self) -> Iterator[Answer]:
        """Ask as the backend of every app that has one: by a handle, and by the id of a person."""
        for client_id, app in self.world.apps().items():
            path = f"/backend/{client_id}/token"
            for handle in self._spliced("") if app.get("backend") else ():
                yield self.world.backend({"backend_handle": handle}, path=path)
            for user in self.values if app.get("backend") == "by_user" else ():
                yield self.world.backend({"user": user}, path=path)

    def _about_sessions(self, path: str, fields: dict[str, str]) -> Answer:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self.world.call("sessions", "POST", path, headers=headers, body=urlencode(fields))

    def _ids_of(self, state: str) -> set[str]:
        phone = Phone(self.world, aries_state=state)
        return {phone.session_id, *self.session_ids}

    def _form(self, function: str, fields: dict[str, str]) -> Answer:
        return self.world.form(function, fields)

    def _json(self, function: str, path: str, fields: dict[str, str]) -> Answer:
        headers = {"content-type": "application/json"}
        return self.world.call(function, "POST", path, headers=headers, body=json.dumps(fields))


def _gives(answer: Answer) -> bool:
    given = (answer.body, answer.headers.get("location", ""))
    return any(word in answer.body for word in _GIVEN) or any(re.search(r"[?&]code=", text) for text in given)


def _texts(content: Any) -> Iterable[str]:
    match content:
        case str():
            # The key of a person's item begins with a word.
            return [content.removeprefix("person#")] if content else []
        case bytes():
            return [urlsafe_b64encode(content).decode()]
        case dict():
            return [text for value in content.values() for text in _texts(value)]
        case list() | tuple():
            return [text for value in content for text in _texts(value)]
        case _:
            return []
