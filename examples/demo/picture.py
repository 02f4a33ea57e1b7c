"""The ring as a picture: numbers for the SVG in the page, no markup."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

Ring = Sequence[tuple[float, str]]

#: Radii in the picture's units: the middle of the ring, the circle the nodes sit on, one node.
RADIUS, NODES, NODE = 140.0, 64.0, 29.0


@dataclass(frozen=True)
class Spot:
    """A point of the picture; x grows to the right, y downwards, the ring's middle is (0, 0)."""

    x: float
    y: float


@dataclass(frozen=True)
class Badge:
    """A node inside the ring, with the way to it from the session's point."""

    name: str
    spot: Spot
    #: 1 for the first copy, 2 for the second, 0 for none.
    copy: int
    #: The end of the arrow, just outside the badge.
    tip: Spot


@dataclass(frozen=True)
class Stop:
    """A point of the ring that the clockwise walk from the session's point meets."""

    name: str
    #: 1 or 2 where the walk finds that copy, 0 where it passes by.
    copy: int


@dataclass(frozen=True)
class Picture:
    """All of it."""

    #: Node name -> path along the parts of the ring that lead to a point of this node.
    arcs: dict[str, str]
    badges: tuple[Badge, ...]
    #: Where the session's pin starts (inside the ring) and has its head (outside).
    root: Spot
    pin: Spot
    walk: tuple[Stop, ...]
    #: There is a session to show; otherwise only the ring and the nodes mean something.
    placed: bool


class Location(Protocol):
    """Where a session lies: the library's `Location`."""

    @property
    def point(self) -> float:
        """Its position on the ring."""

    @property
    def copies(self) -> tuple[str, ...]:
        """The nodes that hold it, the first copy first."""


def draw(ring: Ring, where: Location | None, names: Sequence[str]) -> Picture:
    """Return the picture of a ring of nodes and of one session on it.

    Args:
        ring: (position in [0, 1), node name), sorted.
        where: where the session lies; None if that is not known yet.
        names: every node's name.
    """
    point, copies = (where.point, where.copies) if where else (0.0, ())
    return Picture(
        placed=where is not None,
        arcs={name: _arcs(ring, name) for name in names},
        badges=tuple(_badges(point, copies, names)),
        root=_spot(point, RADIUS - 17),
        pin=_spot(point, RADIUS + 18),
        walk=tuple(walk(ring, point, copies)),
    )


def walk(ring: Ring, point: float, copies: Sequence[str], most: int = 12) -> list[Stop]:
    """Return the points met clockwise from the session's point, two beyond the last copy, at most so many."""
    split = bisect_left(ring, (point, ""))
    after = [name for _, name in (*ring[split:], *ring[:split])]
    stops: list[Stop] = []
    missing, beyond = set(copies), 2
    for name in after[:most]:
        beyond -= not missing
        if beyond < 0:
            break
        stops.append(Stop(name, copies.index(name) + 1 if name in missing else 0))
        missing.discard(name)
    return stops


def _spot(position: float, radius: float) -> Spot:
    # Position 0 is at twelve o'clock, and the ring runs as a clock does.
    angle = 2 * math.pi * (position - 0.25)
    return Spot(round(radius * math.cos(angle), 2), round(radius * math.sin(angle), 2))


def _arcs(ring: Ring, name: str) -> str:
    # The stretch before a point belongs to that point's node: who starts there walks to it.
    around = [(ring[-1][0] - 1, ring[-1][1]), *ring]
    parts = [(start, end) for (start, _), (end, owner) in pairwise(around) if owner == name]
    return "".join(_arc(start, end) for start, end in parts)


def _arc(start: float, end: float) -> str:
    a, b = _spot(start, RADIUS), _spot(end, RADIUS)
    return f"M{a.x} {a.y}A{RADIUS} {RADIUS} 0 {int(end - start > 0.5)} 1 {b.x} {b.y}"


def _badges(point: float, copies: Sequence[str], names: Sequence[str]) -> list[Badge]:
    # Turned so that the session's point lies between two badges: no arrow to one passes another.
    badges = []
    for number, name in enumerate(names):
        spot = _spot(point + (number + 0.5) / len(names), NODES)
        copy = copies.index(name) + 1 if name in copies else 0
        badges.append(Badge(name, spot, copy, _tip(_spot(point, RADIUS - 17), spot)))
    return badges


def _tip(start: Spot, end: Spot) -> Spot:
    length = math.hypot(end.x - start.x, end.y - start.y)
    part = (length - NODE - 7) / length
    return Spot(round(start.x + (end.x - start.x) * part, 2), round(start.y + (end.y - start.y) * part, 2))
