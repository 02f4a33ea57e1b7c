"""What the clients did and saw: the only thing the checker believes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sharedsession.ids import IdFactory, SessionId

NEVER = float("inf")


@dataclass(eq=False)
class Deed:
    """Something a request did to a session.

    A deed that was never acknowledged may have happened or not, at any time since it was tried.
    """

    #: The request that did it.
    request: str
    #: When the request first looked at the session.
    began: float
    #: When it had last looked: what was acknowledged later it may not have seen.
    seen: float
    #: When it was first tried to be stored.
    tried: float = NEVER
    #: When the request knew that it was stored.
    acked: float = NEVER
    #: Requests that certainly looked after it had been done.
    seen_by: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Write(Deed):
    """An attribute was set to a value that nobody else sets, or deleted (None)."""

    name: str = ""
    value: str | None = None
    #: The sweep in the same commit that this write stands above.
    above: Deed | None = None
    #: Committed with a change of id: what the mover sets (a log-in) outranks every request in flight.
    moving: bool = False


@dataclass(eq=False)
class Sweep(Deed):
    """`clear()`."""


@dataclass(eq=False)
class Append(Deed):
    """A token that nobody else appends was appended to a list, in a transaction or under the lock."""

    token: str = ""
    #: The attribute that is the list.
    name: str = ""
    #: Committed with a change of id, as for a `Write`.
    moving: bool = False


@dataclass(eq=False)
class End(Deed):
    """`invalidate()`."""


@dataclass(eq=False)
class Move(Deed):
    """`change_id()`."""

    old: str = ""
    new: str = ""


@dataclass
class View:
    """What one request saw of a session when it loaded it, or later."""

    request: str
    id: str
    began: float
    ended: float
    #: None: there was no session under the id.
    data: dict[str, Any] | None
    lists: dict[str, list[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Lineage:
    """One session through all its ids."""

    client: str
    #: Seconds that it lives unused.
    interval: int
    #: When the request that created it began.
    born: float = 0.0
    ids: list[str] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    views: list[View] = field(default_factory=list)

    def add(self, deed: Deed) -> None:
        """Note a deed."""
        lists: dict[type[Deed], list[Any]] = {
            Write: self.writes,
            Sweep: self.sweeps,
            Append: self.appends,
            End: self.ends,
            Move: self.moves,
        }
        lists[type(deed)].append(deed)


class Journal:
    """All lineages of a history.

    Args:
        ids: reads ids.
        interval: seconds that a session lives unused.
    """

    def __init__(self, ids: IdFactory, interval: int) -> None:
        self._ids = ids
        self._interval = interval
        self.lineages: list[Lineage] = []
        self.by_id: dict[str, Lineage] = {}
        #: Storage key -> id.
        self.by_key: dict[str, str] = {}
        #: Ids that no server made.
        self.forged: set[str] = set()
        #: What no promise allows, seen while the history ran.
        self.violations: list[str] = []
        self.requests = 0
        self.failed = 0
        #: Requests that could not have the session's lock, or lost it.
        self.refused = 0

    def born(self, client: str, session_id: str, when: float) -> Lineage:
        """Note a new session."""
        lineage = Lineage(client, self._interval, when)
        self.lineages.append(lineage)
        if session_id in self.forged or session_id in self.by_id:
            self.violations.append(f"promise 1: {client} was given an id that was there before")
        self.named(lineage, session_id)
        return lineage

    def named(self, lineage: Lineage, session_id: str) -> None:
        """Note a session's new id."""
        lineage.ids.append(session_id)
        self.by_id[session_id] = lineage
        parsed = self._ids.parse(session_id)
        if isinstance(parsed, SessionId):
            self.by_key[parsed.key] = session_id
