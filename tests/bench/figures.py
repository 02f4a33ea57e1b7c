"""What was measured, and the arithmetic on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import NamedTuple

from .contenders import BASES

#: Client and memcached on one core: what a request costs. On two: what its waits cost.
SAME, SPLIT = "same", "split"


class Cell(NamedTuple):
    """One thing that is measured. An application without sessions has only "untouched"."""

    contender: str
    payload: str
    kind: str
    pinning: str


class Traffic(NamedTuple):
    """What memcached sees of a request."""

    commands: float
    waits: float

    def __str__(self) -> str:
        return f"{self.commands:g} / {self.waits:g}"


class Spread(NamedTuple):
    """A median with its quartiles, in microseconds."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        digits = 1 if self.middle < 1000 else 0
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass
class Figures:
    """All that one run of the benchmark has measured."""

    #: Microseconds a request, a number a round: of CPU (`SAME`), on the wall (`SPLIT`).
    times: dict[Cell, list[float]] = field(default_factory=dict)
    #: (contender, payload, kind) -> commands and waits a request.
    traffic: dict[tuple[str, str, str], Traffic] = field(default_factory=dict)
    #: (contender, kind) -> instructions of the client a request with the small session, its application's included.
    instructions: dict[tuple[str, str], float] = field(default_factory=dict)
    #: Rounds played.
    rounds: int = 0

    def base(self, contender: str, pinning: str) -> float:
        """Return what the contender's application costs without sessions."""
        cell = Cell(BASES[contender], "small", "untouched", pinning)
        return median(self.times[cell])

    def added(self, cell: Cell) -> Spread | None:
        """Return what the session adds to a request; None if it was not measured."""
        times = self.times.get(cell, [])
        if not times:
            return None
        low, middle, high = quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
        base = self.base(cell.contender, cell.pinning)
        return Spread(low - base, middle - base, high - base)

    def ratio(self, cell: Cell, to: str) -> float | None:
        """Return the cell's added time divided by that of another contender; None if one was not measured."""
        ours, theirs = self.added(cell), self.added(cell._replace(contender=to))
        if ours is None or theirs is None or theirs.middle <= 0:
            return None
        return ours.middle / theirs.middle

    def added_instructions(self, contender: str, kind: str) -> float | None:
        """Return the instructions that the session adds to a request."""
        count = self.instructions.get((contender, kind))
        base = self.instructions.get((BASES[contender], "untouched"))
        return None if count is None or base is None else count - base

    def instruction_ratio(self, ours: str, theirs: str, kind: str) -> float | None:
        """Return the instructions that one contender's session adds, divided by another's."""
        dividend, divisor = self.added_instructions(ours, kind), self.added_instructions(theirs, kind)
        return dividend / divisor if dividend is not None and divisor else None

    def measured(self, pinning: str) -> Iterator[str]:
        """Yield the payloads that were measured with this pinning, smallest first."""
        seen = dict.fromkeys(cell.payload for cell in self.times if cell.pinning == pinning and cell.contender in BASES)
        yield from seen
