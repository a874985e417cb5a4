"""The parts of the function for backends."""

from __future__ import annotations

from functools import cached_property

from oauth_broker.backends.by_user import ByUser
from oauth_broker.backends.tokens import BackendTokens
from oauth_broker.operations.parts import Parts
from oauth_broker.operations.pause import BACKENDS, Pause


class BackendParts(Parts):
    """Every part, and a pause of the backends' own."""

    @cached_property
    def pause(self) -> Pause:
        """The pause of all backends, which begins before the apps' and keeps that one too."""
        return Pause(self.control_item, self.clock, BACKENDS, wider=Pause(self.control_item, self.clock))

    @cached_property
    def backend_tokens(self) -> BackendTokens:
        """The access tokens for backends."""
        return BackendTokens(self.settings.registry, self.access, self.by_user, self.clock)

    @cached_property
    def by_user(self) -> ByUser | None:
        """The search for a person's session, or None if the deployment asks nobody whose session it is."""
        if not self.settings.identifies_people:
            return None
        return ByUser(self.subjects, self.person_items, self.session_rows, self.not_before, self.clock)
