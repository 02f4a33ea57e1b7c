"""The checker itself: a history without a defect counts nothing, and each planted defect counts as what it is."""

from __future__ import annotations

from typing import Any

import pytest

from .checker import Counts, check, tally
from .history import Event, Op


def event(start: float, op: Op, **changes: Any) -> Event:
    """Return an acknowledged request of user u that took 0.1 s."""
    lineage = changes.pop("lineage", "u.1")
    owner = lineage.partition(".")[0]
    return Event(start, start + 0.1, 0, lineage, changes.pop("number", 0), op, 200, owner)._replace(**changes)


def read(start: float, data: dict[str, Any] | None = None, **changes: Any) -> Event:
    """Return a read that showed `data`; values of SET and ADD are given as numbers."""
    lineage = changes.get("lineage", "u.1")
    shown = {name: value if name == "n" else f"{lineage}:{value}" for name, value in (data or {}).items()}
    return event(start, Op.READ, seen={"user": lineage.partition(".")[0], **shown}, **changes)


def absent(start: float, **changes: Any) -> Event:
    """Return a read that found no session."""
    return event(start, Op.READ, user=None, **changes)


LOGIN = event(0, Op.LOGIN, new_id=True)
ADD = event(1, Op.ADD, name="a", value=1)
SET = event(1, Op.SET, name="s", value=5)
COUNT = event(1, Op.COUNT, seen=1)
LOGOUT = event(3, Op.LOGOUT)
RELOGIN = event(3, Op.RELOGIN, new_id=True)
FAILED = {"status": 503, "user": None, "seen": None}

CLEAN: dict[str, list[Event]] = {
    "everything is seen": [LOGIN, ADD, SET, COUNT, read(2, {"a": 1, "s": 5, "n": 1})],
    "a later value is seen": [LOGIN, SET, read(2, {"s": 6})],
    "a read that began before the write ended": [LOGIN, ADD, read(1.05, {}), read(2, {"a": 1})],
    "a write that failed but was made": [LOGIN, COUNT, event(2, Op.COUNT, **FAILED), read(3, {"n": 2})],
    "a write that failed": [LOGIN, COUNT, event(2, Op.COUNT, **FAILED), read(3, {"n": 1})],
    "gone after the log-out": [LOGIN, LOGOUT, absent(4)],
    "a read while logging out": [LOGIN, LOGOUT, absent(3.05), read(2.99)],
    "gone after a log-out that failed": [LOGIN, event(3, Op.LOGOUT, **FAILED), absent(4)],
    "there after a log-out that failed": [LOGIN, event(3, Op.LOGOUT, **FAILED), read(4)],
    "the former id": [LOGIN, RELOGIN, absent(4), read(5, number=1)],
    "the former id while it is replaced": [LOGIN, RELOGIN, read(3.05), absent(3.05)],
    "gone after a change of the id that failed": [LOGIN, event(3, Op.RELOGIN, **FAILED), absent(4)],
    "an increment that met the log-out": [LOGIN, COUNT, COUNT._replace(start=2.9, end=3.2), LOGOUT],
    "two users": [LOGIN, ADD, read(2, {"a": 1}), read(2, {"a": 2}, lineage="v.1")],
}

DEFECTS: dict[str, tuple[list[Event], Counts]] = {
    "session lost": ([LOGIN, ADD, absent(2), absent(3)], Counts(lost_sessions=1)),
    "session lost after its id was changed": ([LOGIN, RELOGIN, absent(4, number=1)], Counts(lost_sessions=1)),
    "session lost at a write": ([LOGIN, event(2, Op.ADD, name="a", value=1, user=None)], Counts(lost_sessions=1)),
    "unique attribute lost": ([LOGIN, ADD, read(2)], Counts(lost_updates=1)),
    "unique attribute lost later": ([LOGIN, ADD, read(2, {"a": 1}), read(3)], Counts(lost_updates=1)),
    "former value": ([LOGIN, SET, read(2, {"s": 4})], Counts(lost_updates=1)),
    "increment lost": ([LOGIN, COUNT, event(2, Op.COUNT, seen=2), read(3, {"n": 1})], Counts(lost_updates=1)),
    "increment twice": ([LOGIN, COUNT, read(3, {"n": 2})], Counts(lost_updates=1)),
    "one number for two": ([LOGIN, COUNT, COUNT._replace(start=1.01), read(3, {"n": 2})], Counts(lost_updates=1)),
    "stale read": ([LOGIN, ADD, read(2), read(3, {"a": 1})], Counts(stale_reads=1)),
    "stale number": ([LOGIN, COUNT, read(2), read(3, {"n": 1})], Counts(stale_reads=1)),
    "another's name": ([LOGIN, read(2, user="v")], Counts(foreign=1)),
    "another's attribute": ([LOGIN, event(2, Op.READ, seen={"user": "u", "a": "v.1:1"})], Counts(foreign=1)),
    "attribute of the user's former session": (
        [event(2, Op.LOGIN, lineage="u.2"), event(3, Op.READ, lineage="u.2", seen={"a": "u.1:1"})],
        Counts(foreign=1),
    ),
    "back after the log-out": ([LOGIN, LOGOUT, absent(4), read(5)], Counts(resurrected=1)),
    "written to after the log-out": ([LOGIN, LOGOUT, event(5, Op.ADD, name="a", value=1)], Counts(resurrected=1)),
    "former id still works": ([LOGIN, RELOGIN, read(5)], Counts(resurrected=1)),
    "another id at a read": ([LOGIN, read(2, new_id=True)], Counts(new_ids=1)),
    "error": ([LOGIN, event(2, Op.READ, **FAILED)], Counts(errors=1)),
    "no answer": ([LOGIN, event(2, Op.READ, status=0, user=None)], Counts(unanswered=1)),
    "slow": ([LOGIN, event(2, Op.SET, end=2.8, name="s", value=1)], Counts(slow=1)),
}


@pytest.mark.parametrize("name", CLEAN)
def test_clean(name: str) -> None:
    """A history in which everything can be explained counts no broken promise, failed requests apart."""
    assert check(CLEAN[name]).broken(("errors",)) == {}


@pytest.mark.parametrize("name", DEFECTS)
def test_planted_defect(name: str) -> None:
    """Each kind of defect is counted once, as what it is and as nothing else."""
    history, counts = DEFECTS[name]
    assert check(history) == counts


@pytest.mark.parametrize("name", DEFECTS)
def test_order(name: str) -> None:
    """Requests may be recorded in any order: threads end when they end."""
    history, counts = DEFECTS[name]
    assert check(history[::-1]) == counts


def test_every_count_has_a_defect() -> None:
    """No count is without a planted defect that shows it can be found."""
    assert all(count for _, count in tally(counts for _, counts in DEFECTS.values()))


def test_allowed_counts() -> None:
    """What a scenario does not promise is left out, and nothing else is."""
    counts = Counts(errors=2, unanswered=1)
    assert counts.broken(["unanswered"]) == {"errors": 2}
    assert counts.broken() == {"errors": 2, "unanswered": 1}
