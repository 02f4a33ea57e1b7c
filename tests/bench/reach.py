"""What is to be reached, and whether it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .contenders import PEERS
from .figures import SAME, SPLIT, Cell, Figures

_ONE, _TWO = "compiled-1", "compiled-2"


class Goal(NamedTuple):
    """At most this: a ratio to another contender or, to None, added microseconds."""

    contender: str
    payload: str
    kind: str
    pinning: str
    to: str | None
    limit: float

    def __str__(self) -> str:
        where = ", two cores" if self.pinning == SPLIT else ""
        limit = f"{self.limit:g} us" if self.to is None else f"{self.limit:.2f} of {self.to}"
        return f"{self.kind}, {self.payload}, {self.contender}{where}: time | {limit}"


class TrafficGoal(NamedTuple):
    """Exactly these commands and waits."""

    contender: str
    kind: str
    expected: str

    def __str__(self) -> str:
        return f"{self.kind}, small, {self.contender}: commands / waits | {self.expected}"


TRAFFIC = [
    TrafficGoal(_ONE, "untouched", "0 / 0"),
    TrafficGoal(_TWO, "untouched", "0 / 0"),
    TrafficGoal(_ONE, "read", "1 / 1"),
    TrafficGoal(_TWO, "read", "2 / 1"),
    TrafficGoal(_ONE, "change", "2 / 2"),
    TrafficGoal(_TWO, "change", "4 / 2"),
    TrafficGoal(_TWO, "create", "2 / 1"),
]
TIMES = [
    Goal(_ONE, "small", "untouched", SAME, None, 2.0),
    Goal(_ONE, "small", "read", SAME, "flask-session", 0.40),
    Goal(_ONE, "small", "read", SAME, "beaker", 0.35),
    Goal(_ONE, "small", "read", SAME, "django-sliding", 0.15),
    Goal(_ONE, "small", "read", SAME, "floor-1", 2.8),
    Goal(_TWO, "small", "read", SAME, "flask-session", 0.50),
    Goal(_ONE, "small", "change", SAME, "flask-session", 0.65),
    Goal(_TWO, "small", "change", SAME, "flask-session", 1.0),
    # A wake-up of the other core takes about as long as a round trip of a fast network, 65 us.
    Goal(_TWO, "small", "change", SPLIT, "flask-session", 0.8),
    Goal(_TWO, "small", "create", SAME, "flask-session", 0.8),
    *(Goal(_ONE, "large", kind, SAME, peer, 0.5) for kind in ("read", "readall", "change") for peer in PEERS),
    # The floor's change decodes and encodes all of it.
    Goal(_ONE, "huge", "change", SAME, "floor-1", 0.33),
]


def rows(figures: Figures) -> Iterator[str]:
    """Yield a table row for each goal: what, goal, measured, the same ratio of instructions, verdict."""
    for wanted in TRAFFIC:
        traffic = figures.traffic.get((wanted.contender, "small", wanted.kind))
        if traffic is not None:
            yield f"| {wanted} | {traffic} | | {_verdict(str(traffic) == wanted.expected)} |"
    for goal in TIMES:
        measured = _measured(figures, goal)
        if measured is not None:
            verdict = _verdict(measured <= goal.limit)
            yield f"| {goal} | {measured:.2f} | {_by_instructions(figures, goal)} | {verdict} |"


def _measured(figures: Figures, goal: Goal) -> float | None:
    cell = Cell(goal.contender, goal.payload, goal.kind, goal.pinning)
    if goal.to is not None:
        return figures.ratio(cell, goal.to)
    added = figures.added(cell)
    return None if added is None else added.middle


def _by_instructions(figures: Figures, goal: Goal) -> str:
    """Return the ratio that does not depend on how busy the machine is; the kernel's share is not in it."""
    if goal.to is None or goal.payload != "small" or goal.pinning != SAME:
        return ""
    ratio = figures.instruction_ratio(goal.contender, goal.to, goal.kind)
    return "" if ratio is None else f"{ratio:.2f}"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"
