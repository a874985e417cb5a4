"""The forms for a person's decision."""

import secrets
import threading
from dataclasses import dataclass

from tests.local.aries.authorization import AuthorizationRequest
from tests.local.aries.core import AriesCore
from tests.local.aries.errors import PageRefusal
from tests.local.aries.tokens import USERS

FORM_SECONDS = 600


@dataclass
class _Form:
    request: AuthorizationRequest
    expires_at: float
    answer: tuple[str, str] | None = None
    location: str = ""


class ConsentForms:
    """Each form is decided once. The same decision sent again (a double click) gets the same redirect again."""

    def __init__(self, core: AriesCore) -> None:
        self._core = core
        self._forms: dict[str, _Form] = {}
        self._lock = threading.Lock()

    def open(self, request: AuthorizationRequest) -> str:
        """A new form's one-time token."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._forms[token] = _Form(request, self._core.now() + FORM_SECONDS)
        return token

    def decide(self, token: str, decision: str, user_id: str) -> str:
        """The browser's next address. Raises PageRefusal."""
        with self._lock:
            form = self._forms.get(token)
            if form is None or self._core.now() >= form.expires_at:
                raise PageRefusal("This form is unknown or has expired. Return to the app and sign in again.")
            if form.answer is None:
                form.location = self._location(form.request, decision, user_id)
                form.answer = (decision, user_id)
            if form.answer != (decision, user_id):
                raise PageRefusal("This form has already been answered. Return to the app.")
            return form.location

    def _location(self, request: AuthorizationRequest, decision: str, user_id: str) -> str:
        user = next((user for user in USERS if user.id == user_id), None)
        if user is None:
            raise PageRefusal("This account is unknown.")
        if decision == "approve":
            return request.location(code=self._core.approve(request, user))
        if decision == "deny":
            return request.location(error="access_denied", error_description="The person denied the request")
        raise PageRefusal("The decision must be to approve or to deny.")
