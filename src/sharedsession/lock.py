"""One request of a session at a time: a lock that lies in the session's own record and is decided as transactions are.

So it has the copies and the exactness of the session itself, and a lock that was lost is noticed by the commit, which
stands only while the record names its owner. No clocks are compared: who waits takes the lock of a holder that has
shown no sign of life for as long as a lease, by the waiter's own clock.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from .errors import SessionLockedError, StoreError
from .forking import renew_after_fork
from .memcached.outcomes import Absent, Loaded
from .memcached.store import Store
from .memcached.transaction import Again, Transaction
from .record import Changes, Record
from .stats import Stats

#: The attribute that holds it; the application never sees it.
LOCK = "\0lock"
#: Seconds without a sign of life after which a holder counts as dead.
LEASE = 5.0
#: Seconds between two signs of life.
RENEWAL = LEASE / 3
#: Compare-and-swaps that a commit under a lock may lose to requests that do without.
_ATTEMPTS = 200


class Holder(NamedTuple):
    """Who has a session's lock, and how often it has shown that it is alive."""

    owner: int
    beats: int


def holder_of(record: Record) -> Holder | None:
    """Return who has the lock, if anybody has."""
    entry = record.entries.get(LOCK)
    if entry is None or entry.payload is None:
        return None
    owner, beats = entry.payload.split()
    return Holder(int(owner), int(beats))


class SessionLock:
    """One request's hold on its session.

    Args:
        store: where the session lies.
        stats: counts `locks_waited`, `locks_refused`, `locks_taken_over`, `locks_lost`.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Store, stats: Stats, clock: Callable[[], float]) -> None:
        self._store = store
        self._stats = stats
        self._clock = clock
        self._owner = secrets.randbits(63)
        self._beats = 0
        # Storage key, and the last clear() that the holder has seen.
        self._key = ""
        self._cleared = 0
        self._held = threading.Event()

    @property
    def held(self) -> bool:
        """It has been acquired, and not released."""
        return self._held.is_set()

    def acquire(self, loaded: Loaded, timeout: float) -> Loaded | Absent:
        """Wait for the lock; return the session as it is then, or that it has ended.

        Args:
            loaded: the session as last read.
            timeout: seconds to wait at most.

        Raises:
            SessionLockedError: others had it all the time.
            StoreUnavailableError: the session cannot be read or saved.
        """
        found: Loaded | Absent = loaded
        attempts = self._attempts()
        wait = _Wait(timeout)
        while isinstance(found, Loaded):
            holder = holder_of(found.record)
            if holder is None or holder.owner == self._owner or wait.outlasted(holder):
                outcome = attempts.decide(found, self._sign())
                if isinstance(outcome, Loaded) and self._owns(outcome.record):
                    self._note(outcome, taken_over=holder is not None)
                    return outcome
                found = outcome.loaded if isinstance(outcome, Again) else outcome
                continue
            self._sit_out(found.key, wait)
            found = self._store.find(found.key)
        return found

    def _sit_out(self, key: str, wait: _Wait) -> None:
        """Wait until the lock looks free. Only looks: twenty that wait must not repair what the holder is writing."""
        holder: Holder | None = Holder(0, 0)
        while holder is not None and not wait.outlasted(holder):
            self._pause(wait)
            record = self._store.peek(key)
            holder = holder_of(record) if record is not None else None

    def confirm(self, loaded: Loaded) -> Loaded | Absent:
        """Make sure that the lock is still ours; same errors as `commit`."""
        return self.commit(loaded, self._sign())

    def commit(self, loaded: Loaded, changes: Changes) -> Loaded | Absent:
        """Store changes, if the lock is still ours; also with a change of the lock itself.

        Raises:
            SessionLockedError: it was lost; nothing is stored.
            StoreUnavailableError, SessionTooLargeError: it was not stored.
        """
        found = loaded
        attempts = self._attempts()
        if changes.cleared and LOCK not in changes.deleted:
            changes = changes._replace(values={**changes.values, **self._sign().values})
        for _ in range(_ATTEMPTS):
            if found.record.cleared != self._cleared:
                return found  # what was locked is no more: clear() by another request is final
            self._refuse_lost(found)
            outcome = attempts.decide(found, changes)
            if not isinstance(outcome, Again):
                return self._after(outcome, changes)
            found = outcome.loaded
        raise SessionLockedError("other requests kept changing the session without its lock")

    def _after(self, outcome: Loaded | Absent, changes: Changes) -> Loaded | Absent:
        if isinstance(outcome, Loaded):
            self._key, self._cleared = outcome.key, outcome.record.cleared
        if LOCK in changes.deleted:
            self._held.clear()
        return outcome

    def follow(self, loaded: Loaded) -> None:
        """Go on with the session under its new key."""
        self._key, self._cleared = loaded.key, loaded.record.cleared

    def release(self) -> None:
        """Let the next one in; nothing else of the request is stored. What cannot be released ends with its lease."""
        if not self.held:
            return
        with suppress(StoreError):
            found = self._store.find(self._key)
            if isinstance(found, Loaded):
                self.commit(found, Changes(deleted=frozenset([LOCK])))
        self._held.clear()

    def forget(self) -> None:
        """Note that the session has ended, and the lock with it."""
        self._held.clear()

    def renew(self) -> None:
        """Show a sign of life."""
        with suppress(StoreError):
            found = self._store.find(self._key)
            if isinstance(found, Loaded) and self.held and self._owns(found.record):
                self._attempts().decide(found, self._sign())

    def _owns(self, record: Record) -> bool:
        holder = holder_of(record)
        return holder is not None and holder.owner == self._owner

    def _attempts(self) -> Transaction:
        return Transaction(self._store, int(self._clock()))

    def _sign(self) -> Changes:
        self._beats += 1
        return Changes({LOCK: b"%d %d" % (self._owner, self._beats)})

    def _note(self, loaded: Loaded, *, taken_over: bool) -> None:
        self.follow(loaded)
        self._held.set()
        if taken_over:
            self._stats.count("locks_taken_over")
        _KEEPER.keep(self)

    def _pause(self, wait: _Wait) -> None:
        if wait.round == 0:
            self._stats.count("locks_waited")
        if not wait.goes_on():
            self._stats.count("locks_refused")
            raise SessionLockedError("other requests of the session have held its lock all the time")
        self._store.pause(min(wait.round, 4))

    def _refuse_lost(self, found: Loaded) -> None:
        if not self._owns(found.record):
            self._held.clear()
            self._stats.count("locks_lost")
            raise SessionLockedError("the session's lock was lost: no sign of life reached the store for a lease")


class _Wait:
    """How long one has waited, and for whom."""

    def __init__(self, timeout: float) -> None:
        self.round = 0
        self._until = time.monotonic() + timeout
        self._seen: Holder | None = None
        self._since = 0.0

    def outlasted(self, holder: Holder) -> bool:
        """Say whether this holder has shown no sign of life for a lease."""
        if holder != self._seen:
            self._seen, self._since = holder, time.monotonic()
        return time.monotonic() - self._since >= LEASE

    def goes_on(self) -> bool:
        """Count a round; say whether there is time left."""
        self.round += 1
        return time.monotonic() < self._until


class _Keeper:
    """Renews the locks of this process that are held for long, from a thread that is there only then."""

    def __init__(self) -> None:
        self._held: weakref.WeakSet[SessionLock] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._running = False
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, which holds nothing."""
        self._held = weakref.WeakSet()
        self._guard = threading.Lock()
        self._running = False

    def keep(self, lock: SessionLock) -> None:
        """Renew a lock until it is released."""
        with self._guard:
            self._held.add(lock)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="sharedsession-lease", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(RENEWAL)
            with self._guard:
                held = [lock for lock in self._held if lock.held]
                self._held = weakref.WeakSet(held)
                self._running = bool(held)
                if not held:
                    return
            for lock in held:
                lock.renew()


_KEEPER = _Keeper()
