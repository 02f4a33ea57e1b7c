"""The replicated store: what may be done with a stored session, each verb one protocol over its copies.

The embedded store is this same class over one in-process node. Not found, ended and moved are values (`Absent`);
only infrastructure faults raise.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..record import (
    MOVE_GRACE,
    OWN,
    WRITER,
    Changes,
    Record,
    Stamp,
    State,
    apply,
    life,
    merge,
    new_epoch,
    stamp_after,
    tombstone,
)
from ..stats import logger
from .cluster import Cluster
from .commands import Delete
from .copies import Copies, Standing, read_together
from .outcomes import UNKNOWN, Absence, Absent, Authority, Loaded, Location
from .ring import key_position
from .settle import Change, random_step, repair, settle

#: Seconds after which what was loaded is too old to be written over without loading again.
STALE_AFTER: Final = 60
#: Moves of one session that are followed: more can hardly happen during one request.
MOST_MOVES = 20


class Store:
    """Sessions on a ring of nodes.

    Args:
        cluster: the nodes and how to speak with them.
        default_interval: the usual max inactive interval in seconds (0: never expires), with which a load prolongs.
    """

    def __init__(self, cluster: Cluster, default_interval: int) -> None:
        #: The nodes and how to speak with them.
        self.cluster = cluster
        self._default_interval = default_interval

    # -- load and create -------------------------------------------------------------------------------------------

    def load(self, key: str, *, slide: bool = True, mends: bool = True) -> Loaded | Absent:
        """Read a session and, with `slide`, start its idle time anew, in one round trip.

        Args:
            key: storage key.
            slide: start its idle time anew.
            mends: repair copies that merely differ; False: for who is going to write them all anyway, or looks often.

        Raises:
            StoreUnavailableError: no node that could know has answered.
        """
        asked = life(self._default_interval) if slide else None
        return self._load(Copies(self.cluster, key), asked, touched=True, mends=mends)

    def load_each(self, keys: Sequence[str], *, slide: bool = True, mends: bool = True) -> Iterator[Loaded | Absent]:
        """Yield what `load` returns for each key; the first question about all of them takes one trip together.

        Args:
            keys: storage keys.
            slide: start the idle time of what is found anew.
            mends: see `load`.

        Raises:
            StoreUnavailableError: as for `load`, when it comes to the key in question.
        """
        if len(keys) == 1:
            yield self.load(keys[0], slide=slide, mends=mends)
            return
        asked = life(self._default_interval) if slide else None
        each = [Copies(self.cluster, key) for key in keys]
        # Prolongs none of them: only the one that is taken, and tombstones, have a life to be prolonged.
        read_together(self.cluster, each)
        for copies in each:
            yield self._load(copies, asked, touched=False, mends=mends)

    def _load(self, copies: Copies, asked: int | None, *, touched: bool, mends: bool) -> Loaded | Absent:
        record = copies.read(asked if touched else None)
        if record is None or self._outlived(record):
            return UNKNOWN
        if not copies.whole or record.state:
            record = self._mended(copies, record, keeps=asked is None and not record.state, mends=mends)
        if asked is not None:
            ttl = self.cluster.ttl(record)
            if ttl != asked or not touched:
                copies.prolong(ttl)
        return self.absent(record) if record.state else Loaded(record, copies, self.cluster.clock())

    def _mended(self, copies: Copies, record: Record, *, keeps: bool, mends: bool) -> Record:
        if record.state is State.MOVED:
            self.rescue(copies.live(), record)
        if mends or record.state or not all(map(copies.readable, copies.current())):
            ttl = max(copies.remaining, 1) if keeps else None
            return repair(self.cluster, copies, record, self.rescuing(record), ttl)
        return record

    def look(self, key: str) -> Loaded | Absent:
        """Read a record as it is, a mark too, and mend nothing.

        Raises:
            StoreUnavailableError: as for `load`.
        """
        copies = Copies(self.cluster, key)
        record = copies.read(None)
        if record is None or self._outlived(record):
            return UNKNOWN
        return Loaded(record, copies, self.cluster.clock())

    def glance(self, key: str) -> Loaded | Absent:
        """Do what `find` does, but leave copies that merely differ as they are: for those who look again and again.

        Raises:
            StoreUnavailableError: as for `load`.
        """
        found = self.load(key, slide=False, mends=False)
        return self._trace(found) if isinstance(found, Absent) else found

    def find(self, key: str) -> Loaded | Absent:
        """Load a session wherever it has moved to; its idle time goes on.

        Raises:
            StoreUnavailableError: as for `load`.
        """
        found = self.load(key, slide=False)
        return self._trace(found) if isinstance(found, Absent) else found

    def _trace(self, absent: Absent) -> Loaded | Absent:
        found: Loaded | Absent = absent
        for _ in range(MOST_MOVES):
            if isinstance(found, Loaded) or found.why is not Absence.MOVED:
                break
            found = self.load(found.moved_to, slide=False)
        return found

    def rescue(self, left: Record | None, mark: Record) -> None:
        """Carry over what is left under an old key before the mark "moved" covers it.

        It was written by one who could not reach the copies that had the mark already.
        """
        if left is None or left.state or is_void(left, mark):
            return
        target = self.find(mark.moved_to)
        if isinstance(target, Loaded):
            self.carry(left, target, lambda base: base)

    def rescuing(self, known: Record) -> Callable[[Record], None]:
        """Return what is to be called with each record that a copy is found to hold while others are brought to one.

        Where one holds the mark "moved", what others hold is carried over before the mark covers it: the mover may not
        have seen it yet, and whoever wrote it may have got its answer.

        Args:
            known: what was read before.
        """
        left, marks = [known], [known] if known.state is State.MOVED else []

        def on_read(found: Record) -> None:
            (marks if found.state is State.MOVED else left).append(found)
            while marks and left:
                self.rescue(left.pop(), marks[0])

        return on_read

    def create(self, key: str, changes: Changes, interval: int) -> Loaded:
        """Store a new session; nobody can have used its key before.

        Raises:
            StoreUnavailableError, SessionTooLargeError: it was not stored.
        """
        copies = Copies(self.cluster, key)
        copies.assume_empty()
        decider = (1, next(iter(copies.current()), ""))
        blank = Record(self.now(), (interval, 1, 0), life(interval), decider=decider)
        record = settle(self.cluster, copies, blank, self.adding(changes, self.stamp(blank)))
        return Loaded(record, copies, self.cluster.clock())

    def locate(self, key: str) -> Location:
        """Say where the record of a key lies now.

        Raises:
            StoreUnavailableError: no node that could know has answered.
        """
        copies = Copies(self.cluster, key)
        copies.read(None)
        return Location(key_position(key), tuple(node for node in copies.current() if copies.readable(node)))

    # -- change ----------------------------------------------------------------------------------------------------

    def commit(self, loaded: Loaded, changes: Changes, *, stale: bool = False) -> Loaded | Absent:
        """Merge one request's changes into every copy. What others wrote meanwhile stays.

        A session that has ended meanwhile stays ended; one that has moved takes the changes under its new key.

        Args:
            loaded: the session as the request read it.
            changes: what it changed.
            stale: others have certainly written since.

        Raises:
            StoreUnavailableError, SessionTooLargeError: it was not stored, or not on enough copies.
        """
        return self._commit(loaded, changes, self.stamp(loaded.record), stale=stale)

    def _commit(self, loaded: Loaded, changes: Changes, stamp: Stamp, *, stale: bool = False) -> Loaded | Absent:
        fresh = self.fresh(loaded, stale=stale)
        if isinstance(fresh, Absent):
            return self.follow(fresh, changes, stamp)
        change = self._noticing(loaded.record, changes, stamp)
        record = settle(self.cluster, fresh.copies, fresh.record, change, on_read=self.rescuing(fresh.record))
        if record.state:
            return self.follow(self.absent(record), changes, stamp)
        return Loaded(record, fresh.copies, self.cluster.clock())

    # -- end -----------------------------------------------------------------------------------------------------

    def end(self, loaded: Loaded) -> None:
        """End a session for good: a tombstone on every copy outlives whatever could bring it back.

        Raises:
            StoreUnavailableError: fewer copies than required have taken the tombstone.
        """
        fresh = self.fresh(loaded)
        if isinstance(fresh, Absent):
            self._end_moved(fresh)
            return
        self.bury(fresh)

    def bury(self, loaded: Loaded) -> None:
        """Put the mark "ended" on every copy of a record that was just read."""
        moved_to = ""

        def ended(base: Record) -> Record:
            nonlocal moved_to
            moved_to = base.moved_to or moved_to
            return base if base.state is State.ENDED else tombstone(base, State.ENDED, self.now())

        settle(self.cluster, loaded.copies, loaded.record, ended, nodes=loaded.copies.known())
        self.cluster.transport.ask([(node, Delete(loaded.key)) for node in loaded.copies.strangers()])
        if moved_to:
            self._end_moved(Absent(Absence.MOVED, moved_to))

    def _end_moved(self, absent: Absent) -> None:
        """A log-out that comes late, under an old id, ends the session where it is now."""
        target = self._trace(absent)
        if isinstance(target, Loaded):
            self.end(target)

    def carry(self, found: Record, target: Loaded, mover: Change) -> None:
        """Make the new record contain what was written to the old one since it was read."""
        carried = found._replace(decider=target.record.decider)
        if merge(carried, target.record) != target.record:
            target.record = settle(self.cluster, target.copies, merge(carried, target.record), mover)

    def spread(self, loaded: Loaded, record: Record, taken: Sequence[str] = ()) -> Record:
        """Bring all copies to what has been decided, those that have `taken` it excepted; return what stands.

        Raises:
            StoreUnavailableError: fewer copies than required have it.
        """
        rescue = self.rescuing(record)
        return settle(self.cluster, loaded.copies, record, lambda base: base, taken=taken, on_read=rescue)

    def pause(self, attempt: int) -> None:
        """Wait a little before trying again."""
        self.cluster.pause(attempt)

    # -- who decides -----------------------------------------------------------------------------------------------

    def standing(self, loaded: Loaded) -> Record:
        """Return what all copies say together, that of the deciding node included.

        While node lists change it may not be among the first any more. It decides nevertheless: those who have not
        heard of the change write there, and not where another would take over.
        """
        loaded.copies.consult(loaded.record.decider[1])
        return loaded.copies.merged(loaded.record)

    def authority(self, loaded: Loaded, standing: Record) -> Authority | None:
        """Return the copy that decides what must happen once; None: load again, the deciding copy is unread.

        The record names it. While its node is away, the first copy that is there takes over in a new epoch, which
        outranks whatever the former decider's node may still accept from those who have not heard.
        """
        node = standing.decider[1]
        known = loaded.copies.standing(node)
        if known is Standing.HOLDS:
            return Authority(node, standing)
        holders = [name for name in loaded.copies.current() if loaded.copies.standing(name) is Standing.HOLDS]
        if known is Standing.UNREAD or not holders:
            return None
        self.cluster.stats.count("takeovers")
        return Authority(holders[0], new_epoch(standing, holders[0], random_step()))

    # -- helpers ---------------------------------------------------------------------------------------------------

    def follow(self, absent: Absent, changes: Changes, stamp: Stamp) -> Absent:
        """Bring changes made under an old id to where the session is now; drop them when it has ended.

        They keep their stamp: what the mover set outranks them.
        """
        if absent.why is not Absence.MOVED or changes.empty:
            return absent
        target = self._trace(absent)
        if isinstance(target, Loaded):
            self._commit(target, changes, stamp)
        return absent

    def fresh(self, loaded: Loaded, *, stale: bool = False) -> Loaded | Absent:
        """Return `loaded`, read again when it is old: its copies may have expired, and tombstones with them."""
        if stale:
            return self.load(loaded.key, slide=False, mends=False)
        age = self.cluster.clock() - loaded.at
        if 0 <= age <= min(STALE_AFTER, life(loaded.record.max_inactive_interval) / 2):
            return loaded
        return self.load(loaded.key, slide=False)

    def adding(self, changes: Changes, stamp: Stamp) -> Change:
        """Return the function that merges changes into a record, unless that is no longer live."""
        now = self.now()
        return lambda base: base if base.state else apply(base, changes, stamp, now)

    def _noticing(self, known: Record, changes: Changes, stamp: Stamp) -> Change:
        """Return the same, which also notices what others have written to these attributes since `known` was read."""
        add = self.adding(changes, stamp)
        noticed: set[str] = set()

        def change(base: Record) -> Record:
            if base is not known:
                self.notice(known, base, changes, noticed, stamp.writer)
            return add(base)

        return change

    def notice(self, known: Record, found: Record, changes: Changes, noticed: set[str], writer: int = 0) -> None:
        """Count, and name at debug level, attributes to be written that others have written since `known` was read.

        Args:
            known: what was read.
            found: what stands now.
            changes: what is to be written.
            noticed: names that were counted already; grows.
            writer: who is not another.
        """
        for name in {*changes.values, *changes.deleted} - noticed:
            entry = found.entries.get(name)
            if name.startswith(OWN) or entry is None or entry == known.entries.get(name) or entry[WRITER] == writer:
                continue
            noticed.add(name)
            self.cluster.stats.count("overwrites")
            logger.debug("two requests wrote session attribute %r at the same time; one value stands", name)

    def stamp(self, record: Record) -> Stamp:
        """Return the stamp of a change by one who has read `record`."""
        return stamp_after(record, secrets.randbits(63))

    def absent(self, record: Record) -> Absent:
        """Return what a record that is no longer live means."""
        if record.state is State.MOVED:
            recently = self.now() - record.closed < MOVE_GRACE
            return Absent(Absence.MOVED, record.moved_to, recently=recently)
        return Absent(Absence.ENDED)

    def _outlived(self, record: Record) -> bool:
        limit = self.cluster.max_lifetime
        return limit is not None and not record.state and record.created + limit <= self.now()

    def now(self) -> int:
        """Return the time in whole seconds since the epoch."""
        return int(self.cluster.clock())


def is_void(found: Record, mark: Record) -> bool:
    """Say whether a live record is of an epoch before the mark's, so that it does not stand (see `record.merge`)."""
    return found.decider[0] < mark.decider[0]
