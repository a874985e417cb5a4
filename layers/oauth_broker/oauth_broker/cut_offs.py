"""Mass sign-outs: every session that began no later than a moment is over, of one app or of everyone's.

The cut-offs are numbers of the control item, so that a mass sign-out takes effect everywhere within seconds.
"""

from __future__ import annotations

from oauth_broker.control_item import ControlItem

EVERYONE = "everyone"


def scope_of(client_id: str) -> str:
    """Return the name of the cut-off of one app's sessions; that of all sessions is EVERYONE."""
    return f"client:{client_id}"


class CutOffs:
    """The cut-offs, as the process knows the control item. Every method raises Busy where DynamoDB fails."""

    def __init__(self, item: ControlItem) -> None:
        self._item = item

    def of(self, client_id: str) -> int:
        """Return the second up to which sessions of the app are over, 0 where there is none.

        Raises Busy where that cannot be known: nobody who was signed out is let in because DynamoDB fails.
        """
        numbers = self._item.numbers()
        return int(max(numbers.get(EVERYONE, 0), numbers.get(scope_of(client_id), 0)))

    def standing(self, scope: str) -> int:
        """Return the cut-off of one scope as it is now, 0 where there is none."""
        return int(self._item.read().get(scope, 0))

    def set(self, scope: str, second: int) -> int:
        """Sign out all sessions of the scope that began up to ``second``; return the cut-off that then stands.

        That is ``second``, or a later one: no cut-off ever moves back. Repeating it is safe.
        """
        return int(self._item.raise_to(scope, second))
