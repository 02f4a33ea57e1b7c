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
from typing import NamedTuple, NoReturn, TypeVar

from .errors import SessionLockedError, StoreError
from .forking import renew_after_fork
from .lines import Lines, Turn
from .memcached.move import move
from .memcached.outcomes import Absence, Absent, Loaded
from .memcached.store import Store
from .memcached.transaction import Again, Transaction
from .record import OWN, Changes, Record
from .stats import Stats

T = TypeVar("T")

#: The attribute that holds it; the application never sees it.
LOCK = OWN + "lock"
#: Seconds without a sign of life after which a holder counts as dead.
LEASE = 5.0
#: Seconds between two signs of life.
RENEWAL = LEASE / 3
#: Compare-and-swaps that a commit under a lock may lose to requests that do without.
_ATTEMPTS = 200
#: Looks at the store after which who waits for a lock looks less often.
_LOOKS = 8
#: Holders whose last sign of life a process remembers.
_REMEMBERED = 1000


class Holder(NamedTuple):
    """Who has a session's lock, and how often it has shown that it is alive."""

    owner: int
    beats: int


def holder_of(record: Record) -> Holder | None:
    """Return who has the lock, if anybody has."""
    payload = record.payload(LOCK)
    if payload is None:
        return None
    owner, beats = payload.split()
    return Holder(int(owner), int(beats))


class Waiters:
    """Those in this process who wait for locks: what they have seen of the holders, and a line for each session."""

    def __init__(self) -> None:
        #: Who asks for a session's lock: one of a process at a time.
        self.lines: Lines = Lines()
        # Owner -> its beats, and since when they have been the last ones. Kept for those who wait less than a lease.
        self._seen: dict[int, tuple[int, float]] = {}
        self._guard = threading.RLock()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where nobody waits."""
        self.__init__()  # type: ignore[misc]

    def outlasted(self, holder: Holder) -> bool:
        """Say whether this holder has shown no sign of life for a lease."""
        now = time.monotonic()
        with self._guard:
            beats, since = self._seen.get(holder.owner, (-1, now))
            if beats != holder.beats:
                self._seen[holder.owner] = (holder.beats, now)
                since = now
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return now - since >= LEASE


class Wait:
    """How long one has waited.

    Args:
        timeout: seconds to wait at most.
        stats: counts `locks_waited`, `locks_refused`.
    """

    def __init__(self, timeout: float, stats: Stats) -> None:
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._stats = stats
        self._rounds = 0
        self._counted = False

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._until - time.monotonic()

    def begin(self) -> float:
        """Count who has to wait, once; return the seconds left."""
        if not self._counted:
            self._stats.count("locks_waited")
            self._counted = True
        return self.left

    def goes_on(self) -> int:
        """Return the number of the next round.

        Raises:
            SessionLockedError: the time is over.
        """
        if self.left <= 0:
            self.refuse()
        self._rounds += 1
        return self._rounds

    def refuse(self) -> NoReturn:
        """Raise SessionLockedError."""
        self._stats.warn("locks_refused", "a request has waited %g s in vain for its session's lock", self._timeout)
        raise SessionLockedError("other requests of the session have held its lock all the time")


class SessionLock:
    """One request's hold on its session.

    Args:
        store: where the session lies.
        stats: counts `locks_waited`, `locks_refused`, `locks_taken_over`, `locks_lost`.
        clock: seconds since the epoch.
        waiters: who else waits.
    """

    def __init__(self, store: Store, stats: Stats, clock: Callable[[], float], waiters: Waiters) -> None:
        self._store = store
        self._stats = stats
        self._clock = clock
        self._waiters = waiters
        self._owner = secrets.randbits(63)
        self._beats = 0
        # Storage key, and the last clear() that the holder has seen.
        self._key = ""
        self._cleared = 0
        #: It may stand in the record: it has been acquired or tried, and not released.
        self.held: bool = False

    def acquire(self, loaded: Loaded, timeout: float) -> Loaded | Absent:
        """Wait for the lock; return the session as it is then, or that it has ended.

        Args:
            loaded: the session as last read.
            timeout: seconds to wait at most.

        Raises:
            SessionLockedError: others had it all the time.
            StoreUnavailableError: the session cannot be read or saved.
        """
        wait = Wait(timeout, self._stats)
        try:
            with self._waiters.lines.turn(loaded.key, lambda _: wait.begin()) as turn:
                if turn is Turn.IN_VAIN:
                    wait.refuse()
                return self._acquire(loaded if turn is Turn.AT_ONCE else self._store.glance(loaded.key), wait)
        except BaseException:
            self.release()
            raise

    def _acquire(self, found: Loaded | Absent, wait: Wait) -> Loaded | Absent:
        attempts = self._attempts()
        while isinstance(found, Loaded):
            holder = holder_of(found.record)
            theirs = holder is not None and holder.owner != self._owner
            if holder is not None and theirs and not self._waiters.outlasted(holder):
                wait.begin()
                self._store.pause(wait.goes_on() // _LOOKS)
                # Only looks: whoever waits must not repair what the holder is writing.
                found = self._store.glance(found.key)
                continue
            found = self._take(attempts, found)
            if self.held:
                if theirs:
                    self._stats.count("locks_taken_over")
                break
            wait.goes_on()
        return found

    def _take(self, attempts: Transaction, found: Loaded) -> Loaded | Absent:
        """Try to put our name into the record; it is there if the lock is held after this."""
        self._key, self.held = found.key, True
        outcome = attempts.decide(found, self._sign(), remembered=False)
        if isinstance(outcome, Loaded) and self._owns(outcome.record):
            self.follow(outcome)
            _KEEPER.keep(self)
            return outcome
        self.held = False
        return outcome.loaded if isinstance(outcome, Again) else outcome

    # -- while it is held ------------------------------------------------------------------------------------------

    def commit(self, loaded: Loaded, changes: Changes) -> Loaded | Absent:
        """Store changes, if the lock is still ours; also with a change of the lock itself.

        Raises:
            SessionLockedError: it was lost; nothing is stored.
            StoreUnavailableError, SessionTooLargeError: it was not stored.
        """
        found = loaded
        attempts = self._attempts()
        noticed: set[str] = set()
        for _ in range(_ATTEMPTS):
            if found.record.cleared != self._cleared and not changes.cleared:
                self.follow(found)
                return found  # what was locked is no more: clear() by another request is final
            self._refuse_lost(found.record)
            self._store.notice(loaded.record, found.record, changes, noticed)
            outcome = self.decide(attempts, found, changes)
            if not isinstance(outcome, Again):
                return outcome
            found = outcome.loaded
        raise SessionLockedError("other requests kept changing the session without its lock")

    def decide(self, attempts: Transaction, loaded: Loaded, changes: Changes) -> Loaded | Absent | Again:
        """Do what `Transaction.decide` does, if the lock is still ours; same errors as `commit`."""
        self._refuse_lost(loaded.record)
        return self._after(attempts.decide(loaded, self._keeping(changes)), changes)

    def move(self, loaded: Loaded, new_key: str, changes: Changes) -> Loaded | Absent:
        """Do what `move.move` does, if the lock is still ours; same errors as `commit`."""
        self._refuse_lost(loaded.record)
        outcome = move(self._store, loaded, new_key, self._keeping(changes), self._refuse_lost)
        if isinstance(outcome, Absent) and outcome.why is Absence.MOVED:
            target = self._store.find(outcome.moved_to)
            if isinstance(target, Loaded):
                self.commit(target, changes)
        self._after(outcome, changes)
        return outcome

    def follow(self, loaded: Loaded) -> None:
        """Go on with the session as it is now, maybe under a new key."""
        self._key, self._cleared = loaded.key, loaded.record.cleared

    def renew(self) -> None:
        """Show a sign of life.

        Raises:
            StoreError: it did not reach the store.
        """
        # Given up since the keeper looked: nothing more is asked, least of all by a process that has an old node list.
        found = self._store.find(self._key) if self.held else None
        if isinstance(found, Loaded) and self.held and self._owns(found.record):
            self._attempts().decide(found, self._sign(), remembered=False)

    def _keeping(self, changes: Changes) -> Changes:
        """Return the changes; a clear() among them leaves the lock where it is."""
        if not changes.cleared or LOCK in changes.deleted:
            return changes
        return changes._replace(values={**changes.values, **self._sign().values})

    def _after(self, outcome: T, changes: Changes) -> T:
        if isinstance(outcome, Loaded):
            self.follow(outcome)
            if LOCK in changes.deleted:
                self.held = False
        return outcome

    # -- its end ---------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Let the next one in; nothing else of the request is stored. What cannot be released ends with its lease."""
        if not self.held:
            return
        try:
            with suppress(StoreError):
                self._erase()
        finally:
            self.held = False

    def _erase(self) -> None:
        found = self._store.find(self._key)
        attempts = self._attempts()
        for _ in range(_ATTEMPTS):
            if not isinstance(found, Loaded) or not self._owns(found.record):
                break
            outcome = attempts.decide(found, Changes(deleted=frozenset([LOCK])), remembered=False)
            if not isinstance(outcome, Again):
                break
            found = outcome.loaded

    def forget(self) -> None:
        """Note that it has been released, or that the session has ended, and the lock with it."""
        self.held = False

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _owns(self, record: Record) -> bool:
        holder = holder_of(record)
        return holder is not None and holder.owner == self._owner

    def _refuse_lost(self, record: Record) -> None:
        if not self._owns(record):
            self.held = False
            self._stats.warn("locks_lost", "a request has lost its session's lock, and with it what it changed")
            raise SessionLockedError("the lock was lost: no sign of life came through for a lease, or by a clear()")

    def _attempts(self) -> Transaction:
        return Transaction(self._store, int(self._clock()))

    def _sign(self) -> Changes:
        self._beats += 1
        return Changes({LOCK: b"%d %d" % (self._owner, self._beats)})


class _Keeper:
    """Renews the locks of this process that are held for long, from a thread that is there only then."""

    def __init__(self) -> None:
        self._held: weakref.WeakSet[SessionLock] = weakref.WeakSet()
        self._guard = threading.RLock()
        self._running = False
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, which holds nothing."""
        self._held = weakref.WeakSet()
        self._guard = threading.RLock()
        self._running = False

    def keep(self, lock: SessionLock) -> None:
        """Renew a lock until it is released."""
        with self._guard:
            self._held.add(lock)
            if not self._running:
                threading.Thread(target=self._run, name="sharedsession-lease", daemon=True).start()
                self._running = True

    def _run(self) -> None:
        # Nothing of what `_beat` has in hand outlives it: a lock whose request is gone must not be kept by the sleeper.
        while self._beat():
            pass

    def _beat(self) -> bool:
        time.sleep(RENEWAL)
        with self._guard:
            held = [lock for lock in self._held if lock.held]
            self._held = weakref.WeakSet(held)
            self._running = bool(held)
        for lock in held:
            # One that cannot be renewed ends with its lease; the others go on.
            with suppress(Exception):
                lock.renew()
        return bool(held)


_KEEPER = _Keeper()
