"""One transaction: changes that depend on what was read take effect exactly once.

One copy, named in the record, decides by compare-and-swap; the others follow. Whether an attempt whose answer was lost
has taken effect is told by the record, which remembers the last transactions of its line.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import StoreUnavailableError
from ..record import Changes, Record, contains, remember
from .commands import Failed, Refused, Stored
from .outcomes import Absent, Authority, Loaded
from .store import Store


class Again(NamedTuple):
    """Somebody else came first, or nobody knows who did: run the function on this."""

    loaded: Loaded


class Transaction:
    """The attempts of one transaction.

    Args:
        store: where the session lies.
        now: seconds since the epoch.
    """

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        # Writers of attempts that may have been stored, or may still be.
        self._doubts: list[int] = []
        self._attempts = 0

    def decide(self, loaded: Loaded, changes: Changes, *, remembered: bool = True) -> Loaded | Absent | Again:
        """Store changes that depend on what was read: all of them, once, or nothing.

        Returns the session with the changes; `Again` when they must be made anew on another record; `Absent` when the
        session is gone, before or after they were stored.

        Args:
            loaded: the session as read.
            changes: what to store.
            remembered: False: they do no harm when they are made twice, so the record need not remember them.

        Raises:
            StoreUnavailableError: fewer copies than required took it, or none could be asked; it may have been stored.
        """
        standing = self._store.standing(loaded)
        if standing != loaded.record and not standing.state:
            return self._anew(Loaded(standing, loaded.copies, loaded.at))
        authority = None if standing.state else self._store.authority(loaded, standing)
        if authority is None:
            return self._again(loaded)
        stamp = self._store.stamp(authority.base)
        record = self._store.adding(changes, stamp)(authority.base)
        if remembered:
            record = remember(record, stamp.writer, self._now)
        answer = loaded.copies.write_one(authority.node, record)
        if isinstance(answer, Stored):
            return self._spread(loaded, authority, record, stamp.writer)
        if isinstance(answer, Refused):
            # Alive, but without room: out of the running for this request, so that another copy takes over.
            return self._elsewhere(loaded, changes, answer, remembered=remembered)
        if isinstance(answer, Failed):
            self._doubts.append(stamp.writer)
        return self._again(loaded)

    def _elsewhere(
        self, loaded: Loaded, changes: Changes, refused: Refused, *, remembered: bool
    ) -> Loaded | Absent | Again:
        if self._store.authority(loaded, loaded.record) is None:
            raise StoreUnavailableError("cannot save the session", {"every copy": refused.reason})
        return self.decide(loaded, changes, remembered=remembered)

    def _again(self, loaded: Loaded) -> Loaded | Absent | Again:
        """Load again, wherever the session is now; an attempt in doubt that turns out to be stored was the one."""
        self._store.pause(self._attempts)
        self._attempts += 1
        fresh = self._store.glance(loaded.key)
        return fresh if isinstance(fresh, Absent) else self._anew(fresh)

    def _anew(self, fresh: Loaded) -> Loaded | Absent | Again:
        if not self._is_in(fresh.record):
            return Again(fresh)
        if fresh.copies.hold(fresh.record):
            return fresh
        # It may stand on one copy only, and somebody who does not reach that begin an epoch without it.
        settled = self._store.spread(fresh, fresh.record)
        if settled.state:
            return self._again(fresh)
        after = Loaded(settled, fresh.copies, fresh.at)
        return after if self._is_in(settled) else Again(after)

    def _is_in(self, record: Record) -> bool:
        return any(contains(record, writer) for writer in self._doubts)

    def _spread(self, loaded: Loaded, authority: Authority, record: Record, writer: int) -> Loaded | Absent | Again:
        """Bring the other copies to what the decider took, and see whether it was still the decider."""
        settled = self._store.spread(loaded, record, [authority.node])
        if settled.state:
            # It ended or moved after the decision. A move has taken the changes along, or else they were outranked.
            self._doubts.append(writer)
            return self._again(loaded)
        after = Loaded(settled, loaded.copies, loaded.at)
        if settled.decider[0] == record.decider[0] or contains(settled, writer):
            return after
        # A new epoch began meanwhile, and its line does not know this transaction.
        self._doubts.append(writer)
        return Again(after)
