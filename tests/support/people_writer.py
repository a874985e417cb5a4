"""An attacker with the right to write rows and the items of people, who uses the app as an honest person too.

The attacker has a session with each of two apps, and knows every session id, every subject and the protocol. IAM lets
the attacker ask as the backend of both apps, in their own name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import urlencode

from oauth_broker.oauth.tokens import subject_of
from oauth_broker.secret import session_reference
from tests.local.aries.tokens import USERS
from tests.support.attacker import GUESS
from tests.support.deployment import APPS, TABLE
from tests.support.leaks import WATCH
from tests.support.people import LIST_PATH, PERSON_SCOPE, device
from tests.support.row_writer import made_up_handle
from tests.support.world import Answer, Phone, World

Item = dict[str, Any]
ONE, TWO = "trader-one", "trader-two"
URIS = {ONE: "com.example.one:/callback", TWO: "com.example.two:/callback"}
# Both apps show a person the sessions of all apps, and both have a backend that may name a person: the most rights.
REGISTERED = json.dumps(
    APPS
    | {
        client_id: {
            "redirect_uris": [uri],
            "scopes": PERSON_SCOPE.split(),
            "backend": "by_user",
            "sessions": "person",
        }
        for client_id, uri in URIS.items()
    }
)
_OTHER = {ONE: TWO, TWO: ONE}
_FORM = {"content-type": "application/x-www-form-urlencoded"}
THIEF, VICTIM = USERS

# What the row of each of the victim's sessions names as its person.
OF_VICTIM = [
    "as it is",
    "nobody",
    "the thief",
    "the thief, with the victim's proof",
    "the thief, guessed",
    "no subject",
]
# The same of the thief's own rows.
OF_THIEF = ["as it is", "nobody", "the victim", "the victim, with the thief's proof"]
# The apps that all rows name.
OF_APPS = ["as they are", "the other one"]
ITEMS = ["as they are", "the victim's sessions are the thief's too", "the thief's are the victim's too", "all, in both"]


@dataclass(frozen=True)
class Answered:
    """An answer, and the sessions that its sender has a right to: of tokens, or of a list."""

    answer: Answer
    rightful: tuple[Phone, ...]


@dataclass
class Stage:
    """The thief and the victim, each with a session of each app, by app."""

    world: World
    thief: dict[str, Phone]
    victim: dict[str, Phone]
    before: dict[str, Item]

    @classmethod
    def of(cls, world: World) -> Stage:
        """Sign both people in to both apps."""
        thief, victim = (
            {client_id: device(world, user, client_id=client_id, redirect_uri=uri) for client_id, uri in URIS.items()}
            for user in (THIEF, VICTIM)
        )
        return cls(world, thief, victim, {row["session_id"]["S"]: row for row in world.rows()})

    @property
    def phones(self) -> tuple[Phone, ...]:
        """All four."""
        return (*self.thief.values(), *self.victim.values())

    def subject(self, people: dict[str, Phone]) -> str:
        """Return the subject of the thief or the victim."""
        return subject_of(self.before[people[ONE].session_id]["subject"]["S"])

    def write(self, of_victim: str, of_thief: str, of_apps: str, items: str) -> None:
        """Write the rows and items anew, from those of the beginning."""
        named = {client_id: client_id if of_apps == OF_APPS[0] else _OTHER[client_id] for client_id in URIS}
        for people, subjects in ((self.victim, self._victims(of_victim)), (self.thief, self._thiefs(of_thief))):
            for client_id, phone in people.items():
                row = self.before[phone.session_id] | {"client_id": {"S": named[client_id]}}
                row |= {"subject": {"S": subjects[client_id]}}
                if not subjects[client_id]:
                    del row["subject"]
                if people is self.victim:
                    # A backend that names a person gets the session that was used last.
                    row |= {"rotated_at": {"N": str(self.world.clock.now() + 1)}}
                self._put(row)
        for people in (self.thief, self.victim):
            item = self.before[f"person#{self.subject(people)}"]
            if items in (ITEMS[3], ITEMS[1] if people is self.thief else ITEMS[2]):
                # A reader of the item compares the app in the row.
                item = item | {
                    f"sessions {named[client_id]}": {
                        "SS": sorted(one[client_id].session_id for one in (self.thief, self.victim))
                    }
                    for client_id in URIS
                }
            self._put(item)

    def restore(self) -> None:
        """Put everything back as it was at the beginning."""
        for item in self.before.values():
            self._put(item)

    def ask(self, phone: Phone) -> Answer:
        """Ask as the backend of the phone's app, with the phone's handle."""
        return self.world.backend({"backend_handle": phone.backend_handle}, path=f"/backend/{phone.client_id}/token")

    def _victims(self, name: str) -> dict[str, str]:
        own, thief = self._signed(self.victim), self.subject(self.thief)
        return {
            client_id: {
                OF_VICTIM[0]: signed,
                OF_VICTIM[1]: "",
                OF_VICTIM[2]: self._signed(self.thief)[client_id],
                OF_VICTIM[3]: f"{thief}.{signed.rpartition('.')[2]}",
                OF_VICTIM[4]: f"{thief}.{GUESS[:22]}",
                OF_VICTIM[5]: thief,
            }[name]
            for client_id, signed in own.items()
        }

    def _thiefs(self, name: str) -> dict[str, str]:
        victim = self._signed(self.victim)
        return {
            client_id: {
                OF_THIEF[0]: signed,
                OF_THIEF[1]: "",
                OF_THIEF[2]: victim[client_id],
                OF_THIEF[3]: f"{self.subject(self.victim)}.{signed.rpartition('.')[2]}",
            }[name]
            for client_id, signed in self._signed(self.thief).items()
        }

    def _signed(self, people: dict[str, Phone]) -> dict[str, str]:
        return {client_id: self.before[phone.session_id]["subject"]["S"] for client_id, phone in people.items()}

    def _put(self, item: Item) -> None:
        self.world.dynamodb.put_item(TableName=TABLE, Item=item)

    def search(self) -> Iterator[Answered]:
        """Try everything that ends nothing, at every route, with everything that the thief has or can make."""
        for client_id in URIS:
            for token, rightful in self._tokens():
                yield from self._by_token(client_id, token, rightful)
            path = f"/backend/{client_id}/token"
            own = (self.thief[client_id],)
            for handle in self._handles():
                yield Answered(self.world.backend({"backend_handle": handle}, path=path), own)
            for user in (THIEF.id, self.subject(self.victim), self.victim[client_id].session_id):
                yield Answered(self.world.backend({"user": user}, path=path), own)

    def loot(self) -> set[str]:
        """Return the tokens, and the references of listed sessions, to which the sender had no right."""
        known = self._known()
        with WATCH.guessing():
            given = [found for found in self.search() if found.answer.status == 200]
        # The search may have renewed tokens of the thief's own.
        after = self._known()
        return {
            text
            for found in given
            for text in _given(found.answer)
            if not any(text in known[phone.session_id] | after[phone.session_id] for phone in found.rightful)
        }

    def _known(self) -> dict[str, set[str]]:
        known = {phone.session_id: {phone.access_token, session_reference(phone.session_id)} for phone in self.phones}
        for phone in self.phones:
            # No seal opens for another app.
            if phone.row()["client_id"] == phone.client_id:
                known[phone.session_id].add(self.world.tokens(phone.session_id).access_token.reveal())
        return known

    def _by_token(self, client_id: str, token: str, rightful: tuple[Phone, ...]) -> Iterator[Answered]:
        grant = {"client_id": client_id, "refresh_token": token}
        yield Answered(self.world.form("token", grant | {"grant_type": "refresh_token"}), rightful)
        yield Answered(self.world.form("refresh", grant), rightful)
        # A list has the caller's other sessions, too.
        listed = tuple(self.thief.values()) if rightful else ()
        yield Answered(self._list(client_id, token), listed)

    def _tokens(self) -> Iterator[tuple[str, tuple[Phone, ...]]]:
        for phone in self.thief.values():
            yield phone.refresh_token, (phone,)
            yield phone.backend_handle, ()
        macs = {text.rpartition(".")[2] for phone in self.thief.values() for text in (phone.refresh_token,)} | {GUESS}
        for phone, mac in product(self.victim.values(), sorted(macs)):
            yield f"{phone.session_id}.1.{mac}", ()

    def _handles(self) -> Iterator[str]:
        own = list(self.thief.values())
        yield from (phone.backend_handle for phone in own)
        yield from (phone.refresh_token for phone in own)
        for phone in self.victim.values():
            yield made_up_handle(phone.session_id)
            for one in own:
                yield f"{phone.session_id}.{one.backend_handle.rpartition('.')[2]}"
                yield f"{phone.session_id}.{one.refresh_token.rpartition('.')[2]}"

    def _list(self, client_id: str, token: str) -> Answer:
        body = urlencode({"client_id": client_id, "token": token})
        return self.world.call("sessions", "POST", LIST_PATH, headers=_FORM, body=body)


def _given(answer: Answer) -> list[str]:
    """Return what an answer gives: the access token, or the references of sessions."""
    members = answer.json
    if "access_token" in members:
        return [members["access_token"]]
    return [session["session"] for session in members["sessions"]]
