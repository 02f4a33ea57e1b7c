"""Counts the broken promises in a history. Pure; `test_checker` plants a defect of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from .history import Event, Op

_WRITES = (Op.SET, Op.ADD)


@dataclass(frozen=True)
class Counts:
    """What went wrong."""

    #: Sessions whose user was not there although nobody had ended the session.
    lost_sessions: int = 0
    #: Acknowledged writes missing for good; increments missing, or counted that nobody made.
    lost_updates: int = 0
    #: Reads that did not show what had been acknowledged before they began, while a later one did.
    stale_reads: int = 0
    #: Responses with another user's data.
    foreign: int = 0
    #: Responses with a session that had been ended, or that had been given another id, before they were asked for.
    resurrected: int = 0
    #: Responses that brought another id although none was due.
    new_ids: int = 0
    #: Responses 5xx.
    errors: int = 0
    #: Requests without an answer.
    unanswered: int = 0
    #: Requests that took longer than allowed.
    slow: int = 0

    def broken(self, allowed: Iterable[str] = ()) -> dict[str, int]:
        """Return those that are not 0, but for the allowed ones."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: count for name, count in values.items() if count and name not in allowed}


def check(history: Sequence[Event], allowed: float = 0.75) -> Counts:
    """Return how often each promise was broken.

    Args:
        history: every request of every client.
        allowed: seconds that a request may take.
    """
    lineages = [Lineage(events) for events in _by_lineage(history).values()]
    updates = [lineage.updates() for lineage in lineages]
    return Counts(
        lost_sessions=sum(lineage.is_lost() for lineage in lineages),
        lost_updates=sum(lost for lost, _ in updates),
        stale_reads=sum(stale for _, stale in updates),
        foreign=sum(_is_foreign(event) for event in history),
        resurrected=sum(lineage.resurrected() for lineage in lineages),
        new_ids=sum(event.new_id and event.op not in (Op.LOGIN, Op.RELOGIN) for event in history),
        errors=sum(event.status >= 500 for event in history),
        unanswered=sum(event.status == 0 for event in history),
        slow=sum(event.latency > allowed for event in history),
    )


def _by_lineage(history: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(history, key=lambda event: event.start):
        found[event.lineage].append(event)
    return found


def _is_foreign(event: Event) -> bool:
    """Say whether the response showed another user's name, or an attribute that another session's client wrote."""
    if event.user is not None and event.user != event.owner:
        return True
    written = _written(event)
    return any(not value.startswith(f"{event.lineage}:") for value in written.values())


def _written(event: Event) -> dict[str, str]:
    """Return the attributes that SET and ADD wrote; their values are "<lineage>:<number>"."""
    if event.op is not Op.READ or not event.done:
        return {}
    return {name: str(value) for name, value in event.seen.items() if name not in ("user", "n")}


def _number(event: Event, name: str) -> int:
    """Return the number under the attribute that a read showed; 0 if there was none."""
    if name == "n":
        return int(event.seen.get("n", 0))
    return int(_written(event).get(name, ":0").rpartition(":")[2])


class Lineage:
    """All requests for one session, from its log-in to its end."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._ends = [event for event in events if event.op is Op.LOGOUT]
        self._moves = [event for event in events if event.op is Op.RELOGIN]

    def is_lost(self) -> bool:
        """Say whether the session was ever missing without a reason."""
        return any(
            event.status == 200 and event.user is None and not self._may_be_gone(event)
            for event in self._events
            if event.op is not Op.LOGIN
        )

    def _may_be_gone(self, event: Event) -> bool:
        """Say whether somebody may have ended or moved the session before the response was made."""
        return any(
            other.start <= event.end
            and other is not event
            and (other.op is Op.LOGOUT or other.number == event.number or not other.done)
            for other in (*self._ends, *self._moves)
        )

    def _met_the_end(self, event: Event) -> bool:
        return any(end.start <= event.end for end in self._ends)

    def resurrected(self) -> int:
        """Return how many responses showed a session that had ended, or an id that had been replaced."""
        return sum(event.user is not None and self._must_be_gone(event) for event in self._events)

    def _must_be_gone(self, event: Event) -> bool:
        return any(
            other.done and other.end <= event.start and (other.op is Op.LOGOUT or other.number == event.number)
            for other in (*self._ends, *self._moves)
        )

    # -- updates ---------------------------------------------------------------------------------------------------

    def updates(self) -> tuple[int, int]:
        """Return how many acknowledged updates were lost for good, and how many reads were stale."""
        reads = [event for event in self._events if event.op is Op.READ and event.done]
        # Index of a read -> it missed something that a later one showed.
        stale: set[int] = set()
        lost = self._miscounted(reads, stale)
        for write in self._events:
            if write.op in _WRITES and write.done:
                lost += _missing_for_good(write, reads, stale)
        return lost, len(stale)

    def _miscounted(self, reads: Sequence[Event], stale: set[int]) -> int:
        """Return the increments that are missing, or too many, or whose number was given out twice."""
        counts = [event for event in self._events if event.op is Op.COUNT]
        # What meets the log-out is dropped, like any change to an ended session: its number may be another's.
        numbers = [int(event.seen) for event in counts if event.done and not self._met_the_end(event)]
        wrong = len(numbers) - len(set(numbers))
        for index, read in enumerate(reads):
            least = sum(count.done and count.end < read.start for count in counts)
            most = sum(count.start <= read.end for count in counts)
            shown = _number(read, "n")
            last = index == len(reads) - 1
            wrong += max(least - shown, 0) if last else 0
            wrong += max(shown - most, 0) if last else 0
            if shown < least and not last:
                stale.add(index)
        return wrong


def _missing_for_good(write: Event, reads: Sequence[Event], stale: set[int]) -> bool:
    """Say whether the last read that must show a write does not; note earlier ones that miss it as stale."""
    after = [index for index, read in enumerate(reads) if read.start > write.end]
    missing = [index for index in after if _number(reads[index], write.name) < write.value]
    if missing and missing[-1] == after[-1]:
        return True
    stale.update(missing)
    return False


def evidence(history: Sequence[Event]) -> list[str]:
    """Return lines that tell what is missing, and all that was done with the sessions in question."""
    lines = []
    for name, events in _by_lineage(history).items():
        lineage = Lineage(events)
        if lineage.is_lost() or lineage.resurrected() or any(lineage.updates()):
            lines += [f"session {name}:", *(_line(event) for event in events)]
    return lines


def _line(event: Event) -> str:
    state = "" if event.done else f"status {event.status}, user {event.user}"
    return (
        f"  {event.start:.3f}-{event.end:.3f} process {event.app} id {event.number} {event.op.value}"
        f" {event.name} {event.value or ''} {event.seen or ''} {state}"
    )


def tally(rows: Iterable[Counts]) -> Iterator[tuple[str, int]]:
    """Yield the name and the sum of every count."""
    rows = list(rows)
    for item in fields(Counts):
        yield item.name, sum(getattr(row, item.name) for row in rows)
