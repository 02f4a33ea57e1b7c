"""Sessions by id: opens them for a request, and commits them by one visible table. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TypeVar

from .attributes import Attributes
from .dialogue import NOTHING, Requested, Source, Tell, Update
from .errors import HeadersSentError, StoreUnavailableError
from .ids import BadId, IdFactory, SessionId
from .memcached.store import Absence, Absent, Loaded, Store
from .memcached.transaction import Again, Transaction
from .record import Changes
from .stats import Stats
from .values import ValueCodec

T = TypeVar("T")

#: Well-signed ids of one kind that are asked of the store in one request.
MOST_IDS = 5
#: Times a transaction's function is run before giving up.
MOST_RUNS = 200
#: Requests over which strays are counted when the balancer should be sticky.
ROUTES_WATCHED = 100


class Manager:
    """Opens and commits sessions.

    Args:
        store: where they lie.
        ids: makes and verifies ids.
        values: encodes attribute values.
        stats: counters.
        clock: seconds since the epoch.
        default_interval: max inactive interval of new sessions in seconds; 0: never.
        sticky: re-issue an id that arrives with another node's route.
        empty_when_unavailable: reads see an empty session while the store is away.
        end_when_emptied: a session whose last attribute was deleted ends (Flask's rule).
        beyond_cookies: ids may come by URL or form too; one that has come back in a cookie then counts only there.
    """

    def __init__(
        self,
        store: Store,
        ids: IdFactory,
        values: ValueCodec,
        stats: Stats,
        clock: Callable[[], float],
        *,
        default_interval: int,
        sticky: bool = False,
        empty_when_unavailable: bool = False,
        end_when_emptied: bool = False,
        beyond_cookies: bool = False,
    ) -> None:
        self.store = store
        self.ids = ids
        self.values = values
        self.stats = stats
        self.clock = clock
        self.default_interval = default_interval
        self.sticky = sticky
        self.empty_when_unavailable = empty_when_unavailable
        self.end_when_emptied = end_when_emptied
        self.beyond_cookies = beyond_cookies
        self._routed = self._strayed = 0

    def open(self, requested: Callable[[], Iterable[Requested]], *, slide: Callable[[], bool]) -> Life:
        """Return a request's session; nothing is done before it is used.

        Args:
            requested: returns the ids the client showed, best first.
            slide: says whether the load starts the idle time anew.
        """
        return Life(self, requested, slide)

    def note_route(self, session_id: SessionId) -> None:
        """Notice a balancer that is not sticky: more than a tenth of the requests arrive with another node's route."""
        self._routed += 1
        self._strayed += session_id.route != self.ids.route
        if self._routed >= ROUTES_WATCHED:
            if self._strayed * 10 > self._routed:
                self.stats.warn(
                    "not_sticky",
                    "sticky=True, but %d of the last %d requests came with another node's route: "
                    "the balancer does not route by the session id",
                    self._strayed,
                    self._routed,
                )
            self._routed = self._strayed = 0

    def verify(self, requested: Iterable[Requested]) -> Iterable[tuple[SessionId, Source]]:
        """Yield the well-signed ids among those the client showed, at most `MOST_IDS` of a kind, each once."""
        seen: dict[tuple[Source, str], SessionId] = {}
        for text, source in requested:
            parsed = self.ids.parse(text)
            if isinstance(parsed, BadId):
                self.stats.count(f"ids_{parsed.value}")
            elif (source, parsed.token) not in seen and sum(kind == source for kind, _ in seen) < MOST_IDS:
                seen[source, parsed.token] = parsed
                yield parsed, source


#: A session's place in its life: (loaded, id, source, moving, ensured, ending).
_Standing = tuple[Loaded | None, SessionId | None, Source | None, bool, bool, list[Loaded]]


class Life:
    """One request's session from the first access to the last commit."""

    def __init__(
        self, manager: Manager, requested: Callable[[], Iterable[Requested]], slide: Callable[[], bool]
    ) -> None:
        self.available = True
        self.accessed = False
        #: The store failed in this request.
        self.failure: StoreUnavailableError | None = None
        #: The response headers have left: no cookie can be sent any more.
        self.headers_sent = False
        self._manager = manager
        self._requested = requested
        self._slide = slide
        self._attributes: Attributes | None = None
        self._loaded: Loaded | None = None
        self._id: SessionId | None = None
        self._source: Source | None = None
        self._ending: list[Loaded] = []
        self._moving = False
        self._ensured = False
        self._changed_id = False
        # It ended while this request ran: nothing of the request is stored any more.
        self._gone = False
        # The client showed a well-signed id in a cookie: it takes cookies.
        self._takes_cookies = False
        # The client's id was moved a moment ago: another response is bringing it the new one.
        self._late = False
        self._owed = Tell.NOTHING

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def attributes(self) -> Attributes:
        """The attributes; loads the session at the first use."""
        if self._attributes is None:
            self._open()
        if self._attributes is None:
            raise StoreUnavailableError("the session store failed earlier in this request")
        return self._attributes

    @property
    def writable(self) -> Attributes:
        """The attributes, to be changed."""
        attributes = self.attributes
        if not self.available:
            raise StoreUnavailableError("the session store is away, so the session cannot be changed")
        return attributes

    @property
    def id(self) -> str | None:
        """The id's text, of the new one after `change_id`."""
        _ = self.attributes
        return self._id.text if self._id else None

    @property
    def is_new(self) -> bool:
        """Whether there is no stored session behind this one."""
        _ = self.attributes
        return self._loaded is None

    @property
    def source(self) -> Source | None:
        """How the live id came."""
        _ = self.attributes
        return self._source

    @property
    def creation_time(self) -> float:
        """Seconds since the epoch."""
        _ = self.attributes
        return float(self._loaded.record.created) if self._loaded else self._manager.clock()

    @property
    def last_accessed_time(self) -> float:
        """Seconds since the epoch."""
        _ = self.attributes
        return self._loaded.last_accessed if self._loaded else self._manager.clock()

    @property
    def interval(self) -> int:
        """Max inactive interval in seconds; 0: never."""
        if self.attributes.interval is not None:
            return self.attributes.interval
        return self._loaded.record.max_inactive_interval if self._loaded else self._manager.default_interval

    def carried(self) -> str | None:
        """Return the id that URLs and forms of the response carry; None when they carry none. Asks the store nothing.

        A client that takes cookies gets none. An untouched request passes on the well-signed id it brought. A new
        session gets its id here if there is something to store; nothing is created for the sake of a URL.
        """
        if self._attributes is None or not self.available:
            shown = list(self._manager.verify(self._requested()))
            by_cookie = any(source == "cookie" for _, source in shown)
            return None if by_cookie or not shown else shown[0][0].text
        if self._source == "cookie" or (self._source is None and self._takes_cookies):
            return None
        if self._loaded is None and self._used(self._attributes):
            self._id = self._id or self._manager.ids.new()
        elif self._loaded is None:
            return None
        elif self._reissued() and self._id:
            return self._manager.ids.reissue(self._id.token).text
        return self._id.text if self._id else None

    def _open(self) -> None:
        if self.failure is not None:
            return
        self.accessed = True
        try:
            self._load()
        except StoreUnavailableError as error:
            self._fail(error)
            if not self._manager.empty_when_unavailable:
                raise
            self.available = False
        self._start()

    def _load(self) -> None:
        shown = list(self._manager.verify(self._requested()))
        self._takes_cookies = any(source == "cookie" for _, source in shown)
        results = self._manager.store.load_each([session_id.key for session_id, _ in shown], slide=self._slide())
        for (session_id, source), found in zip(shown, results, strict=True):
            if isinstance(found, Loaded):
                if source != "cookie" and found.record.cookie_only:
                    self._manager.stats.count("ids_refused_source")
                    continue
                self._loaded, self._source = found, source
                self._id = session_id
                if self._manager.sticky:
                    self._manager.note_route(session_id)
                return
            self._manager.stats.count(f"ids_{found.why.value}")
            self._late = self._late or found.recently

    def _start(self) -> None:
        """Begin with what is stored, and nothing changed."""
        self._attributes = Attributes(self._manager.values, self._loaded.record.live if self._loaded else {})

    def _fail(self, error: StoreUnavailableError) -> None:
        self.failure = error
        self._manager.stats.warn("unavailable", "session store unavailable: %s", error)

    # -- life cycle ------------------------------------------------------------------------------------------------

    def ensure_id(self) -> str:
        """Return the id; a new session is stored even if it stays empty."""
        _ = self.writable
        self._ensured = True
        if self._id is None:
            self._id = self._manager.ids.new()
        return self._id.text

    def invalidate(self) -> None:
        """End the session at commit; go on with a new, empty one."""
        _ = self.writable
        if self._loaded is not None:
            self._ending.append(self._loaded)
        self._loaded = self._id = self._source = None
        self._moving = self._ensured = False
        self._start()

    def change_id(self) -> None:
        """Give the session a new id at commit."""
        _ = self.writable
        self._moving = True
        self._id = self._manager.ids.new() if self._loaded else self._id

    def commit(self) -> None:
        """Save now; what the client must be told waits for the headers."""
        tell = self._commit().tell
        if tell in (Tell.ID, Tell.EXPIRED) or self._owed is Tell.NOTHING:
            self._owed = tell

    def transaction(self, fn: Callable[[], T]) -> T:
        """Run `fn` until its changes stand on exactly what it read."""
        self.commit()
        _ = self.attributes  # loaded before the first run: a function that raises must leave the session as it was
        attempts = Transaction(self._manager.store, int(self._manager.clock()))
        for _ in range(MOST_RUNS):
            before = (self._loaded, self._id, self._source, self._moving, self._ensured, list(self._ending))
            try:
                result = fn()
                again = self._decide(attempts)
            except BaseException:
                self._undo(before)
                raise
            if again is None:
                self.commit()
                return result
            self._undo(before)
            self._go_on(again.loaded)
            self._start()
        raise StoreUnavailableError("the transaction met another one every time")

    def _undo(self, before: _Standing) -> None:
        """Take back what a transaction's function did to attributes and life cycle."""
        self._loaded, self._id, self._source, self._moving, self._ensured, self._ending = before
        self._start()

    def _decide(self, attempts: Transaction) -> Again | None:
        """Store what the function changed; say on what it must run again if somebody came first."""
        changes = self._changes()
        loaded = self._loaded
        if loaded is None or not changes:
            return None
        outcome = self._guarded(lambda: attempts.decide(loaded, changes))
        if isinstance(outcome, Loaded):
            self._go_on(outcome)
            self.attributes.rebase(outcome.record.live, changes)
            return None
        if isinstance(outcome, Absent) and outcome.taken:
            self._gone = True
            return None
        self._manager.stats.count("transaction_retries")
        return Again(None) if isinstance(outcome, Absent) else outcome

    def _go_on(self, loaded: Loaded | None) -> None:
        """Go on with the session as it is now: maybe under another id, which another response tells, or not at all."""
        self._loaded = loaded
        if loaded is None:
            self._id = self._source = None
            self._moving = self._ensured = False
        elif not self._moving and self._id is not None and self._id.key != loaded.key:
            self._id = None

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except StoreUnavailableError as error:
            self._fail(error)
            raise

    # -- commit ----------------------------------------------------------------------------------------------------

    def finish(self, *, save: bool = True) -> Update:
        """Commit before the headers leave; return what the client must be told, of earlier commits too.

        Args:
            save: False: store nothing more.

        Raises:
            StoreUnavailableError, SessionTooLargeError: the session was not saved.
            TypeError: an attribute holds something that cannot be stored.
        """
        update = self._commit() if save else NOTHING
        owed, self._owed = self._owed, Tell.NOTHING
        if owed is not Tell.NOTHING and update.tell in (Tell.NOTHING, Tell.AGE):
            return self._update(owed)
        return update

    def check_values(self) -> None:
        """Encode what changed; drop the changes when that cannot be done, so that an error page can still be sent.

        Raises:
            TypeError: an attribute holds something that cannot be stored.
        """
        if self._attributes is None or not self.available:
            return
        try:
            self._attributes.changes()
        except TypeError:
            self._start()
            raise

    def touch(self) -> None:
        """Prolong a session that the request did not use, if the store can be reached."""
        try:
            _ = self.attributes
        except StoreUnavailableError:
            self.failure = None
            self.accessed = False

    def _commit(self) -> Update:
        situation = self._situation()
        step, tell = COMMIT_TABLE[situation]
        if self.headers_sent and tell in (Tell.ID, Tell.EXPIRED):
            raise HeadersSentError(
                f"the session is {situation.value}, which needs a cookie, but the response headers have left; "
                "do that before the first byte of the body"
            )
        stands = self._guarded(lambda: step(self))
        return self._update(tell) if stands else NOTHING

    def _update(self, tell: Tell) -> Update:
        # An id that came by URL or form is never promoted to a cookie, except by change_id.
        by_cookie = self._source in ("cookie", None) or self._changed_id
        return Update(tell, self._id.text if self._id else "", by_cookie=by_cookie)

    def _situation(self) -> Situation:
        if self._attributes is None or not self.available:
            return Situation.UNTOUCHED
        if self._gone:
            return Situation.GONE
        if self._manager.end_when_emptied and self._emptied():
            self.invalidate()
        if self._loaded is not None:
            return self._situation_of_known(self._loaded)
        used = self._used(self._attributes)
        if self._ending:
            return Situation.REPLACED if used else Situation.ENDED
        if not used:
            return Situation.EMPTY
        return Situation.LATE if self._late and not self._moving else Situation.NEW

    def _situation_of_known(self, loaded: Loaded) -> Situation:
        if self._moving:
            return Situation.MOVED
        if self._reissued():
            return Situation.REISSUED
        return Situation.CHANGED if self._changes() else Situation.READ

    def _used(self, attributes: Attributes) -> bool:
        """Whether a new session has something to store."""
        return self._ensured or (attributes.touched() and any(attributes.names()))

    def _emptied(self) -> bool:
        attributes = self.attributes
        return self._loaded is not None and attributes.emptied()

    def _reissued(self) -> bool:
        """Whether the client must get the same session under another text: this node's route, or the present key."""
        if self._id is None or self._source is None or self.headers_sent:
            return False
        ids = self._manager.ids
        return self._id.outdated or (self._manager.sticky and self._id.route != ids.route)

    def _changes(self) -> Changes:
        changes = self.attributes.changes()
        binds = self._manager.beyond_cookies and self._source == "cookie" and self._loaded is not None
        if binds and self._loaded and not self._loaded.record.cookie_only:
            return changes._replace(cookie_only=True)
        return changes

    # The steps of the commit table: do what the row says, and say whether the client's id stands.

    def do_nothing(self) -> bool:
        """Store nothing: there is nothing new, or the load has prolonged it."""
        return True

    def do_create(self) -> bool:
        """Store a new session under a new id."""
        self._id = self._id or self._manager.ids.new()
        changes = self._changes()
        interval = self._manager.default_interval
        self._loaded = self._manager.store.create(self._id.key, changes, interval)
        self._settled(self._loaded, changes)
        self._manager.stats.count("created")
        return True

    def do_merge(self) -> bool:
        """Merge the changes into every copy."""
        changes = self._changes()
        return not changes or self._adopt(self._manager.store.commit(self._known(), changes), changes)

    def do_reissue(self) -> bool:
        """Give the same record's id a present-day text (the load has repaired the record itself)."""
        stands = self.do_merge()
        if self._id is not None:
            self._id = self._manager.ids.reissue(self._id.token)
        self._manager.stats.count("reissued")
        return stands

    def do_move(self) -> bool:
        """Carry the session to its new key and leave the mark "moved" under the old one."""
        changes = self._changes()
        new_id = self._id = self._id or self._manager.ids.new()
        self._moving = False
        self._changed_id = True
        self._manager.stats.count("id_changes")
        return self._adopt(self._manager.store.move(self._known(), new_id.key, changes), changes)

    def do_end(self) -> bool:
        """Put tombstones on every copy of what was invalidated."""
        while self._ending:
            self._manager.store.end(self._ending[0])
            del self._ending[0]
            self._manager.stats.count("ended")
        return True

    def do_replace(self) -> bool:
        """End the old session, then store the new one."""
        return self.do_end() and self.do_create()

    def do_withhold(self) -> bool:
        """Create nothing: its cookie would overwrite the one that another response is bringing."""
        self._manager.stats.count("withheld")
        return False

    def _known(self) -> Loaded:
        if self._loaded is None:
            raise StoreUnavailableError("the session was not loaded")
        return self._loaded

    def _adopt(self, outcome: Loaded | Absent, changes: Changes) -> bool:
        if isinstance(outcome, Absent):
            # It ended or moved meanwhile; the response that did so tells the client.
            self._manager.stats.count(f"late_{outcome.why.value}")
            found = self._manager.store.find(outcome.moved_to) if outcome.why is Absence.MOVED else outcome
            self._go_on(found if isinstance(found, Loaded) else None)
            self._gone = self._loaded is None
            if self._loaded is not None:
                self._settled(self._loaded, changes)
            return False
        self._loaded = outcome
        self._settled(outcome, changes)
        return True

    def _settled(self, loaded: Loaded, changes: Changes) -> None:
        self._moving = self._ensured = False
        self.attributes.rebase(loaded.record.live, changes)


class Situation(Enum):
    """What a request has made of its session, as seen at commit."""

    UNTOUCHED = "untouched"
    GONE = "ended by another request"
    EMPTY = "new and empty"
    LATE = "new under an id that was moved a moment ago"
    NEW = "new"
    READ = "only read"
    CHANGED = "changed"
    REISSUED = "to be re-issued"
    MOVED = "given a new id"
    ENDED = "ended"
    REPLACED = "ended, then used again"


#: The whole policy of a commit: situation -> (what the store does, what the client is told).
COMMIT_TABLE: dict[Situation, tuple[Callable[[Life], bool], Tell]] = {
    Situation.UNTOUCHED: (Life.do_nothing, Tell.NOTHING),
    Situation.GONE: (Life.do_nothing, Tell.NOTHING),
    Situation.EMPTY: (Life.do_nothing, Tell.NOTHING),
    Situation.LATE: (Life.do_withhold, Tell.NOTHING),
    Situation.NEW: (Life.do_create, Tell.ID),
    Situation.READ: (Life.do_nothing, Tell.AGE),
    Situation.CHANGED: (Life.do_merge, Tell.AGE),
    Situation.REISSUED: (Life.do_reissue, Tell.ID),
    Situation.MOVED: (Life.do_move, Tell.ID),
    Situation.ENDED: (Life.do_end, Tell.EXPIRED),
    Situation.REPLACED: (Life.do_replace, Tell.ID),
}
