"""One person beside the caller's own session: the person's item, the other sign-ins and sessions, and work on them.

The row of `State` is the caller's own session, and it is in the person's item throughout. A session that is over is
forgotten: no write to its row applies any more, and its id in the item costs a look. The model compares times (the
beginnings of sessions, and the cut-offs, in seconds) and numbers them anew in every state.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

# Before all times: there is no cut-off.
NEVER = 0
NO_SESSION = -1


class Session(NamedTuple):
    """A sign-in or session of the person, other than the caller's own. It is not over."""

    began: int
    is_active: bool = False  # otherwise a sign-in under way, in any of its states
    is_known: bool = False  # its row names the person
    is_listed: bool = False  # the person's item has its id


class Task(IntEnum):
    """The next write of a job. `TRYING` and the two after it are the later try to learn whose session it is."""

    JOINING = 0  # a redemption adds its id to the item and reads the cut-off
    ACTIVATING = 1  # a redemption activates the row
    TRYING = 2  # adds the id to the item and reads the cut-off
    NOTING = 3  # lets the row name the person
    LEAVING = 4  # ends the session, because the person signed it out before it was known
    CUTTING_OFF = 5  # a sign-out of the others sets the cut-off and reads the item
    ENDING = 6  # ends the first session that is left, in any state
    LISTING = 7  # a mutant's: reads the item before the cut-off


class Job(NamedTuple):
    """One invocation, or one of its writes that may land late. Identical ones are interchangeable."""

    task: Task
    session: int = NO_SESSION  # its index
    second: int = NEVER  # of the cut-off
    left: tuple[int, ...] = ()  # the sessions that a sign-out of the others has yet to end
    is_known: bool = False  # Aries said whose session it is

    @property
    def signs_out_others(self) -> bool:
        """Whether it is a sign-out of the others, and no redemption or later try."""
        return self.task >= Task.CUTTING_OFF


class Person(NamedTuple):
    """The item, the other sessions, the jobs, and the writes under way. `now` is the second of the clock."""

    sessions: tuple[Session, ...] = ()
    jobs: tuple[Job, ...] = ()
    late: tuple[Job, ...] = ()
    cut_off: int = NEVER
    promised: int = NEVER  # the latest cut-off of a sign-out that was confirmed
    now: int = NEVER + 1


def listed(person: Person) -> tuple[int, ...]:
    """Return the other sessions in the person's item."""
    return tuple(index for index, session in enumerate(person.sessions) if session.is_listed)


def changed(person: Person, index: int, session: Session) -> Person:
    """Return the person with this session in place of the one at `index`."""
    return person._replace(sessions=(*person.sessions[:index], session, *person.sessions[index + 1 :]))


def without(person: Person, index: int) -> Person:
    """Return the person without a session that is over: every write to its row is refused from now on."""
    return _ordered(person, [other for other in range(len(person.sessions)) if other != index])


def canonical(person: Person) -> Person:
    """Return one representative for all persons with the same content at other times or in another order."""
    cut_offs = {person.cut_off, person.promised, NEVER, *(job.second for job in (*person.jobs, *person.late))}
    names = {time: name for name, time in enumerate(sorted(cut_offs | {person.now}))}

    def began(session: Session) -> int:
        # A beginning is compared with cut-offs alone, and a new one is not before now.
        return names[min((time for time in cut_offs if time >= session.began), default=person.now)]

    def renamed(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        return tuple(job._replace(second=names[job.second]) for job in jobs)

    person = Person(
        tuple(session._replace(began=began(session)) for session in person.sessions),
        renamed(person.jobs),
        renamed(person.late),
        names[person.cut_off],
        names[person.promised],
        names[person.now],
    )
    person = _ordered(person, sorted(range(len(person.sessions)), key=person.sessions.__getitem__))
    return person._replace(jobs=tuple(sorted(person.jobs)), late=tuple(sorted(person.late)))


def _ordered(person: Person, order: list[int]) -> Person:
    """Return the person with these sessions, in this order, and with the jobs of these alone."""
    numbers = {NO_SESSION: NO_SESSION, **{index: number for number, index in enumerate(order)}}

    def renumbered(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        return tuple(
            job._replace(session=numbers[job.session], left=tuple(sorted(numbers[i] for i in job.left if i in numbers)))
            for job in jobs
            if job.session in numbers
        )

    return person._replace(
        sessions=tuple(person.sessions[index] for index in order),
        jobs=renumbered(person.jobs),
        late=renumbered(person.late),
    )
