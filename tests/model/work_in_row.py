"""The work under the lease for a session in the row: KMS seals Aries' answer, and the commit stores it.

Decrypt and Encrypt change nothing, so a failure of KMS leaves nothing behind, and no answer of it matters late.
"""

from __future__ import annotations

from tests.model import aries
from tests.model.moves import Move, Moves, plus, spend
from tests.model.state import State, Step, Version, Worker
from tests.model.work import Work


class WorkInRow(Work):
    """Moves of a worker with the lease on a session in the row."""

    store = "KMS"

    # Step 2: an answer is either committed or lost, so there is nothing to roll forward, and nothing is asked.

    def _in_sight(self, rest: State, worker: Worker) -> list[Version]:
        return []

    def _looking_again(self, rest: State, worker: Worker) -> Moves:
        yield Move("has nowhere to look", plus(rest, worker._replace(step=Step.ENDING, grant=0, found=0)))

    # Step 5: seal. The commit of step 6 is the one write that stores.

    def _storing(self, rest: State, worker: Worker) -> Moves:
        if self._variant.stores_anew_at_a_refresh:
            yield from super()._storing(rest, worker)
            return
        yield Move("seals the answer", plus(rest, self._sealed(worker)))
        if failed := spend(rest, errors=1):
            if self._variant.seals_once:
                # One failure of KMS must lose nothing, so it opens no window.
                yield Move("KMS fails once: 503", failed, answer="503 failed")
            else:
                yield Move("KMS fails: seals again", plus(failed, worker))
            yield Move("KMS fails to the end: 503", aries.lose(failed), answer="503 failed")
