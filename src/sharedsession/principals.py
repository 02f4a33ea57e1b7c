"""Which sessions a principal (authenticated user) has: a list on the ring, with copies and merge as for sessions.

The list is a record of its own, each session an attribute of it. A session is put on the list before it is stored, so
whoever is told "you are logged in" is on it; what is on it counts only if the session's own record names the
principal. So nothing has to be taken off the list when a session ends. A session in use is put there anew once an idle
life: that heals a lost list, and what has not been renewed for two lives has expired.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from .errors import StoreUnavailableError, TooManySessionsError
from .lines import Lines
from .memcached.outcomes import UNKNOWN, Absent, Loaded
from .memcached.store import Store
from .memcached.transaction import Transaction
from .record import OWN, SLACK, Changes, Entry, Record, life
from .stats import Stats

#: The attribute of a session that names its principal; the application never sees it.
PRINCIPAL = OWN + "principal"
#: Sessions of one principal that are listed.
MOST_LISTED = 4000
#: Old entries that are looked at when one is added, so that a list does not grow by sessions that have ended.
_LOOKED_AT = 16
#: Seconds for which a session may be listed and not be stored yet.
_PENDING = 60
#: Seconds that a change of a list waits for those of its process before it.
_LINE = 0.25
#: Compare-and-swaps that may be lost to others.
_ATTEMPTS = 200


class Named(NamedTuple):
    """What a session's record says of its principal."""

    name: str
    #: The same as long as the session lives, whatever its id.
    session: int
    #: When the principal was set, in milliseconds since the epoch.
    since: int
    #: When the session was last listed, in seconds since the epoch.
    listed: int

    def pack(self) -> bytes:
        """Return the value of the attribute."""
        return b"%d %d %d %b" % (self.session, self.since, self.listed, self.name.encode(errors="surrogatepass"))

    @classmethod
    def unpack(cls, payload: bytes) -> Named:
        """Return what `pack` has packed."""
        session, since, listed, name = payload.split(b" ", 3)
        return cls(name.decode(errors="surrogatepass"), int(session), int(since), int(listed))

    def is_due(self, now: int, interval: int) -> bool:
        """Say whether the session is to be listed anew."""
        return bool(interval) and now >= self.listed + interval


def named(record: Record) -> Named | None:
    """Return the principal of a session, if it has one."""
    entry = record.entries.get(PRINCIPAL)
    return None if entry is None or entry.payload is None else Named.unpack(entry.payload)


def new_name(name: str, now: float) -> Named:
    """Return what a session's record says of a principal that is set now, in seconds since the epoch."""
    return Named(name, secrets.randbits(63), int(now * 1000), int(now))


class _Listed(NamedTuple):
    """One session on a list."""

    key: str
    session: int
    since: int
    listed: int
    #: The session's max inactive interval in seconds; 0: never.
    interval: int

    def pack(self) -> bytes:
        return b"%d %d %d %d" % self[1:]

    def has_expired(self, now: int) -> bool:
        # A session in use is listed anew once a life; clocks differ by less than the slack.
        return bool(self.interval) and now > self.listed + 2 * self.interval + SLACK

    def is_pending(self, now: int) -> bool:
        return now <= self.listed + _PENDING


def _listed(record: Record) -> dict[str, _Listed]:
    entries: Iterable[tuple[str, Entry]] = record.entries.items()
    return {
        key: _Listed(key, *(int(number) for number in entry.payload.split()))
        for key, entry in entries
        if entry.payload is not None
    }


class Principals:
    """The lists.

    Args:
        lists: the store of the lists; they have no maximal lifetime.
        sessions: the store of the sessions.
        keys_of: returns the storage keys of a principal's list: the present one, then those of former secrets.
        stats: counts `sessions_displaced`, `sessions_refused`, `principals_full`.
        clock: seconds since the epoch.
        limit: live sessions that a principal may have; None: any number.
        refuse: a log-in above the limit is refused; False: the oldest session ends.
    """

    def __init__(
        self,
        lists: Store,
        sessions: Store,
        keys_of: Callable[[str], tuple[str, ...]],
        stats: Stats,
        clock: Callable[[], float],
        *,
        limit: int | None = None,
        refuse: bool = False,
    ) -> None:
        self._lists = lists
        self._sessions = sessions
        self._keys_of = keys_of
        self._stats = stats
        self._clock = clock
        self._limit = limit
        self._refuse = refuse
        #: Who changes a list: one of a process at a time.
        self.lines: Lines = Lines()

    # -- listing ---------------------------------------------------------------------------------------------------

    def enter(self, principal: Named, key: str, interval: int, *, joins: bool) -> None:
        """Put a session on its principal's list, before it is stored under that key.

        Args:
            principal: what the session's record will say.
            key: the session's storage key.
            interval: its max inactive interval in seconds; 0: never.
            joins: it was not the principal's before, so that it counts against the limit now.

        Raises:
            TooManySessionsError: the principal has as many as it may have.
            StoreUnavailableError: the list could not be changed.
        """
        entry = _Listed(key, principal.session, principal.since, self._now(), interval)
        present, *former = self._keys_of(principal.name)
        with self.lines.turn(present, lambda: _LINE):
            displaced = self._enter(entry, self._open(present, interval), self._read(former), joins=joins)
        for session in displaced:
            self._sessions.end(session)
            self._stats.count("sessions_displaced")

    def _open(self, key: str, interval: int) -> Loaded:
        """Return a list; an empty one is stored first, so that who comes first is decided on one that exists."""
        found = self._lists.find(key)
        return found if isinstance(found, Loaded) else self._lists.create(key, Changes(), _life_of_list(interval))

    def _enter(self, entry: _Listed, found: Loaded, former: Mapping[str, _Listed], *, joins: bool) -> list[Loaded]:
        attempts = Transaction(self._lists, self._now())
        for _ in range(_ATTEMPTS):
            others = {**former, **_listed(found.record)}
            others.pop(entry.key, None)
            displaced, gone = self._make_room(entry, others, joins=joins)
            outcome = attempts.decide(found, self._adding(entry, found, gone), remembered=False)
            if isinstance(outcome, Loaded):
                return displaced
            found = self._open(found.key, entry.interval) if isinstance(outcome, Absent) else outcome.loaded
        raise StoreUnavailableError("the principal's list could not be changed: others kept changing it")

    def _adding(self, entry: _Listed, found: Loaded, gone: Iterable[str]) -> Changes:
        wanted, present = _life_of_list(entry.interval), found.record.max_inactive_interval
        longer = wanted if present and (wanted == 0 or wanted > present) else None
        return Changes({entry.key: entry.pack()}, frozenset(gone) & found.record.live.keys(), interval=longer)

    def _make_room(self, entry: _Listed, others: dict[str, _Listed], *, joins: bool) -> tuple[list[Loaded], set[str]]:
        """Return the sessions that have to go for this one, and the keys of those that are gone already."""
        now = self._now()
        gone = {key for key, other in others.items() if other.has_expired(now)}
        rest = sorted((other for key, other in others.items() if key not in gone), key=lambda other: other.since)
        counts = joins and self._limit is not None
        live = self._look(rest if counts else rest[:_LOOKED_AT])
        gone |= {key for key, session in live.items() if session is None}
        gone |= self._overfull(len(rest) + 1, rest)
        return (self._displaced(rest, live, entry.session) if counts else []), gone

    def _look(self, listed: list[_Listed]) -> dict[str, Loaded | _Listed | None]:
        """Return what is behind entries: a session, an entry whose session is about to be stored, None for nothing."""
        now = self._now()
        found = self._sessions.load_each([other.key for other in listed], slide=False, mends=False)
        behind: dict[str, Loaded | _Listed | None] = {}
        for other, session in zip(listed, found, strict=True):
            if isinstance(session, Loaded) and (who := named(session.record)) and who.session == other.session:
                behind[other.key] = session
            else:
                behind[other.key] = other if session == UNKNOWN and other.is_pending(now) else None
        return behind

    def _displaced(self, rest: list[_Listed], behind: Mapping[str, Loaded | _Listed | None], mine: int) -> list[Loaded]:
        # One session may be listed under two ids while it is given a new one.
        sessions = {other.session: other for other in rest if behind[other.key] is not None}
        sessions.pop(mine, None)
        excess = len(sessions) + 1 - (self._limit or 0)
        if excess <= 0:
            return []
        if self._refuse:
            self._stats.count("sessions_refused")
            raise TooManySessionsError(self._limit or 0)
        oldest = sorted(sessions.values(), key=lambda other: other.since)[:excess]
        return [session for other in oldest if isinstance(session := behind[other.key], Loaded)]

    def _overfull(self, count: int, rest: list[_Listed]) -> set[str]:
        if count <= MOST_LISTED:
            return set()
        self._stats.warn(
            "principals_full", "a principal has more than %d sessions; the oldest are not listed", MOST_LISTED
        )
        return {other.key for other in rest[: count - MOST_LISTED]}

    # -- reading and ending ----------------------------------------------------------------------------------------

    def of(self, name: str) -> list[Loaded]:
        """Return a principal's live sessions, the oldest log-in first.

        Raises:
            StoreUnavailableError: the list, or one of the sessions, cannot be read.
        """
        listed = sorted(self._read(self._keys_of(name)).values(), key=lambda other: other.since)
        loaded = self._sessions.load_each([other.key for other in listed], slide=False, mends=False)
        found: dict[int, Loaded] = {}
        for session in loaded:
            if isinstance(session, Loaded) and (who := named(session.record)) and who.name == name:
                found[who.session] = session
        return list(found.values())

    def end_all(self, name: str, keep: int | None = None) -> int:
        """End a principal's sessions; return how many were live.

        Also those that are listed and about to be stored: a log-in that had not been answered when this began.

        Args:
            name: the principal.
            keep: the session that stays (`Named.session`).

        Raises:
            StoreUnavailableError: not all could be ended; the others are.
        """
        ended, failure = 0, None
        for entry in self._read(self._keys_of(name)).values():
            if entry.session == keep:
                continue
            try:
                ended += self._end(entry, name)
            except StoreUnavailableError as error:
                failure = error
        if failure is not None:
            raise failure
        return ended

    def _end(self, entry: _Listed, name: str) -> bool:
        found = self._sessions.find(entry.key)
        if isinstance(found, Loaded):
            who = named(found.record)
            if who is None or who.name != name:
                return False
            self._sessions.end(found)
            return True
        if found == UNKNOWN and entry.is_pending(self._now()):
            # Whoever is about to store it finds the tombstone.
            self._sessions.end(self._sessions.create(entry.key, Changes(), entry.interval))
        return False

    def _read(self, keys: Iterable[str]) -> dict[str, _Listed]:
        found: dict[str, _Listed] = {}
        for session in self._lists.load_each(list(keys), slide=False):
            if isinstance(session, Loaded):
                found.update(_listed(session.record))
        return found

    def _now(self) -> int:
        return int(self._clock())


def _life_of_list(interval: int) -> int:
    """Return how long a list lives that nobody changes: longer than the session that was put there last."""
    return 2 * life(interval) + SLACK if interval else 0
