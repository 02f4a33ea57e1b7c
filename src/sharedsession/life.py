"""One request's session from the first access to the last commit: what the application's `Session` does comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from .attributes import Attributes
from .commit import Situation, commit, situation_of, tell
from .dialogue import NOTHING, Source, Tell, Update
from .errors import StoreUnavailableError, TooManySessionsError
from .ids import SessionId
from .lines import Turn
from .listing import listing, see_listed
from .memcached.outcomes import Absent, Loaded
from .memcached.transaction import Again, Transaction
from .record import NO_CHANGES, Changes
from .state import Snapshot, State

T = TypeVar("T")

#: Times a transaction's function is run before giving up.
MOST_RUNS = 200


class Life(State):
    """One request's session from the first access to the last commit; same arguments as `State`."""

    # The application is in a block of `lock()`; and what is stored, to go back to when the block raises.
    _locked: bool = False
    _saved: Snapshot | None = None
    _saving: bool = False
    releasing: bool = False
    # What the client must be told of commits before the headers leave.
    _owed: Tell = Tell.NOTHING
    # The well-signed ids of a request that has not touched its session, once asked for.
    _shown: list[tuple[SessionId, Source]] | None = None

    def begin(self) -> Life:
        """Return this life, which has begun."""
        return self

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def attributes(self) -> Attributes:
        """The attributes; loads the session at the first use, and locks it where this request must have it alone."""
        if not self.headers_sent:
            return self.opened or self.open()
        if self._needs_lock_again():
            self.commit()
            self.guarded(self.take_lock)
            self.start()
        return self.opened or self.open()

    def _needs_lock_again(self) -> bool:
        """Say whether a body that is being sent goes on to use what was unlocked when the headers left."""
        if self._saving or self._locked or self.opened is None:
            return False
        return self.hold is None and self.loaded is not None and self.exclusive()

    @property
    def id(self) -> str | None:
        """The id's text, of the new one after `change_id`."""
        _ = self.attributes
        return self.session_id.text if self.session_id else None

    @property
    def is_new(self) -> bool:
        """Whether there is no stored session behind this one."""
        _ = self.attributes
        return self.loaded is None

    @property
    def source(self) -> Source | None:
        """How the live id came."""
        _ = self.attributes
        return self.came_by

    @property
    def creation_time(self) -> float:
        """Seconds since the epoch."""
        _ = self.attributes
        return float(self.loaded.record.created) if self.loaded else self.manager.clock()

    @property
    def last_accessed_time(self) -> float:
        """Seconds since the epoch."""
        _ = self.attributes
        return self.loaded.last_accessed if self.loaded else self.manager.clock()

    @property
    def interval(self) -> int:
        """Max inactive interval in seconds; 0: never."""
        if self.attributes.interval is not None:
            return self.attributes.interval
        return self.loaded.record.max_inactive_interval if self.loaded else self.manager.default_interval

    @property
    def principal(self) -> str | None:
        """The principal's name."""
        return self.named.name if self.named else None

    @property
    def principal_session(self) -> int | None:
        """What names this session among the principal's."""
        return self.named.session if self.named else None

    def carried(self) -> str | None:
        """Return the id that URLs and forms of the response carry; None when they carry none. Asks the store nothing.

        A client that takes cookies gets none. An untouched request passes on the well-signed id it brought. A new
        session gets its id here if there is something to store; nothing is created for the sake of a URL.
        """
        if self.opened is None or not self.available:
            return self._passed_on()
        if self.came_by == "cookie" or (self.came_by is None and self.takes_cookies):
            return None
        if not self._remains(self.opened):
            return None
        if self.loaded is None:
            self.session_id = self.session_id or self.manager.ids.new()
        elif self.reissued() and self.session_id:
            return self.manager.ids.reissue(self.session_id.token).text
        return self.session_id.text if self.session_id else None

    def _passed_on(self) -> str | None:
        if self._shown is None:
            self._shown = self.manager.verify(self._request.requested())
        by_cookie = any(source == "cookie" for _, source in self._shown)
        return None if by_cookie or not self._shown else self._shown[0][0].text

    def _remains(self, attributes: Attributes) -> bool:
        """Whether there is a session after the commit: not one that ended, nor one that is withheld."""
        if self.loaded is not None:
            return not (self.manager.end_when_emptied and self.emptied())
        return self.used(attributes) and situation_of(self, Changes()) in (Situation.NEW, Situation.REPLACED)

    # -- life cycle ------------------------------------------------------------------------------------------------

    def ensure_id(self) -> str:
        """Return the id; a new session is stored even if it stays empty."""
        _ = self.writable
        self.ensured = True
        if self.session_id is None:
            self.session_id = self.manager.ids.new()
        return self.session_id.text

    def change_id(self) -> None:
        """Give the session a new id at commit."""
        _ = self.writable
        self.leave_id()
        self.session_id = self.manager.ids.new() if self.loaded else self.session_id

    def commit(self) -> None:
        """Save now; what the client must be told waits for the headers."""
        told = self._commit().tell
        if told in (Tell.ID, Tell.EXPIRED):
            self._owed = told
        self._saved = self.snapshot()

    def _commit(self) -> Update:
        self._saving = True
        try:
            return commit(self)
        except TooManySessionsError:
            self.forgo()
            raise
        finally:
            self._saving = False

    def tell_again(self) -> None:
        """Send the client its id once more with the response: for how long it is to keep that has changed."""
        self._owed = Tell.ID

    def transaction(self, fn: Callable[[], T]) -> T:
        """Run `fn` until its changes stand on exactly what it read."""
        self.commit()
        _ = self.attributes  # loaded before the first run: a function that raises must leave the session as it was
        if self.loaded is None:
            return self._transaction(fn)
        with self.manager.turn(self.loaded.key) as turn:
            if turn is not Turn.AT_ONCE:
                self._look_again(self.loaded)
            return self._transaction(fn)

    def _look_again(self, loaded: Loaded) -> None:
        """Go on with what those before have left; that it ended or moved, the transaction will find."""
        fresh = self.guarded(lambda: self.manager.store.glance(loaded.key))
        if isinstance(fresh, Loaded):
            self.go_on(fresh)
            self.start()

    def _transaction(self, fn: Callable[[], T]) -> T:
        attempts = Transaction(self.manager.store, int(self.manager.clock()))
        for _ in range(MOST_RUNS):
            before = self.snapshot()
            try:
                result = fn()
                again = self._decide(attempts)
            except BaseException:
                self.restore(before)
                raise
            if again is None:
                self.commit()
                return result
            self.restore(before)
            self.go_on(again.loaded)
            self.start()
        raise StoreUnavailableError("the transaction met another one every time")

    @contextmanager
    def lock(self, timeout: float | None) -> Iterator[None]:
        """Have the session for this request alone, and its newest state; save it at the end."""
        if self._locked:
            yield  # part of the outer block
            return
        self._locked = True
        try:
            taken = self._begin_block(timeout)
            try:
                yield
                self.releasing = self._releases(taken=taken)
                self.commit()
            except BaseException:
                if self._saved is not None:
                    self.restore(self._saved)
                raise
            finally:
                if self._releases(taken=taken):
                    self.abandon()
        finally:
            self._locked = False
            self.releasing = False

    def _releases(self, *, taken: bool) -> bool:
        """Say whether a block's end gives the lock up: one that the block took, or kept beyond the headers."""
        return taken or self.headers_sent

    def _begin_block(self, timeout: float | None) -> bool:
        """Save what was changed before, and take the lock; say whether that was needed."""
        self.commit()
        _ = self.writable
        needed = self.hold is None
        if needed:
            self.guarded(lambda: self.take_lock(timeout))
            if self.hold is not None or self.gone:
                self.start()
        self._saved = self.snapshot()
        return needed

    def _decide(self, attempts: Transaction) -> Again | None:
        """Store what the function changed; say on what it must run again if somebody came first."""
        changes = self.changes()
        loaded = self.loaded
        if loaded is None or changes.empty:
            return None
        outcome = self.guarded(lambda: self._decide_listed(attempts, loaded, changes))
        if isinstance(outcome, Loaded):
            self.guarded(lambda: see_listed(self, outcome, changes))
            self.go_on(outcome)
            self.attributes.rebase(outcome.record.entries, changes)
            return None
        if isinstance(outcome, Absent):
            # It ended, before or after the changes were stored: what a request wrote to it is dropped, as in a commit.
            self.manager.stats.count(f"late_{outcome.why.value}")
            self.gone = True
            return None
        self.manager.stats.count("transaction_retries")
        return outcome

    def _decide_listed(self, attempts: Transaction, loaded: Loaded, changes: Changes) -> Loaded | Absent | Again:
        with listing(self, changes, loaded.key) as its:
            if self.hold is not None:
                return self.hold.decide(attempts, loaded, its)
            return attempts.decide(loaded, its)

    # -- commit ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give up a lock that the request still has: nothing of the application runs any more."""
        if self.hold is not None:
            self.abandon()

    def finish(self, *, save: bool = True) -> Update:
        """Commit before the headers leave; return what the client must be told, of earlier commits too.

        Args:
            save: False: store nothing more.

        Raises:
            StoreUnavailableError, SessionTooLargeError: the session was not saved.
            TypeError: an attribute holds something that cannot be stored.
        """
        if save and self._only_read():
            return tell(self, Tell.AGE)  # as nearly always
        # A block of lock() that is still open, in a body that is being sent, ends it itself.
        self.releasing = not self._locked
        try:
            update = self._commit() if save else NOTHING
        finally:
            if self.releasing:
                self.abandon()
            self.releasing = False
        owed, self._owed = self._owed, Tell.NOTHING
        if owed is Tell.ID and self.session_id is None:
            return update  # it has ended or moved since: another response tells
        if owed is not Tell.NOTHING and update.tell in (Tell.NOTHING, Tell.AGE):
            return tell(self, owed)
        return update

    def _only_read(self) -> bool:
        """Whether a stored session was read and nothing else, so that nothing is to be done; see `commit`."""
        opened = self.opened
        if opened is None or self.loaded is None or self.hold is not None or self._owed is not Tell.NOTHING:
            return False
        if self.moving or self.ensured or self.ending or self.gone or not self.available or opened.may_differ():
            return False
        return self.with_own(NO_CHANGES) is NO_CHANGES and not self.reissued()

    def check_values(self) -> None:
        """Encode what changed; drop the changes when that cannot be done, so that an error page can still be sent.

        Raises:
            TypeError: an attribute holds something that cannot be stored.
        """
        if self.opened is None or not self.available:
            return
        try:
            self.opened.changes()
        except TypeError:
            self.start()
            raise

    def dirty(self) -> bool:
        """Whether a commit would have something to store; what cannot be stored counts, the commit will say so."""
        if self.opened is None or not self.available:
            return False
        try:
            return not self.opened.changes().empty or bool(self.ending) or self.moving or self.ensured
        except TypeError:
            return True

    def touch(self) -> None:
        """Prolong a session that the request did not use, if the store can be reached; needs no lock."""
        self._passing = True
        with suppress(StoreUnavailableError):
            _ = self.attributes
        self._passing = False
        if self.failure is not None:
            self.forgive()
