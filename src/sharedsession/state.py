"""One request's session as far as this request knows it. Loads when first asked; stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from .attributes import Attributes
from .dialogue import FormerSession, Requested, Source
from .errors import SessionLockedError, StoreUnavailableError
from .ids import SessionId
from .lock import LOCK, SessionLock
from .manager import Manager
from .memcached.outcomes import Absent, Loaded
from .record import Changes

T = TypeVar("T")


def no_former_session() -> None:
    """Find no session of another library."""


#: A session's place in its life: (loaded, id, came by, moving, ensured, ending).
Snapshot = tuple[Loaded | None, SessionId | None, Source | None, bool, bool, list[Loaded]]


class State:
    """One request's session: what was loaded, what was changed, and what shall become of it.

    Args:
        manager: services and policy.
        requested: returns the ids the client showed, best first.
        slide: says whether the load starts the idle time anew.
        former: returns the session that another library left with the client, to be taken over.
        exclusive: says whether this request must have the session for itself.
    """

    def __init__(
        self,
        manager: Manager,
        requested: Callable[[], Iterable[Requested]],
        slide: Callable[[], bool],
        former: Callable[[], FormerSession | None] = no_former_session,
        exclusive: Callable[[], bool] = bool,
    ) -> None:
        self.available: bool = True
        self.accessed: bool = False
        #: The store failed in this request.
        self.failure: StoreUnavailableError | None = None
        #: The response headers have left: no cookie can be sent any more.
        self.headers_sent: bool = False
        self.manager: Manager = manager
        self._requested = requested
        self._slide = slide
        self._former = former
        self._exclusive = exclusive
        #: The lock, while this request has the session for itself; and that the next commit gives it up.
        self.hold: SessionLock | None = None
        self.releasing: bool = False
        self.opened: Attributes | None = None
        self.loaded: Loaded | None = None
        self.session_id: SessionId | None = None
        self.came_by: Source | None = None
        self.ending: list[Loaded] = []
        self.moving: bool = False
        self.ensured: bool = False
        self.changed_id: bool = False
        # It ended while this request ran: nothing of the request is stored any more.
        self.gone: bool = False
        # The client showed a well-signed id in a cookie: it takes cookies.
        self.takes_cookies: bool = False
        #: The client showed another library's cookie, which has done its work.
        self.superseded: bool = False
        # The client's id was moved a moment ago: another response is bringing it the new one.
        self.late: bool = False

    @property
    def attributes(self) -> Attributes:
        """The attributes; loads the session at the first use."""
        if self.opened is None:
            self._open()
        if self.opened is None:
            causes = self.failure.causes if self.failure else None
            raise StoreUnavailableError("the session store failed earlier in this request", causes)
        return self.opened

    @property
    def writable(self) -> Attributes:
        """The attributes, to be changed."""
        attributes = self.attributes
        if not self.available:
            raise StoreUnavailableError("the session store is away, so the session cannot be changed")
        return attributes

    def used(self, attributes: Attributes) -> bool:
        """Whether a new session has something to store."""
        return self.ensured or (attributes.touched() and any(attributes.names()))

    def emptied(self) -> bool:
        """Say whether this request deleted the stored session's last attribute."""
        attributes = self.attributes
        return self.loaded is not None and attributes.emptied()

    def reissued(self) -> bool:
        """Whether the client must get the same session under another text: this node's route, or the present key."""
        if self.session_id is None or self.came_by is None or self.headers_sent:
            return False
        ids = self.manager.ids
        return self.session_id.outdated or (self.manager.sticky and self.session_id.route != ids.route)

    def changes(self) -> Changes:
        """Return what this request changed, encoded."""
        changes = self.attributes.changes()
        if self.hold is not None and self.releasing and self.loaded is not None:
            changes = changes._replace(deleted=changes.deleted | {LOCK})
        binds = self.manager.beyond_cookies and self.came_by == "cookie" and self.loaded is not None
        if binds and self.loaded and not self.loaded.record.cookie_only:
            return changes._replace(cookie_only=True)
        return changes

    def take_lock(self, timeout: float | None = None) -> None:
        """Have the session for this request alone from now on; a new one is so anyway.

        Raises:
            SessionLockedError: others had it for `timeout` seconds (None: as configured).
        """
        if self.loaded is None:
            return
        hold = self.manager.lock()
        outcome = hold.acquire(self.loaded, self.manager.lock_timeout if timeout is None else timeout)
        if isinstance(outcome, Loaded):
            self.hold = hold
            self.go_on(outcome)
            return
        # It ended meanwhile: for an application that has not seen it yet, that is as if it had ended before.
        self.gone = self.opened is not None
        self.late = self.late or outcome.recently
        self.manager.stats.count(f"{'late' if self.gone else 'ids'}_{outcome.why.value}")
        self.go_on(None)

    def abandon(self) -> None:
        """Let others have the session; what was not saved is not saved."""
        hold, self.hold = self.hold, None
        if hold is not None:
            hold.release()

    def start(self) -> None:
        """Begin with what is stored, and nothing changed."""
        self.opened = Attributes(self.manager.values, self.loaded.record.live if self.loaded else {})

    def invalidate(self) -> None:
        """End the session at commit; go on with a new, empty one."""
        _ = self.writable
        if self.loaded is not None:
            self.ending.append(self.loaded)
        self.loaded = self.session_id = self.came_by = None
        self.moving = self.ensured = self.late = False
        self.start()

    def go_on(self, loaded: Loaded | None) -> None:
        """Go on with the session as it is now: maybe under another id, which another response tells, or not at all."""
        self.loaded = loaded
        if loaded is None:
            self.session_id = self.came_by = None
            self.moving = self.ensured = False
        elif not self.moving and self.session_id is not None and self.session_id.key != loaded.key:
            self.session_id = None

    def snapshot(self) -> Snapshot:
        """Return the session's place in its life."""
        return self.loaded, self.session_id, self.came_by, self.moving, self.ensured, list(self.ending)

    def restore(self, before: Snapshot) -> None:
        """Take back what happened to attributes and life cycle since."""
        self.loaded, self.session_id, self.came_by, self.moving, self.ensured, self.ending = before
        self.start()

    def forgive(self) -> None:
        """Forget a failure of the store that the request does not depend on."""
        self.failure = None
        self.accessed = False
        self.available = True
        self.opened = None

    def fail(self, error: StoreUnavailableError) -> None:
        """Remember that the store failed: a second access in this request fails at once."""
        # A copy: the error itself holds the frames of this request by its traceback.
        self.failure = StoreUnavailableError(error.reason, error.causes)
        if not isinstance(error, SessionLockedError):  # the lock has counted, and said, what happened
            self.manager.stats.warn("unavailable", "session store unavailable: %s", error)

    def guarded(self, action: Callable[[], T]) -> T:
        """Do something with the store, and remember if it fails."""
        try:
            return action()
        except StoreUnavailableError as error:
            self.fail(error)
            raise

    def _open(self) -> None:
        if self.failure is not None:
            return
        self.accessed = True
        try:
            self._load()
            self._take_over()
            if self._exclusive():
                self.take_lock()
        except StoreUnavailableError as error:
            self.fail(error)
            # A session that others have locked is not away: an empty one in its place would be a log-out.
            if not self.manager.empty_when_unavailable or isinstance(error, SessionLockedError):
                raise
            self.available = False
            self.go_on(None)
        self.start()

    def _load(self) -> None:
        shown = list(self.manager.verify(self._requested()))
        self.takes_cookies = any(source == "cookie" for _, source in shown)
        keys = [session_id.key for session_id, _ in shown]
        # Who takes the lock writes all copies anyway; twenty that wait must not repair what its holder is writing.
        results = self.manager.store.load_each(keys, slide=self._slide(), mends=not self._exclusive())
        for (session_id, source), found in zip(shown, results, strict=True):
            if isinstance(found, Loaded):
                if source != "cookie" and found.record.cookie_only:
                    self.manager.stats.count("ids_refused_source")
                    continue
                self.loaded, self.came_by = found, source
                self.session_id = session_id
                if self.manager.sticky:
                    self.manager.note_route(session_id)
                return
            self.manager.stats.count(f"ids_{found.why.value}")
            self.late = self.late or found.recently

    def _take_over(self) -> None:
        """Go on where another library's cookie left off, unless the client has a session here already."""
        former = self._former()
        if former is None:
            return
        if self.loaded is None:
            adopted = self.manager.adopt(former, slide=self._slide())
            if isinstance(adopted, Absent):
                self.late = self.late or adopted.recently
            else:
                self.session_id, self.loaded = adopted
                self.came_by = "cookie"
        self.superseded = True
