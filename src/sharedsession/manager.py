"""What all sessions of one middleware share: store, ids, values and policy. Knows no HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from .dialogue import FormerSession, Requested, Source
from .ids import BadId, IdFactory, SessionId
from .lines import Lines, Place, briefly
from .lock import SessionLock, Waiters
from .memcached.agreement import Agreement
from .memcached.outcomes import UNKNOWN, Absent, Loaded
from .memcached.store import Store
from .principals import Principals
from .record import Changes
from .stats import Stats
from .values import ValueCodec

#: Well-signed ids of one kind that are asked of the store in one request.
MOST_IDS: Final = 5
#: Requests over which strays are counted when the balancer should be sticky.
ROUTES_WATCHED: Final = 100

#: Why an id that a client showed is not used -> level and text of the log line. What happens every day is no warning.
_REASONS = {
    "malformed": (logging.INFO, "malformed: made up, or the value of another application's cookie of this name"),
    "forged": (logging.WARNING, "forged: made up, or signed with a secret that is none of this process's"),
    "unknown": (logging.DEBUG, "unknown: its session has expired, or was lost"),
    "ended": (logging.DEBUG, "of a session that was logged out"),
    "moved": (logging.DEBUG, "given up by change_id()"),
    "refused_source": (logging.WARNING, "in a URL or form, though it has come back in a cookie: a link was passed on"),
    "ambiguous": (
        logging.WARNING,
        "one of several live ones in cookies of one name; the first counts. A sibling domain, or an application under "
        "another path, has set one: a __Host- name keeps their cookies apart",
    ),
    "fingerprint": (logging.WARNING, "shown by a client with another fingerprint than the session's: stolen, perhaps"),
}


def _is_another(found: SessionId, source: Source, verified: list[tuple[SessionId, Source]]) -> bool:
    """Say whether an id of this kind was not met yet, and may be asked too."""
    tokens = [session_id.token for session_id, kind in verified if kind == source]
    return found.token not in tokens and len(tokens) < MOST_IDS


class Manager:
    """The services and the policy behind every session.

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
        compresses: large values are stored compressed.
        lock_timeout: seconds to wait for a session's lock.
        principals: lists every principal's sessions; None: without limits, in `store`.
        agreement: compares this process's secret with those of other nodes.
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
        compresses: bool = True,
        lock_timeout: float = 10.0,
        principals: Principals | None = None,
        agreement: Agreement | None = None,
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
        self.compresses = compresses
        self.lock_timeout = lock_timeout
        self.principals: Principals = principals or Principals(store, store, ids.principal_keys, stats, clock)
        #: Whether all nodes have the same secret; None where there are no others.
        self.agreement: Agreement | None = agreement
        self.waiters: Waiters = Waiters()
        #: Who changes a session: one of a process at a time.
        self.lines: Lines = Lines()
        self._routed = self._strayed = 0

    def over(self, store: Store, stats: Stats, clock: Callable[[], float], principals: Principals) -> Manager:
        """Return the same policy over another store, which has no other nodes."""
        return Manager(
            store,
            self.ids,
            self.values,
            stats,
            clock,
            default_interval=self.default_interval,
            sticky=self.sticky,
            empty_when_unavailable=self.empty_when_unavailable,
            end_when_emptied=self.end_when_emptied,
            beyond_cookies=self.beyond_cookies,
            compresses=self.compresses,
            lock_timeout=self.lock_timeout,
            principals=principals,
        )

    def lock(self) -> SessionLock:
        """Return a lock for one request's session, not yet acquired."""
        return SessionLock(self.store, self.stats, self.clock, self.waiters)

    def turn(self, key: str) -> Place:
        """Return a context manager that lets one after the other of this process change a session; see `Lines.turn`."""
        return self.lines.turn(key, briefly)

    def note_route(self, session_id: SessionId) -> None:
        """Notice a balancer that is not sticky: more than a tenth of the requests arrive with another node's route."""
        self._routed += 1
        self._strayed += session_id.route != self.ids.route
        if self._routed >= ROUTES_WATCHED:
            if self._strayed * 10 > self._routed:
                self.stats.warn(
                    "not_sticky",
                    "sticky=True, but %d of the last %d requests came with another node's route: "
                    "the balancer does not route by the session id, or a node has just failed over",
                    self._strayed,
                    self._routed,
                )
            self._routed = self._strayed = 0

    def refuse(self, reason: str) -> None:
        """Count an id that is not used, and say why in the log, which never floods and never shows the id.

        Args:
            reason: a key of `_REASONS`.
        """
        level, text = _REASONS[reason]
        self.stats.warn(f"ids_{reason}", "a client's session id is %s", text, level=level)
        if self.agreement is not None and reason == BadId.FORGED.value:
            self.agreement.note_forged()

    def note_creation(self) -> None:
        """Count a session that was created."""
        self.stats.count("created")
        if self.agreement is not None:
            self.agreement.note_use()

    def verify(self, requested: Sequence[Requested]) -> list[tuple[SessionId, Source]]:
        """Return the well-signed ids among those the client showed, at most `MOST_IDS` of a kind, each once."""
        verified: list[tuple[SessionId, Source]] = []
        for each in requested:
            parsed = self.ids.parse(each.text)
            if isinstance(parsed, BadId):
                self.refuse(parsed.value)
            elif not verified or _is_another(parsed, each.source, verified):
                verified.append((parsed, each.source))
        return verified

    def adopt(self, former: FormerSession, *, slide: bool) -> tuple[SessionId, Loaded] | Absent:
        """Return the session that goes on where another library's cookie left off; the first who shows that stores it.

        Its id comes from what was signed, so that two first requests meet in one session. Beside it lies a mark that
        outlives the cookie: when the session has ended, moved or expired, that cookie brings nothing back. The mark
        comes second: whoever finds the session without it puts it there before going on.

        Args:
            former: what the cookie held.
            slide: reading it starts its idle time anew.

        Raises:
            StoreUnavailableError: it can be neither found nor stored.
            TypeError: an attribute is of a type that cannot be stored.
        """
        ids = self.ids.adopted(former.signed)
        marks = [self.ids.mark_key(session_id.token) for session_id in ids]
        found = list(self.store.load_each([*(session_id.key for session_id in ids), *marks], slide=slide))
        if all(each == UNKNOWN for each in found):
            found[0] = self._begin(ids[0].key, former)
        for session_id, mark, session, marked in zip(ids, marks, found, found[len(ids) :], strict=False):
            if isinstance(session, Loaded):
                if marked == UNKNOWN or isinstance(marked, Loaded):
                    self._mark(mark, former.lasts)
                return session_id, session
        return max((each for each in found if isinstance(each, Absent)), key=lambda absent: absent.recently)

    def _begin(self, key: str, former: FormerSession) -> Loaded | Absent:
        values = {name: self.values.encode(name, value) for name, value in former.attributes.items()}
        begun = self.store.create(key, Changes(values), former.interval)
        if begun.record.state:
            return self.store.absent(begun.record)  # another request took it over and ended it, all since the load
        self.stats.count("adopted")
        return begun

    def _mark(self, key: str, lasts: int) -> None:
        """Put a tombstone where no session is: it lives `lasts` seconds, which a maximal lifetime does not cut."""
        self.store.end(self.store.create(key, Changes(), lasts))
