"""A session's way to another storage key: the new record first, then the mark "moved" in place of the old one.

The mark is decided as transactions are, and only over what the new record contains: so nothing is lost on the way, and
of two that move a session at once one wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import StoreUnavailableError
from ..record import Changes, Record, Stamp, State, apply, new_epoch, tombstone
from .commands import Refused, Stored
from .copies import Copies
from .outcomes import Absent, Authority, Loaded
from .settle import ATTEMPTS, random_step, settle
from .store import Store, is_void

#: Called with what is about to be replaced; may raise.
Guard = Callable[[Record], None]


def move(store: Store, loaded: Loaded, new_key: str, changes: Changes, guard: Guard | None = None) -> Loaded | Absent:
    """Carry a session to a new key.

    `Absent` means that another request moved or ended the session first; a mover's changes follow it.

    Args:
        store: where the session lies.
        loaded: the session as last read.
        new_key: its new storage key.
        changes: what the mover sets.
        guard: called with what is about to be replaced; may raise. Changes of a guarded move do not follow.

    Raises:
        StoreUnavailableError, SessionTooLargeError: the session is still under its old key.
    """
    stamp = store.stamp(loaded.record)
    fresh = store.fresh(loaded)
    outcome = fresh if isinstance(fresh, Absent) else _Move(store, fresh, new_key, changes, stamp.writer).run(guard)
    if guard or isinstance(outcome, Loaded):
        return outcome
    return store.follow(outcome, changes, stamp)


class _Move:
    """One move: the record under the old key and the one under the new key, which comes to contain it."""

    def __init__(self, store: Store, source: Loaded, new_key: str, changes: Changes, writer: int) -> None:
        self._store = store
        self._source = source
        self._changes = changes
        self._writer = writer
        self._now = store.now()
        self._target = self._open_target(new_key)

    def run(self, guard: Guard | None) -> Loaded | Absent:
        if self._target.record.state:
            return self._store.absent(self._target.record)  # ended before it began: all of its principal's were
        lost = self._close_source(guard)
        if lost is None:
            return self._target
        self._store.bury(self._target)
        return lost

    def _outrank(self, base: Record) -> Record:
        """What the mover sets (a log-in) outranks whatever stands there and every request in flight."""
        stamp = Stamp(base.version + 2, self._writer, base.cleared)
        return base if base.state else apply(base, self._changes, stamp, self._now)

    def _open_target(self, key: str) -> Loaded:
        cluster = self._store.cluster
        copies = Copies(cluster, key)
        copies.assume_empty()
        blank = new_epoch(self._source.record, next(iter(copies.current()), ""), random_step())
        return Loaded(settle(cluster, copies, blank, self._outrank), copies, cluster.clock())

    def _close_source(self, guard: Guard | None) -> Absent | None:
        """Put "moved" on the old key: decided as transactions are, and only over what the new record contains."""
        for _ in range(ATTEMPTS):
            standing = self._store.standing(self._source)
            if standing.state:
                return self._finish(standing)
            authority = self._store.authority(self._source, standing)
            if authority is not None:
                if guard is not None:
                    guard(authority.base)
                mark = self._mark(authority)
                answer = self._source.copies.write_one(authority.node, mark)
                if isinstance(answer, Stored):
                    return self._mark_others(mark, [authority.node])
                if isinstance(answer, Refused):
                    continue  # without room: out of the running, another copy decides
            found = self._read_again()
            if isinstance(found, Absent):
                return found
            self._source = found
        raise StoreUnavailableError("the session could not be moved: others kept changing it")

    def _mark(self, authority: Authority) -> Record:
        """Return the mark, once the new record contains what it is about to replace."""
        self._carry(authority.base)
        return tombstone(authority.base, State.MOVED, self._store.now(), self._target.key)

    def _read_again(self) -> Loaded | Absent:
        """Return what stands under the old key now: its own mark too, when the answer to that was lost."""
        found = self._store.load(self._source.key, slide=False)
        if isinstance(found, Absent) and found.moved_to == self._target.key:
            return self._store.look(self._source.key)
        return found

    def _finish(self, mark: Record) -> Absent | None:
        """Go on from a mark that was found: another's, or its own, when the answer to it was lost."""
        if mark.moved_to != self._target.key:
            found = self._store.load(self._source.key, slide=False)
            return found if isinstance(found, Absent) else self._store.absent(mark)
        left = self._source.copies.live()
        if left is not None and not is_void(left, mark):
            self._carry(left)
        return self._mark_others(mark)

    def _mark_others(self, mark: Record, taken: Sequence[str] = ()) -> Absent | None:
        def carry(found: Record) -> None:
            if not found.state and not is_void(found, mark):
                self._carry(found)

        cluster, copies = self._store.cluster, self._source.copies
        return self._lost(settle(cluster, copies, mark, lambda base: base, taken=taken, on_read=carry))

    def _carry(self, found: Record) -> None:
        self._store.carry(found, self._target, self._outrank)

    def _lost(self, settled: Record) -> Absent | None:
        return None if settled.moved_to == self._target.key else self._store.absent(settled)
