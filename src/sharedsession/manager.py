"""What all sessions of one middleware share: store, ids, values and policy. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .dialogue import Requested, Source
from .ids import BadId, IdFactory, SessionId
from .memcached.store import Store
from .stats import Stats
from .values import ValueCodec

#: Well-signed ids of one kind that are asked of the store in one request.
MOST_IDS = 5
#: Requests over which strays are counted when the balancer should be sticky.
ROUTES_WATCHED = 100


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
