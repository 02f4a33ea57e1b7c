"""What is stored of a session, and the one function that settles two versions of it.

Every change carries a stamp `(version, writer)`: the version is a Lamport counter (1 + the version of the record that
the writer had read), the writer a random number per commit. `merge` takes, attribute by attribute, the higher stamp,
and is commutative, associative and idempotent: it settles two writers, two copies that drifted apart and a change of
the ring alike. Pure: no clock, no codec, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from enum import IntEnum
from operator import itemgetter
from typing import Final, NamedTuple

#: How the names of the library's own attributes begin: the application neither sees nor sets them.
OWN: Final = "\0"
#: Seconds that a tombstone or deletion mark outlives every copy it must defeat.
SLACK: Final = 300
#: Seconds after a move during which a late request with the old id gets no cookie of its own.
MOVE_GRACE = 30
#: Versions that one epoch of the decider has room for: those of a later epoch are all higher.
EPOCH: Final = 1 << 32
#: A new epoch is a random step of at most this above the last: two that begin one at once begin different ones.
EPOCH_STEP = 1 << 14
#: Transactions that a record remembers, and for how many seconds: their callers may still ask whether they were stored.
RECENT, RECENT_FOR = 256, 30
#: Clears of a session that a record remembers: those that a request which is still running may have made.
CLEARS: Final = 8
#: Sorts those transactions, (writer, time), by age.
_AGE = itemgetter(1, 0)
_TIME = itemgetter(1)
_GENERATION: Final = 1 << 32
#: Makes a named tuple at half of what its class takes.
_new: Final = tuple.__new__
#: Longest life in seconds that stands for "never expires" where a number is needed.
FOREVER: Final = 10 * 365 * 86400


class State(IntEnum):
    """Life of a record. The higher state wins a merge: ended beats everything."""

    LIVE = 0
    MOVED = 1
    ENDED = 2


class Stamp:
    """When and by whom something was written.

    Args:
        version: 1 + the highest that the writer had seen.
        writer: a random number.
        seen: the last `clear()` that the writer had seen, `Record.cleared`.
    """

    __slots__ = ("seen", "version", "writer")

    def __init__(self, version: int, writer: int, seen: int = 0) -> None:
        self.version: int = version
        self.writer: int = writer
        self.seen: int = seen


#: One attribute: its encoded value, or the mark that it was deleted. A plain tuple, as msgpack makes and packs it: a
#: session has many, and each is read and written with every request that uses it.
Entry = tuple[int, int, bytes | None, int, int]
#: Places in an entry: the version and the writer of its stamp; the encoded value, None for the deletion mark; time of
#: deletion in seconds since the epoch, 0 for a value; the last `clear()` that the writer had seen.
VERSION: Final = 0
WRITER: Final = 1
PAYLOAD: Final = 2
DELETED: Final = 3
SEEN: Final = 4
#: How many these are.
ENTRY_FIELDS: Final = 5


class Record(NamedTuple):
    """One session as stored. Times are in seconds since the epoch, intervals in seconds (0: never expires)."""

    created: int
    #: Max inactive interval with the stamp of whoever set it; 0 means never.
    interval: tuple[int, int, int]
    #: The longest interval the session ever had: how long orphan copies can survive.
    longest: int
    entries: dict[str, Entry] = {}  # noqa: RUF012  # never changed: many records share one
    #: The `clear()` calls behind this record, the last one first: (generation << 32) + who cleared. Attributes whose
    #: writer had not seen the last one were swept away.
    floor: tuple[int, ...] = ()
    state: State = State.LIVE
    #: Storage key of the session's new record; only when moved.
    moved_to: str = ""
    #: When it was moved or ended; 0 while live.
    closed: int = 0
    #: Node whose compare-and-swap decides transactions, with the epoch of that choice: (epoch, node).
    decider: tuple[int, str] = (0, "")
    #: The last transactions decided on the way to this record: (writer, time), the last one last.
    recent: tuple[tuple[int, int], ...] = ()
    #: The id has come back in a cookie: from then on it counts only there, not in URLs and forms.
    cookie_only: bool = False

    @property
    def version(self) -> int:
        """The highest version anything in the record carries, at least that with which its epoch begins."""
        return _version(self)

    @property
    def cleared(self) -> int:
        """The last `clear()`; 0: there was none."""
        return self.floor[0] if self.floor else 0

    @property
    def max_inactive_interval(self) -> int:
        """Seconds without a request after which the session ends; 0 means never."""
        return self.interval[0]

    @property
    def live(self) -> dict[str, bytes]:
        """Attribute name -> encoded value, deletion marks left out."""
        return {name: payload for name, (_, _, payload, _, _) in self.entries.items() if payload is not None}

    def payload(self, name: str) -> bytes | None:
        """Return an attribute's encoded value; None: there is none, or it was deleted."""
        return payload_of(self.entries, name)


def _version(record: Record) -> int:
    highest = max(record.interval[1], record.decider[0] * EPOCH)
    for entry in record.entries.values():
        if entry[VERSION] > highest:
            highest = entry[VERSION]
    return highest


def stamp_after(record: Record, writer: int) -> Stamp:
    """Return the stamp of a change by one who has read the record."""
    return Stamp(_version(record) + 1, writer, record.cleared)


def payload_of(entries: dict[str, Entry], name: str) -> bytes | None:
    """Return an attribute's encoded value; None: there is none, or it was deleted."""
    entry = entries.get(name)
    return None if entry is None else entry[PAYLOAD]


class Changes(NamedTuple):
    """What one request changed: the difference it commits."""

    #: Attribute name -> encoded value.
    values: Mapping[str, bytes] = {}
    #: Names of deleted attributes.
    deleted: frozenset[str] = frozenset()
    #: `clear()` was called before `values` were set.
    cleared: bool = False
    #: New max inactive interval in seconds, 0 for never; None when unchanged.
    interval: int | None = None
    #: From now on the id counts only in cookies.
    cookie_only: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing was changed. Not `__bool__`: compiled, a tuple's truth is its length."""
        return not (self.values or self.deleted or self.cleared or self.interval is not None or self.cookie_only)


#: Nothing was changed.
NO_CHANGES = Changes()


def merge(a: Record, b: Record) -> Record:
    """Return what both records together say. Commutative, associative and idempotent up to the order of attributes."""
    if a == b:
        return a
    if a.state or b.state:
        merged = _closed(a, b)
    elif a.decider[0] != b.decider[0]:
        # A later epoch is the truth: whoever began it had read all that was acknowledged before. What was sent under
        # the former one since is brought in anew by its senders, or does not stand.
        merged = max(a, b, key=lambda record: record.decider[0])
    else:
        merged = _blend(a, b)
    return merged._replace(
        created=min(a.created, b.created),
        longest=max(a.longest, b.longest),
        cookie_only=a.cookie_only or b.cookie_only,
    )


def _closed(a: Record, b: Record) -> Record:
    """A tombstone keeps no attributes: nothing of an ended session comes back. Of two moves the later epoch's wins."""
    winner = max(a, b, key=lambda record: (record.state, record.decider, record.closed, record.moved_to))
    return tombstone(winner, winner.state, winner.closed, winner.moved_to)


def _blend(a: Record, b: Record) -> Record:
    floor = max(a.floor, b.floor)
    return a._replace(
        interval=max(a.interval, b.interval, key=_interval_order),
        entries=_merge_entries(a, b, floor),
        floor=floor,
        decider=max(a.decider, b.decider),
        recent=_united(a.recent, b.recent),
    )


def _united(a: tuple[tuple[int, int], ...], b: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return a if a == b else _remembered({*a, *b})


def _remembered(transactions: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return those that a record remembers. The newest of a union are the newest of its parts, so merging agrees."""
    newest = sorted(transactions, key=_AGE)[-RECENT:]
    return tuple(newest[bisect_left(newest, newest[-1][1] - RECENT_FOR, key=_TIME) :])


def _interval_order(interval: tuple[int, int, int]) -> tuple[int, int, int]:
    seconds, version, writer = interval
    return version, writer, seconds


def _merge_entries(a: Record, b: Record, floor: tuple[int, ...]) -> dict[str, Entry]:
    last = floor[0] if floor else 0
    entries = {name: entry for name, entry in a.entries.items() if entry[SEEN] >= last}
    for name, entry in b.entries.items():
        if entry[SEEN] >= last:
            _put(entries, name, entry)
    return entries


def _entry_order(entry: Entry) -> tuple[int, int, int, bytes]:
    # One writer writes an attribute once, so the stamp alone decides; the rest only makes the order total.
    version, writer, payload, deleted, _ = entry
    return version, writer, deleted, payload or b""


def apply(record: Record, changes: Changes, stamp: Stamp, now: int) -> Record:
    """Return the live record with one request's changes, stamped: the same as merging them in.

    So a change that is older than what stands, or made without having seen the last `clear`, is dropped. A `clear`
    sweeps away whatever was written without having seen it, whatever its stamp: log-out by `clear()` is final. The
    values set after it stand unless somebody else has cleared meanwhile.
    """
    floor, swept = record.floor, record.cleared > stamp.seen
    entries = dict(record.entries)
    if changes.cleared:
        floor, swept = _clear(record, stamp)
        if floor != record.floor:
            entries = {}
    if not swept:
        _write(entries, changes, stamp, floor[0] if floor else 0, now)
    interval = record.interval
    if changes.interval is not None:
        interval = max(interval, (changes.interval, stamp.version, stamp.writer), key=_interval_order)
    longest = max(record.longest, life(interval[0]))
    kept = _forget_old_marks(entries, now - longest - SLACK)
    cookie_only = record.cookie_only or changes.cookie_only
    created, _, _, _, _, state, moved_to, closed, decider, recent, _ = record
    fields = (created, interval, longest, kept, floor, state, moved_to, closed, decider, recent, cookie_only)
    return _new(Record, fields)


def _clear(record: Record, stamp: Stamp) -> tuple[tuple[int, ...], bool]:
    """Return the floor after a clear, and whether what was set after it is swept away by somebody else's.

    A clear that stands in the record already is not made again at a retry: others have seen it and written since. One
    that meets a clear it had not seen goes on top of it; what it sets is dropped, as that other clear demands.
    """
    who = stamp.writer % _GENERATION
    own = [floor for floor in record.floor if floor % _GENERATION == who]
    first = stamp.seen // _GENERATION + 1
    if own:
        return record.floor, record.cleared != own[0] or own[0] // _GENERATION > first
    generation = max(record.cleared // _GENERATION + 1, first)
    return (generation * _GENERATION + who, *record.floor)[:CLEARS], record.cleared > stamp.seen


def _write(entries: dict[str, Entry], changes: Changes, stamp: Stamp, seen: int, now: int) -> None:
    for name, payload in changes.values.items():
        _put(entries, name, (stamp.version, stamp.writer, payload, 0, seen))
    for name in changes.deleted:
        _put(entries, name, (stamp.version, stamp.writer, None, now, seen))


def _put(entries: dict[str, Entry], name: str, entry: Entry) -> None:
    standing = entries.get(name)
    if standing is None or _entry_order(entry) > _entry_order(standing):
        entries[name] = entry


def _forget_old_marks(entries: dict[str, Entry], before: int) -> dict[str, Entry]:
    for entry in entries.values():
        if entry[PAYLOAD] is None:
            return {name: e for name, e in entries.items() if e[PAYLOAD] is not None or e[DELETED] >= before}
    return entries


def remember(record: Record, writer: int, now: int) -> Record:
    """Return the record with a transaction added to those it remembers, the oldest forgotten.

    Its time is at least that of the last one: whose clock is behind must not be forgotten first.
    """
    time = max(now, record.recent[-1][1]) if record.recent else now
    return record._replace(recent=_remembered((*record.recent, (writer, time))))


def new_epoch(record: Record, node: str, step: int) -> Record:
    """Return the record with another node deciding, or the same one from a fresh start; 1 <= step <= `EPOCH_STEP`."""
    return record._replace(decider=(record.decider[0] + step, node))


def contains(record: Record, writer: int) -> bool:
    """Say whether a transaction's changes are in the record: visible, or known to have been built upon."""
    return any(known == writer for known, _ in record.recent) or any(
        entry[WRITER] == writer for entry in record.entries.values()
    )


def tombstone(record: Record, state: State, now: int, moved_to: str = "") -> Record:
    """Return the mark that stands in the record's place once the session has ended or moved: no attributes."""
    return Record(record.created, (0, 0, 0), record.longest, {}, (), state, moved_to, now, record.decider)


def life(interval: int) -> int:
    """Return an interval in seconds as a length of time: 0 (never expires) becomes `FOREVER`."""
    return interval or FOREVER
