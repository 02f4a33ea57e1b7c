"""The replicated store: what may be done with a stored session, each verb one protocol over its copies.

The embedded store is this same class over one in-process node. Not found, ended and moved are values (`Absent`);
only infrastructure faults raise.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..errors import StoreUnavailableError
from ..record import MOVE_GRACE, Changes, Record, Stamp, State, apply, holds, life, merge, tombstone
from .commands import Delete, Failed, Refused, Stored
from .copies import Cluster, Copies, read_together
from .ring import key_position

#: Seconds after which what was loaded is too old to be written over without loading again.
STALE_AFTER = 60
#: Added to the version of whoever takes over the decision of transactions: outranks what the former decider's node
#: may still accept from those who have not heard.
TAKEOVER = 1 << 20


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


@dataclass
class Loaded:
    """A live session as this request read it."""

    record: Record
    copies: Copies
    #: When it was read, in seconds since the epoch.
    at: float

    @property
    def key(self) -> str:
        """Its storage key."""
        return self.copies.key

    @property
    def last_accessed(self) -> float:
        """When the session was last used before this request, in seconds since the epoch."""
        return min(
            self.at,
            max(
                self.at - (life(self.record.max_inactive_interval) - self.copies.remaining),
                self.record.created,
            ),
        )


class Again(NamedTuple):
    """Somebody else came first: nothing was stored; run the transaction's function on this."""

    loaded: Loaded


class Location(NamedTuple):
    """Where a session lies."""

    #: Its point on the ring, 0 to below 1.
    point: float
    #: Names of the nodes that hold its copies, first copy first.
    copies: tuple[str, ...]


class Store:
    """Sessions on a ring of nodes.

    Args:
        cluster: the nodes and how to speak with them.
        default_interval: the usual max inactive interval in seconds (0: never expires), with which a load prolongs.
    """

    def __init__(self, cluster: Cluster, default_interval: int) -> None:
        self._cluster = cluster
        self._default_interval = default_interval

    # -- load and create -------------------------------------------------------------------------------------------

    def load(self, key: str, *, slide: bool = True) -> Loaded | Absent:
        """Read a session and, with `slide`, start its idle time anew, in one round trip.

        Raises:
            StoreUnavailableError: no node that could know has answered.
        """
        return next(self.load_each([key], slide=slide))

    def load_each(self, keys: Sequence[str], *, slide: bool = True) -> Iterator[Loaded | Absent]:
        """Yield what `load` returns for each key; the first question about all of them takes one trip together.

        Raises:
            StoreUnavailableError: as for `load`, when it comes to the key in question.
        """
        asked = life(self._default_interval) if slide else None
        each = [Copies(self._cluster, key) for key in keys]
        if len(each) > 1:
            read_together(self._cluster, each, asked)
        for copies in each:
            yield self._load(copies, asked)

    def _load(self, copies: Copies, asked: int | None) -> Loaded | Absent:
        record = copies.read(asked)
        if record is None or self._outlived(record):
            return UNKNOWN
        copies.repair(record)
        ttl = self._cluster.ttl(record)
        if asked is not None and ttl != asked:
            copies.prolong(ttl)
        return self._absent(record) if record.state else Loaded(record, copies, self._cluster.clock())

    def create(self, key: str, changes: Changes, interval: int) -> Loaded:
        """Store a new session; nobody can have used its key before.

        Raises:
            StoreUnavailableError, SessionTooLargeError: it was not stored.
        """
        copies = Copies(self._cluster, key)
        copies.assume_empty()
        decider = (1, next(iter(copies.current()), ""))
        blank = Record(self._now(), (interval, 1, 0), life(interval), decider=decider)
        record = copies.write(blank, self._adding(changes, self._stamp(blank)))
        return Loaded(record, copies, self._cluster.clock())

    def locate(self, key: str) -> Location:
        """Say where the record of a key lies now.

        Raises:
            StoreUnavailableError: no node that could know has answered.
        """
        copies = Copies(self._cluster, key)
        copies.read(None)
        return Location(key_position(key), tuple(node for node in copies.current() if copies.holds(node)))

    # -- change ----------------------------------------------------------------------------------------------------

    def commit(self, loaded: Loaded, changes: Changes) -> Loaded | Absent:
        """Merge one request's changes into every copy. What others wrote meanwhile stays.

        A session that has ended meanwhile stays ended; one that has moved takes the changes under its new key.

        Raises:
            StoreUnavailableError, SessionTooLargeError: it was not stored, or not on enough copies.
        """
        return self._commit(loaded, changes, self._stamp(loaded.record))

    def _commit(self, loaded: Loaded, changes: Changes, stamp: Stamp) -> Loaded | Absent:
        fresh = self._fresh(loaded)
        if isinstance(fresh, Absent):
            return self._follow(fresh, changes, stamp)
        record = fresh.copies.write(fresh.record, self._adding(changes, stamp))
        if record.state:
            return self._follow(self._absent(record), changes, stamp)
        return Loaded(record, fresh.copies, self._cluster.clock())

    def decide(self, loaded: Loaded, changes: Changes) -> Loaded | Absent | Again:
        """Store changes that depend on what was read: all of them, once, or nothing.

        One copy, named in the record, decides by compare-and-swap; the others follow. While that node is away another
        takes over, with an epoch of its own, by the same compare-and-swap.

        Raises:
            StoreUnavailableError: it was not stored on enough copies, or nobody can say whether it was.
        """
        standing = loaded.copies.merged(loaded.record)
        if standing.state:
            return self._absent(standing)
        if standing != loaded.record:
            return Again(Loaded(standing, loaded.copies, loaded.at))
        node, base, stamp = self._decider(loaded)
        record = self._adding(changes, stamp)(base)
        answer = loaded.copies.write_one(node, record)
        if isinstance(answer, Stored):
            return self._spread(loaded, node, record, changes, stamp)
        if isinstance(answer, Refused):
            raise StoreUnavailableError("cannot save the session", {node: answer.reason})
        fresh = self.load(loaded.key, slide=False)
        if isinstance(fresh, Absent):
            return fresh
        if isinstance(answer, Failed):
            return self._settle_doubt(loaded, fresh, changes, stamp)
        return Again(fresh)

    def _decider(self, loaded: Loaded) -> tuple[str, Record, Stamp]:
        record, stamp = loaded.record, self._stamp(loaded.record)
        epoch, node = record.decider
        if loaded.copies.holds(node):
            return node, record, stamp
        holders = [node for node in loaded.copies.current() if loaded.copies.holds(node)]
        if not holders:
            raise StoreUnavailableError("no copy of the session can decide a transaction")
        self._cluster.stats.count("takeovers")
        return (
            holders[0],
            record._replace(decider=(epoch + 1, holders[0])),
            stamp._replace(version=stamp.version + TAKEOVER),
        )

    def _spread(
        self, loaded: Loaded, node: str, record: Record, changes: Changes, stamp: Stamp
    ) -> Loaded | Absent | Again:
        """Bring the other copies to what the decider took, and see whether it was still the decider."""
        settled = loaded.copies.write(record, lambda base: base, taken=[node])
        if settled.state:
            return self._absent(settled)  # it ended or moved after the decision, and took it along
        after = Loaded(settled, loaded.copies, self._cluster.clock())
        if settled.decider[0] > record.decider[0]:
            return self._settle_takeover(after, changes, stamp)
        return after

    def _settle_takeover(self, after: Loaded, changes: Changes, stamp: Stamp) -> Loaded | Again:
        """Another took the decision over meanwhile: what it wrote outranks ours, where both wrote."""
        kept = [holds_name(after.record, name, stamp) for name in (*changes.values, *changes.deleted)]
        if all(kept):
            return after
        if any(kept):
            raise StoreUnavailableError("unknown whether the transaction was stored: two nodes decided")
        return Again(after)

    def _settle_doubt(self, loaded: Loaded, fresh: Loaded, changes: Changes, stamp: Stamp) -> Loaded | Again:
        """The decider never answered: its copy tells whether it took the record."""
        if holds(fresh.record, stamp):
            return fresh
        names = (*changes.values, *changes.deleted)
        if all(fresh.record.entries.get(name) == loaded.record.entries.get(name) for name in names):
            return Again(fresh)
        raise StoreUnavailableError(
            "unknown whether the transaction was stored: its node failed and others wrote since"
        )

    # -- end and move ----------------------------------------------------------------------------------------------

    def end(self, loaded: Loaded) -> None:
        """End a session for good: a tombstone on every copy outlives whatever could bring it back.

        Raises:
            StoreUnavailableError: fewer copies than required have taken the tombstone.
        """
        fresh = self._fresh(loaded)
        if isinstance(fresh, Absent):
            self._end_moved(fresh)
            return
        self._bury(fresh)

    def _bury(self, loaded: Loaded) -> None:
        moved_to = ""

        def ended(base: Record) -> Record:
            nonlocal moved_to
            moved_to = base.moved_to or moved_to
            return base if base.state is State.ENDED else tombstone(base, State.ENDED, self._now())

        loaded.copies.write(loaded.record, ended, loaded.copies.known())
        self._cluster.transport.ask([(node, Delete(loaded.key)) for node in loaded.copies.strangers()])
        if moved_to:
            self._end_moved(Absent(Absence.MOVED, moved_to))

    def _end_moved(self, absent: Absent) -> None:
        """A log-out that comes late, under the old id, ends the session where it is now."""
        if absent.why is Absence.MOVED:
            target = self.load(absent.moved_to, slide=False)
            if isinstance(target, Loaded):
                self.end(target)

    def move(self, loaded: Loaded, new_key: str, changes: Changes) -> Loaded | Absent:
        """Carry a session to a new key: the new record first, then the mark "moved" in place of the old one.

        `Absent` means that another request moved or ended the session first; a mover's changes follow it.

        Raises:
            StoreUnavailableError, SessionTooLargeError: the session is still under its old key.
        """
        stamp = self._stamp(loaded.record)
        fresh = self._fresh(loaded)
        if isinstance(fresh, Absent):
            return self._follow(fresh, changes, stamp)
        mover = self._moving(changes, stamp.writer)
        target = self._open_target(fresh, new_key, mover)
        closed = self._close_source(fresh, target, mover)
        if isinstance(closed, Absent):
            self._bury(target)
            return self._follow(closed, changes, stamp)
        return target

    def _moving(self, changes: Changes, writer: int) -> Callable[[Record], Record]:
        """What the mover sets (a log-in) outranks whatever stands there and every request in flight."""
        now = self._now()
        return lambda base: base if base.state else apply(base, changes, Stamp(base.version + 2, writer), now)

    def _open_target(self, source: Loaded, new_key: str, mover: Callable[[Record], Record]) -> Loaded:
        copies = Copies(self._cluster, new_key)
        copies.assume_empty()
        blank = source.record._replace(decider=(1, next(iter(copies.current()), "")))
        return Loaded(copies.write(blank, mover), copies, self._cluster.clock())

    def _close_source(self, source: Loaded, target: Loaded, mover: Callable[[Record], Record]) -> Absent | None:
        """Put "moved" on the old key's copies, each time only over what the new record already contains."""

        def closing(base: Record) -> Record:
            if base.state:
                return base
            self._carry(base, target, mover)
            return tombstone(base, State.MOVED, self._now(), target.key)

        settled = source.copies.write(source.record, closing, self._decider_first(source), first_alone=True)
        if settled.moved_to != target.key:
            return self._absent(settled)
        return None

    def _decider_first(self, loaded: Loaded) -> list[str]:
        """Where a move is decided is where transactions are: what was accepted there is carried over."""
        node = loaded.record.decider[1]
        return sorted(loaded.copies.current(), key=lambda name: name != node)

    def _carry(self, base: Record, target: Loaded, mover: Callable[[Record], Record]) -> None:
        """Make the new record contain what was written to the old one since it was read."""
        carried = base._replace(decider=target.record.decider)
        if merge(carried, target.record) != target.record:
            target.record = target.copies.write(merge(carried, target.record), mover)

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _follow(self, absent: Absent, changes: Changes, stamp: Stamp) -> Absent:
        """Bring changes made under an old id to where the session is now; drop them when it has ended.

        They keep their stamp: what the mover set outranks them.
        """
        if absent.why is not Absence.MOVED or not changes:
            return absent
        target = self.load(absent.moved_to, slide=False)
        if isinstance(target, Loaded):
            self._commit(target, changes, stamp)
        return absent

    def _fresh(self, loaded: Loaded) -> Loaded | Absent:
        """Return `loaded`, read again when it is old: its copies may have expired, and tombstones with them."""
        age = self._cluster.clock() - loaded.at
        if 0 <= age <= min(STALE_AFTER, life(loaded.record.max_inactive_interval) / 2):
            return loaded
        return self.load(loaded.key, slide=False)

    def _adding(self, changes: Changes, stamp: Stamp) -> Callable[[Record], Record]:
        now = self._now()
        return lambda base: base if base.state else apply(base, changes, stamp, now)

    def _stamp(self, record: Record) -> Stamp:
        return Stamp(record.version + 1, secrets.randbits(63))

    def _absent(self, record: Record) -> Absent:
        if record.state is State.MOVED:
            return Absent(Absence.MOVED, record.moved_to, self._now() - record.closed < MOVE_GRACE)
        return Absent(Absence.ENDED)

    def _outlived(self, record: Record) -> bool:
        limit = self._cluster.max_lifetime
        return limit is not None and not record.state and record.created + limit <= self._now()

    def _now(self) -> int:
        return int(self._cluster.clock())


def holds_name(record: Record, name: str, stamp: Stamp) -> bool:
    """Say whether an attribute stands as that writer left it."""
    entry = record.entries.get(name)
    return entry is not None and entry.writer == stamp.writer
