"""What the store says of a session: loaded, absent and why, where it lies, and which copy decides."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..record import Record
from .copies import Copies


class Absence(Enum):
    """Why there is no session under a key."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    MOVED = "moved"


class Absent(NamedTuple):
    """There is no live session under the key."""

    why: Absence
    #: Storage key of the new record; only when moved.
    moved_to: str = ""
    #: Moved less than `MOVE_GRACE` seconds ago: the client is about to get its new cookie from another response.
    recently: bool = False


UNKNOWN = Absent(Absence.UNKNOWN)


class Loaded:
    """A live session as this request read it.

    Args:
        record: what was read, then what stands.
        copies: where it was read.
        at: when it was read, in seconds since the epoch.
    """

    __slots__ = ("at", "copies", "record")

    def __init__(self, record: Record, copies: Copies, at: float) -> None:
        self.record: Record = record
        self.copies: Copies = copies
        self.at: float = at

    @property
    def key(self) -> str:
        """Its storage key."""
        return self.copies.key

    @property
    def last_accessed(self) -> float:
        """When the session was last used before this request, in seconds since the epoch."""
        idle = max(self.copies.whole_life(self.record, self.at) - self.copies.remaining, 0)
        return min(self.at, max(self.at - idle, self.record.created))


class Authority(NamedTuple):
    """The copy whose compare-and-swap decides."""

    node: str
    #: The record to build on: it names the node, in a new epoch if it has just taken over.
    base: Record


class Location(NamedTuple):
    """Where a session lies."""

    #: Its point on the ring, 0 to below 1.
    point: float
    #: Names of the nodes that hold its copies, first copy first.
    copies: tuple[str, ...]
