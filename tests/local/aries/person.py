"""A person in front of the consent page, for tests: fetches it, reads its form, presses a button."""

from html.parser import HTMLParser
from typing import Literal
from urllib.parse import urljoin

import requests

_TIMEOUT_SECONDS = 10


def approve(
    session: requests.Session,
    authorize_url: str,
    decision: Literal["approve", "deny"] = "approve",
    user: str | None = None,
) -> str:
    """The Location of Aries' redirect after the decision; it is not followed.

    `user` is the id of an account on the page, by default the selected one. Raises requests.HTTPError or ValueError if
    no page comes back, or no redirect after it.
    """
    page = session.get(authorize_url, allow_redirects=False, timeout=_TIMEOUT_SECONDS)
    page.raise_for_status()
    if page.status_code != requests.codes.ok:
        raise ValueError(f"Aries showed no page but redirected to {page.headers.get('Location')}")
    form = _ConsentForm(page.text)
    fields = form.fields | {"decision": form.button(decision)}
    if user is not None:
        fields["user"] = user
    answer = session.post(urljoin(page.url, form.action), data=fields, allow_redirects=False, timeout=_TIMEOUT_SECONDS)
    answer.raise_for_status()
    return answer.headers["Location"]


class _ConsentForm(HTMLParser):
    """The one form of the page: its action, the fields as they stand, and its buttons."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._buttons: set[str] = set()
        self._select = ""
        self.feed(page)

    def button(self, value: str) -> str:
        if value not in self._buttons:
            raise ValueError(f"The page has no button {value}, only {sorted(self._buttons)}")
        return value

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self.action = values["action"]
            case "input":
                self.fields[values["name"]] = values["value"]
            case "select":
                self._select = values["name"]
            case "option":
                self.fields.setdefault(self._select, values["value"])
            case "button":
                self._buttons.add(values["value"])
