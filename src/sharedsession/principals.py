"""Which sessions a principal (authenticated user) has: a list on the ring, with copies and merge as for sessions.

The list is a record of its own, each session an attribute of it. A session is put on the list before it is stored, so
whoever is told "you are logged in" is on it; what is on it counts only if the session's own record names the
principal. So nothing has to be taken off the list when a session ends. A session in use is put there anew once an idle
life, at least once a day: that heals a lost list, and what has not been renewed for two lives has expired.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from .errors import StoreError, StoreUnavailableError, TooManySessionsError
from .lines import Lines, briefly
from .memcached.outcomes import UNKNOWN, Absence, Absent, Loaded
from .memcached.store import Store
from .memcached.transaction import Transaction
from .record import DELETED, OWN, PAYLOAD, SLACK, Changes, Record, life
from .stats import Stats

#: The attribute of a session that names its principal; the application never sees it.
PRINCIPAL = OWN + "principal"
#: When a session was last listed, in seconds since the epoch. Beside the other: who only lists it must not undo what
#: another request says of whose it is.
LISTED = OWN + "listed"
#: Seconds after which a session in use is listed anew, whatever its life.
_RELISTED = 86400
#: Sessions of one principal that are listed: with the longest `key_prefix`, as much as one item of memcached holds.
MOST_LISTED = 3000
#: Old entries that are looked at when one is added, so that a list does not grow by sessions that have ended.
_LOOKED_AT = 16
#: Deletion marks that a list keeps. It can do without: an entry that comes back is found to lead nowhere.
_MARKS = 256
#: Seconds for which a session may be listed and not be stored yet, also by clocks that differ.
_PENDING = 60 + SLACK
#: Compare-and-swaps that may be lost to others.
_ATTEMPTS = 200


class Named(NamedTuple):
    """What a session's record says of its principal."""

    name: str
    #: The same as long as the session lives, whatever its id.
    session: int
    #: When the principal was set, in milliseconds since the epoch; later than any former one's.
    since: int

    def pack(self) -> bytes:
        """Return the value of the attribute."""
        return b"%d %d %b" % (self.session, self.since, self.name.encode(errors="surrogatepass"))

    @classmethod
    def unpack(cls, payload: bytes) -> Named:
        """Return what `pack` has packed."""
        session, since, name = payload.split(b" ", 2)
        return cls(name.decode(errors="surrogatepass"), int(session), int(since))


def named(record: Record) -> Named | None:
    """Return the principal of a session, if it has one."""
    payload = record.payload(PRINCIPAL)
    return None if payload is None else Named.unpack(payload)


def new_name(name: str, now: float, stored: Loaded | None) -> Named:
    """Return what a session's record says of a principal that is set now.

    Args:
        name: the principal.
        now: seconds since the epoch.
        stored: the session; None: it is new.
    """
    if stored is None:
        return Named(name, secrets.randbits(63), int(now * 1000))
    # Requests that name one session at the same time, or name it again, mean the same one.
    former = named(stored.record)
    number = former.session if former else int.from_bytes(hashlib.sha256(stored.key.encode()).digest()[:7])
    return Named(name, number, max(int(now * 1000), _said(stored.record) + 1))


def is_due(record: Record, now: int) -> bool:
    """Say whether a session that is in use is to be listed anew."""
    listed = int(record.payload(LISTED) or 0)
    return now >= listed + min(life(record.max_inactive_interval), _RELISTED)


def _said(record: Record) -> int:
    """Return when it was last said whose a session is, or that it is nobody's, in milliseconds since the epoch."""
    entry = record.entries.get(PRINCIPAL)
    if entry is None:
        return 0
    payload = entry[PAYLOAD]
    return entry[DELETED] * 1000 + 999 if payload is None else Named.unpack(payload).since


class _Listed(NamedTuple):
    """One session on a list."""

    key: str
    session: int
    since: int
    listed: int
    #: The session's max inactive interval in seconds; 0: never.
    interval: int
    #: The last `clear()` of the session that whoever listed it had seen.
    seen: int

    def pack(self) -> bytes:
        return b"%d %d %d %d %d" % self[1:]

    def has_expired(self, now: int) -> bool:
        # A session in use is listed anew once a life; clocks differ by less than the slack.
        return bool(self.interval) and now > self.listed + 2 * self.interval + SLACK

    def is_pending(self, now: int) -> bool:
        """Say whether the session may be about to be stored; later than that it has expired."""
        return now <= self.listed + min(_PENDING, life(self.interval))

    def is_under_way(self, record: Record, now: int) -> bool:
        """Say whether the session, which is stored, may be about to become the principal's: the log-in comes last."""
        return self.is_pending(now) and self.since > _said(record) and self.seen == record.cleared


def _listed(record: Record) -> dict[str, _Listed]:
    return {key: _Listed(key, *(int(number) for number in payload.split())) for key, payload in record.live.items()}


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

    def enter(self, principal: Named, key: str, interval: int, *, joins: bool, seen: int = 0) -> Callable[[], None]:
        """Put a session on its principal's list, before it is stored under that key.

        Returns what is to be called once the session is stored: it ends those that have to go for it.

        Args:
            principal: what the session's record will say.
            key: the session's storage key.
            interval: its max inactive interval in seconds; 0: never.
            joins: it was not the principal's before, so that it counts against the limit now.
            seen: the last `clear()` of the session, as it was read.

        Raises:
            TooManySessionsError: the principal has as many as it may have.
            StoreUnavailableError, SessionTooLargeError: the list could not be changed.
        """
        entry = _Listed(key, principal.session, principal.since, self._now(), interval, seen)
        present, *former = self._keys_of(principal.name)
        with self.lines.turn(present, briefly):
            found = self._open(present, interval)
            displaced = self._enter(principal.name, entry, found, self._read(former), joins=joins)
        return lambda: self._displace(principal.name, displaced)

    def _displace(self, name: str, displaced: list[_Listed]) -> None:
        for other in displaced:
            with suppress(StoreUnavailableError):  # the new session is stored; the next log-in makes room again
                if self._end(other, name, lambda _: True) is not None:
                    self._stats.count("sessions_displaced")

    def leave(self, principal: Named, key: str) -> None:
        """Take a session off the list that could not be stored under that key; if need be it falls off by itself."""
        with suppress(StoreError):
            found = self._lists.find(self._keys_of(principal.name)[0])
            if isinstance(found, Loaded):
                self._lists.commit(found, Changes(deleted=frozenset([key])))

    def _open(self, key: str, interval: int) -> Loaded:
        """Return a list; an empty one is stored first, so that who comes first is decided on one that exists."""
        found = self._lists.find(key)
        return found if isinstance(found, Loaded) else self._lists.create(key, Changes(), _life_of_list(interval))

    def _enter(
        self, name: str, entry: _Listed, found: Loaded, former: Mapping[str, _Listed], *, joins: bool
    ) -> list[_Listed]:
        attempts = Transaction(self._lists, self._now())
        for _ in range(_ATTEMPTS):
            others = {**former, **_listed(found.record)}
            others.pop(entry.key, None)
            displaced, gone = self._make_room(name, entry, others, joins=joins)
            outcome = attempts.decide(found, self._adding(entry, found, gone), remembered=False)
            if isinstance(outcome, Loaded):
                return displaced
            found = self._open(found.key, entry.interval) if isinstance(outcome, Absent) else outcome.loaded
        raise StoreUnavailableError("the principal's list could not be changed: others kept changing it")

    def _adding(self, entry: _Listed, found: Loaded, gone: set[str]) -> Changes:
        wanted, present = _life_of_list(entry.interval), found.record.max_inactive_interval
        longer = wanted if present and (wanted == 0 or wanted > present) else None
        live, added = found.record.live, {entry.key: entry.pack()}
        dropped = gone & live.keys()
        if len(found.record.entries) - len(live) + len(dropped) <= _MARKS:
            return Changes(added, frozenset(dropped), interval=longer)
        kept = {key: payload for key, payload in live.items() if key not in gone}
        return Changes({**kept, **added}, cleared=True, interval=longer)

    def _make_room(
        self, name: str, entry: _Listed, others: dict[str, _Listed], *, joins: bool
    ) -> tuple[list[_Listed], set[str]]:
        """Return the entries whose sessions have to go for this one, and the keys of those that are gone already."""
        now = self._now()
        rest = [other for other in others.values() if not other.has_expired(now)]
        counts = joins and self._limit is not None
        # Any of them: the oldest may be alive for long.
        looked = rest if counts else random.sample(rest, min(_LOOKED_AT, len(rest)))
        behind = self._behind(name, looked, {entry.key, *others})
        gone = others.keys() - {other.key for other in rest} | {other.key for other in looked} - behind.keys()
        gone |= self._overfull(len(rest) + 1, rest)
        return (self._displaced(behind, others, entry.session) if counts else []), gone

    def _behind(self, name: str, listed: list[_Listed], known: Container[str]) -> dict[str, Loaded | None]:
        """Return the sessions behind entries, by the entry's key; None: it may be about to be stored, or named.

        Args:
            name: the principal.
            listed: the entries.
            known: keys of all entries; of a session that has moved, the one under its new key counts.
        """
        now = self._now()
        found = self._sessions.load_each([entry.key for entry in listed], slide=False, mends=False)
        behind: dict[str, Loaded | None] = {}
        for entry, stored in zip(listed, found, strict=True):
            moved = isinstance(stored, Absent) and stored.why is Absence.MOVED
            session = self._sessions.glance(entry.key) if moved else stored
            if isinstance(session, Absent):
                if session == UNKNOWN and entry.is_pending(now):
                    behind[entry.key] = None
            elif session.key == entry.key or session.key not in known:
                who = named(session.record)
                if who is not None and who.name == name:
                    behind[entry.key] = session
                elif entry.is_under_way(session.record, now):
                    behind[entry.key] = None
        return behind

    def _displaced(
        self, behind: Mapping[str, Loaded | None], entries: Mapping[str, _Listed], mine: int
    ) -> list[_Listed]:
        # One session may be listed under two ids while it is given a new one.
        sessions: dict[int, list[_Listed]] = {}
        for key, session in behind.items():
            who = named(session.record) if session else None
            sessions.setdefault(who.session if who else entries[key].session, []).append(entries[key])
        sessions.pop(mine, None)
        excess = len(sessions) + 1 - (self._limit or 0)
        if excess <= 0:
            return []
        if self._refuse:
            self._stats.count("sessions_refused")
            raise TooManySessionsError(self._limit or 0)
        oldest = sorted(sessions.values(), key=lambda each: each[0].since)[:excess]
        return [other for each in oldest for other in each]

    def _overfull(self, count: int, rest: list[_Listed]) -> set[str]:
        if count <= MOST_LISTED:
            return set()
        self._stats.warn(
            "principals_full", "a principal has more than %d sessions; the oldest are not listed", MOST_LISTED
        )
        oldest = sorted(rest, key=lambda other: other.since)
        return {other.key for other in oldest[: count - MOST_LISTED]}

    # -- reading and ending ----------------------------------------------------------------------------------------

    def of(self, name: str) -> list[Loaded]:
        """Return a principal's live sessions, the oldest log-in first.

        Raises:
            StoreUnavailableError: the list, or one of the sessions, cannot be read.
        """
        entries = self._read(self._keys_of(name))
        listed = sorted(entries.values(), key=lambda other: other.since)
        found: dict[int, Loaded] = {}
        for session in self._behind(name, listed, entries).values():
            if session is not None and (who := named(session.record)):
                found[who.session] = session
        return list(found.values())

    def end(self, name: str, meant: Callable[[int], bool]) -> int:
        """End sessions of a principal; return how many were live.

        Also those that are listed and about to be stored: a log-in that had not been answered when this began.

        Args:
            name: the principal.
            meant: says of a session (`Named.session`) whether it is to end.

        Raises:
            StoreUnavailableError: not all could be ended; the others are.
        """
        ended: set[int | None] = {None}
        failure = None
        for entry in self._read(self._keys_of(name)).values():
            try:
                ended.add(self._end(entry, name, meant))
            except StoreUnavailableError as error:
                failure = error
        if failure is not None:
            raise failure
        return len(ended) - 1

    def _end(self, entry: _Listed, name: str, meant: Callable[[int], bool]) -> int | None:
        """End the session behind an entry, if it is the principal's and meant; return which it was, if it was live."""
        found = self._sessions.find(entry.key)
        if isinstance(found, Loaded):
            who = named(found.record)
            if who is not None and who.name == name:
                if meant(who.session):
                    self._sessions.end(found)
                    return who.session
            elif meant(entry.session) and entry.is_under_way(found.record, self._now()):
                self._sessions.end(found)
        elif found == UNKNOWN and meant(entry.session) and entry.is_pending(self._now()):
            # Whoever is about to store it finds the tombstone.
            self._sessions.end(self._sessions.create(entry.key, Changes(), entry.interval))
        return None

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
