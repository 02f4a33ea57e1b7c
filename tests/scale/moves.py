"""What moves when nodes come and go."""

from __future__ import annotations

from typing import NamedTuple

from .circle import COPIES, Circle, both


class Moves(NamedTuple):
    """Shares of all sessions."""

    #: Whose first copy is on another node than before.
    first: float
    #: Of whose copies at least one is on a node that had none.
    any: float
    #: None of whose copies is on a node that had one: a read finds them by asking one node more.
    all: float
    #: Which no read finds any more: that next node has none either.
    lost: float


def moves(old: Circle, new: Circle) -> Moves:
    """Return what moves from one node list to the other."""
    first = some = everything = lost = 0.0
    for share, before, after in both(old, new):
        had = set(before[:COPIES])
        first += share * (before[0] != after[0])
        some += share * (not had.issuperset(after[:COPIES]))
        everything += share * had.isdisjoint(after[:COPIES])
        lost += share * had.isdisjoint(after[: COPIES + 1])
    return Moves(first, some, everything, lost)
