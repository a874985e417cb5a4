"""People with several sessions, and their requests about them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from oauth_broker.secret import session_reference
from tests.local.aries.tokens import USERS, User
from tests.support.world import Answer, Phone, World

# With this scope, Aries says who the person is.
PERSON_SCOPE = "account:information user:information"
LIST_PATH = "/oauth2/sessions"
END_PATH = "/oauth2/sessions/revoke"
_FORM = {"content-type": "application/x-www-form-urlencoded"}


def device(world: World, user: User = USERS[0], **options: Any) -> Phone:
    """Return an app just after the sign-in of a person."""
    phone = world.phone(scope=PERSON_SCOPE, **options)
    answer = phone.redeem(code_of(phone, user))
    assert answer.status == 200, answer
    return phone


def code_of(phone: Phone, user: User = USERS[0]) -> str:
    """Go as far as the one-time code of a person's sign-in."""
    authorized = phone.authorize()
    core = phone.world.aries.core
    code = core.approve(core.authorize(urlsplit(authorized.location).query), user)
    answer = phone.callback(urlencode({"code": code, "state": authorized.query["state"]}))
    assert answer.status == 302, answer
    return answer.query["code"]


def listed(phone: Phone, **fields: str) -> Answer:
    """Ask for the person's sessions."""
    return _post(phone, LIST_PATH, fields)


def ended(phone: Phone, **fields: str) -> Answer:
    """End one of the person's sessions, or the others."""
    return _post(phone, END_PATH, fields)


def reference(phone: Phone) -> str:
    """Return the name of the phone's session in the list."""
    return session_reference(phone.session_id)


def references(answer: Answer) -> list[str]:
    """Return the sessions in a list, in its order."""
    assert answer.status == 200, answer
    return [session["session"] for session in answer.json["sessions"]]


def person_item(world: World, phone: Phone) -> dict[str, Any]:
    """Return the item of the phone's person, in plain values."""
    subject = phone.row()["subject"].rpartition(".")[0]
    found = world.row(f"person#{subject}")
    assert found is not None
    return found


def _post(phone: Phone, path: str, fields: dict[str, str]) -> Answer:
    sent = {"client_id": phone.client_id, "token": phone.refresh_token} | fields
    return phone.world.call("sessions", "POST", path, headers=_FORM, body=urlencode(sent), source=phone.source)
