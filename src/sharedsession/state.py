"""One request's session as far as this request knows it. Loads when first asked; stores nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeGuard, TypeVar

from .attributes import Attributes
from .dialogue import Request, Source
from .errors import SessionLockedError, StoreUnavailableError
from .guard import Client
from .ids import SessionId
from .lock import LOCK, SessionLock
from .manager import Manager
from .memcached.outcomes import Absent, Loaded
from .principals import LISTED, PRINCIPAL, Named, is_due, named, new_name
from .record import Changes

T = TypeVar("T")


#: A session's place in its life: (loaded, id, came by, moving, ensured, ending).
Snapshot = tuple[Loaded | None, SessionId | None, Source | None, bool, bool, tuple[Loaded, ...]]


class State:
    """One request's session: what was loaded, what was changed, and what shall become of it.

    Args:
        manager: services and policy.
        request: the request that it belongs to.
    """

    # Defaults stand with the class: most requests have a session, and few touch it.

    available: bool = True
    accessed: bool = False
    #: The store failed in this request.
    failure: StoreUnavailableError | None = None
    #: The response headers have left: no cookie can be sent any more.
    headers_sent: bool = False
    #: The lock, while this request has the session for itself; and that the next commit gives it up.
    hold: SessionLock | None = None
    releasing: bool = False
    opened: Attributes | None = None
    loaded: Loaded | None = None
    session_id: SessionId | None = None
    came_by: Source | None = None
    ending: tuple[Loaded, ...] = ()
    moving: bool = False
    ensured: bool = False
    changed_id: bool = False
    # It ended while this request ran: nothing of the request is stored any more.
    gone: bool = False
    # The client showed a well-signed id in a cookie: it takes cookies.
    takes_cookies: bool = False
    #: The client showed another library's cookie, which has done its work.
    superseded: bool = False
    # The client's id was moved a moment ago: another response is bringing it the new one.
    late: bool = False
    #: The id before `change_id`, as long as that is not saved.
    former_id: SessionId | None = None
    #: How this request has put the session on a list: principal, storage key, interval.
    listed: tuple[str, str, int] | None = None
    # Who uses it: not asked before it is.
    _client: Client | None = None
    # The session is only prolonged, for which nobody needs it alone.
    _passing: bool = False

    def __init__(self, manager: Manager, request: Request) -> None:
        self.manager: Manager = manager
        self._request = request

    @property
    def client(self) -> Client:
        """Who uses the session."""
        if self._client is None:
            self._client = Client(self._request, self.manager.stats)
        return self._client

    @property
    def attributes(self) -> Attributes:
        """The attributes; loads the session at the first use."""
        return self.opened or self.open()

    @property
    def writable(self) -> Attributes:
        """The attributes, to be changed."""
        attributes = self.attributes
        if not self.available:
            raise StoreUnavailableError("the session store is away, so the session cannot be changed")
        return attributes

    def used(self, attributes: Attributes) -> bool:
        """Whether a new session has something to store."""
        return self.ensured or (attributes.touched() and (any(attributes.names()) or any(attributes.own.values())))

    @property
    def named(self) -> Named | None:
        """The session's principal."""
        own, stored = self.attributes.own, self.loaded.record if self.loaded else None
        if PRINCIPAL in own:
            payload = own[PRINCIPAL]
            return None if payload is None else Named.unpack(payload)
        if stored is None or not self.attributes.holds(PRINCIPAL):
            return None
        return named(stored)

    def name(self, principal: str | None) -> None:
        """Set the session's principal, or take it away."""
        if not isinstance(principal, str | None):
            raise TypeError(f"a principal is named by text, not {type(principal).__name__}")
        own, present = self.writable.own, self.named
        if (present.name if present else None) == principal:
            return
        if principal is None:
            own[PRINCIPAL] = None
            return
        now = self.manager.clock()
        own[PRINCIPAL], own[LISTED] = new_name(principal, now, self.loaded).pack(), b"%d" % now

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
        return self.with_own(self.attributes.changes())

    def with_own(self, changes: Changes) -> Changes:
        """Return the application's changes with what the library stores beside them; the same if that is nothing."""
        if self.loaded is not None and PRINCIPAL in self.loaded.record.entries:
            changes = self._listed_anew(changes)
        if self.hold is not None and self.releasing and self.loaded is not None:
            changes = changes._replace(deleted=changes.deleted | {LOCK})
        if (self._request.binds or changes.cleared) and (self.loaded is not None or self.used(self.attributes)):
            changes = self.client.bind(changes, self.loaded.record if self.loaded else None)
        in_cookie = self.manager.beyond_cookies and self.came_by == "cookie"
        if in_cookie and self.loaded and not self.loaded.record.cookie_only:
            return changes._replace(cookie_only=True)
        return changes

    def forgo(self) -> None:
        """Take back what this request changed and has not saved."""
        if self.loaded is None:
            self.session_id = None
        elif self.moving:
            self.session_id = self.former_id
        self.moving = self.ensured = False
        self.start()

    def leave_id(self) -> None:
        """Begin to move to a new id."""
        if not self.moving:
            self.former_id = self.session_id
        self.moving = True

    def _listed_anew(self, changes: Changes) -> Changes:
        """Have a session that is in use put on its principal's list once an idle life, and when that life changes."""
        if self.loaded is None or LISTED in changes.values or self.named is None:
            return changes
        now = int(self.manager.clock())
        # What does not start the idle time anew (a poller) must not do so by this.
        if changes.interval is None and not (is_due(self.loaded.record, now) and self._request.slides()):
            return changes
        return changes._replace(values={**changes.values, LISTED: b"%d" % now})

    def exclusive(self) -> bool:
        """Say whether this request must have the session for itself."""
        return not self._passing and self._request.exclusive()

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
        if self.gone:
            self.manager.stats.count(f"late_{outcome.why.value}")
        else:
            self.manager.refuse(outcome.why.value)
        self.go_on(None)

    def abandon(self) -> None:
        """Let others have the session; what was not saved is not saved."""
        hold, self.hold = self.hold, None
        if hold is not None:
            hold.release()

    def start(self) -> Attributes:
        """Begin with what is stored, and nothing changed; return that."""
        stored = self.loaded.record.entries if self.loaded else {}
        self.opened = Attributes(self.manager.values, stored, compresses=self.manager.compresses)
        return self.opened

    def invalidate(self) -> None:
        """End the session at commit; go on with a new, empty one."""
        _ = self.writable
        if self.loaded is not None:
            self.ending += (self.loaded,)
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
        return self.loaded, self.session_id, self.came_by, self.moving, self.ensured, self.ending

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

    def open(self) -> Attributes:
        """Load the session; return its attributes.

        Raises:
            StoreUnavailableError: the store fails, or has failed in this request.
        """
        if self.failure is not None:
            raise StoreUnavailableError("the session store failed earlier in this request", self.failure.causes)
        self.accessed = True
        alone = self.exclusive()
        try:
            # Who takes the lock writes all copies anyway; twenty that wait must not repair what its holder is writing.
            self._load(mends=not alone)
            self._take_over()
            if alone:
                self.take_lock()
        except StoreUnavailableError as error:
            self.fail(error)
            # A session that others have locked is not away: an empty one in its place would be a log-out.
            if not self.manager.empty_when_unavailable or isinstance(error, SessionLockedError):
                raise
            self.available = False
            self.go_on(None)
        return self.start()

    def _load(self, *, mends: bool) -> None:
        shown, slide = self.manager.verify(self._request.requested()), self._request.slides()
        if len(shown) == 1:  # as nearly always
            session_id, source = shown[0]
            self._take(session_id, source, self.manager.store.load(session_id.key, slide=slide, mends=mends))
            return
        if not shown:
            return
        keys = [session_id.key for session_id, _ in shown]
        results = self.manager.store.load_each(keys, slide=slide, mends=mends)
        for place, ((session_id, source), found) in enumerate(zip(shown, results, strict=True), 1):
            if self._take(session_id, source, found):
                self._look_for_others(shown[place:])
                return

    def _take(self, session_id: SessionId, source: Source, found: Loaded | Absent) -> bool:
        """Go on with what was found, if it is the session of whoever shows its id; say whether it is."""
        if source == "cookie":
            self.takes_cookies = True
        if not self._is_ours(found, source):
            return False
        self.loaded, self.came_by, self.session_id = found, source, session_id
        if self.manager.sticky:
            self.manager.note_route(session_id)
        return True

    def _is_ours(self, found: Loaded | Absent, source: Source) -> TypeGuard[Loaded]:
        """Say whether what was found is the session of whoever shows its id."""
        if isinstance(found, Absent):
            self.manager.refuse(found.why.value)
            self.late = self.late or found.recently
        elif source != "cookie" and found.record.cookie_only:
            self.manager.refuse("refused_source")
        elif self._request.binds and not self.client.owns(found.record):
            self.manager.refuse("fingerprint")
        else:
            return True
        return False

    def _look_for_others(self, rest: list[tuple[SessionId, Source]]) -> None:
        """Notice that cookies of two live sessions came under one name: somebody else has set one. Prolongs neither."""
        keys = [session_id.key for session_id, source in rest if source == "cookie"]
        if self.came_by != "cookie" or not keys:
            return
        with suppress(StoreUnavailableError):
            if any(isinstance(each, Loaded) for each in self.manager.store.load_each(keys, slide=False, mends=False)):
                self.manager.refuse("ambiguous")

    def _take_over(self) -> None:
        """Go on where another library's cookie left off, unless the client has a session here already."""
        former = self._request.former()
        if former is None:
            return
        if self.loaded is None:
            adopted = self.manager.adopt(former, slide=self._request.slides())
            if isinstance(adopted, Absent):
                self.late = self.late or adopted.recently
            elif self.client.owns(adopted[1].record):
                self.session_id, self.loaded = adopted
                self.came_by = "cookie"
            else:
                self.manager.refuse("fingerprint")
                return
        self.superseded = True
