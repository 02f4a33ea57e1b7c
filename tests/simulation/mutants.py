"""The real code with one protection taken out: what the simulation must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from sharedsession import lock
from sharedsession.lock import SessionLock, Waiters
from sharedsession.memcached import copies, settle, store, transport
from sharedsession.memcached.cluster import Cluster
from sharedsession.memcached.commands import Answer, Put
from sharedsession.memcached.copies import Copies
from sharedsession.memcached.move import move
from sharedsession.memcached.outcomes import Loaded
from sharedsession.memcached.store import Store
from sharedsession.memcached.transaction import Again, Transaction
from sharedsession.record import Record, merge

from .node import SimNode

Mutant = Callable[[], AbstractContextManager[None]]


@contextmanager
def _patched(*patches: tuple[object, str, object]) -> Iterator[None]:
    if not patches:
        yield
        return
    target, name, replacement = patches[0]
    with mock.patch.object(target, name, replacement), _patched(*patches[1:]):
        yield


def merge_keeps_one_side() -> AbstractContextManager[None]:
    """Merge keeps one record and forgets the other."""
    return _merging(lambda a, b: a)


def merge_drops_attributes() -> AbstractContextManager[None]:
    """Merge forgets the attributes that only the second record has."""

    def broken(a: Record, b: Record) -> Record:
        merged = merge(a, b)
        return merged._replace(entries={name: entry for name, entry in merged.entries.items() if name in a.entries})

    return _merging(broken)


def merge_prefers_life() -> AbstractContextManager[None]:
    """Merge lets a live record win over a tombstone."""
    return _merging(lambda a, b: (b if a.state else a) if a.state != b.state else merge(a, b))


def _merging(broken: Callable[[Record, Record], Record]) -> AbstractContextManager[None]:
    return _patched((copies, "merge", broken), (settle, "merge", broken), (store, "merge", broken))


def blind_set() -> AbstractContextManager[None]:
    """A write does not compare."""

    def put(self: SimNode, command: Put) -> Answer:
        return self._set(command)

    return _patched((SimNode, "_put", put))


def short_lived_tombstones() -> AbstractContextManager[None]:
    """A tombstone lives for a second."""
    ttl = Cluster.ttl
    return _patched((Cluster, "ttl", lambda self, record: 1 if record.state else ttl(self, record)))


def function_runs_again() -> AbstractContextManager[None]:
    """A transaction that its decider took is run again when somebody else wrote meanwhile."""
    spread = Transaction._spread

    def broken(self: Transaction, loaded: Loaded, authority: Any, record: Record, *rest: Any) -> object:
        outcome = spread(self, loaded, authority, record, *rest)
        if isinstance(outcome, Loaded) and outcome.record.entries != record.entries:
            return Again(outcome)
        return outcome

    return _patched((Transaction, "_spread", broken))


def tokens_outlive_connections() -> AbstractContextManager[None]:
    """A token is used on a connection opened after it was read."""
    return _patched((transport, "_read_before", lambda command, connection: False))


def older_record_with_fresh_token() -> AbstractContextManager[None]:
    """What was read first is written with the tokens of what was read again."""
    fresh = Store.fresh

    def broken(self: Store, loaded: Loaded, *, stale: bool = False) -> object:
        found = fresh(self, loaded, stale=stale)
        if isinstance(found, Loaded):
            found.record = loaded.record
            found.copies._records.clear()
            found.copies._bytes.clear()
        return found

    return _patched((Store, "fresh", broken))


def repaired_before_compared() -> AbstractContextManager[None]:
    """The record of one copy is committed with the tokens that the repair of all copies returned."""
    load = Store._load

    def broken(self: Store, found: Copies, asked: int | None, *, touched: bool, mends: bool) -> object:
        first: list[Record] = []

        def remember(
            cluster: Cluster, copies: Copies, record: Record, on_read: Callable[[Record], None], ttl: int | None = None
        ) -> Record:
            first.extend(copy.record for copy in list(copies._records.values())[:1])
            return settle.repair(cluster, copies, record, on_read, ttl)

        with mock.patch.object(store, "repair", remember):
            outcome = load(self, found, asked, touched=touched, mends=mends)
        if isinstance(outcome, Loaded) and first:
            outcome.record = first[0]
            found._records.clear()
            found._bytes.clear()
        return outcome

    return _patched((Store, "_load", broken))


def first_copy_is_enough() -> AbstractContextManager[None]:
    """A change is acknowledged when one copy has taken it, and goes to no other."""
    with_stand_ins = settle._Settlement._with_stand_ins

    def broken(self: settle._Settlement, base: Record) -> Record:
        base = with_stand_ins(self, base)
        self._pending = [] if self._done else self._pending[:1]
        return base

    never = (Copies, "hold", lambda self, record: False)
    return _patched((settle._Settlement, "_with_stand_ins", broken), never)


def move_carries_nothing() -> AbstractContextManager[None]:
    """`change_id` does not look at what was written to the old record meanwhile."""
    return _patched((Store, "carry", lambda *_: None))


def late_changes_do_not_follow() -> AbstractContextManager[None]:
    """What a request writes to a session that has moved is dropped."""
    return _patched((Store, "follow", lambda self, absent, *_: absent))


def returned_node_is_trusted() -> AbstractContextManager[None]:
    """One copy is asked, and believed."""
    read = Copies.read

    def broken(self: Copies, ttl: int | None) -> Record | None:
        one = mock.patch.object(self, "_cluster", self._cluster.__class__(**{**vars(self._cluster), "copies": 1}))
        with one, mock.patch.object(self, "_uneven", return_value=False):
            return read(self, ttl)

    return _patched((Copies, "read", broken))


def lost_lock_is_not_noticed() -> AbstractContextManager[None]:
    """A commit under the lock does not look who has it."""
    return _patched((SessionLock, "_refuse_lost", lambda self, record: None))


def locked_commit_merges() -> AbstractContextManager[None]:
    """A commit under the lock is like any other."""
    return _patched((SessionLock, "commit", lambda self, loaded, changes: self._store.commit(loaded, changes)))


def locked_move_is_not_guarded() -> AbstractContextManager[None]:
    """A change of id under the lock looks who has it when it begins, but not when it is decided."""
    return _patched((lock, "move", lambda store, loaded, key, changes, _: move(store, loaded, key, changes)))


def lock_is_taken_at_once() -> AbstractContextManager[None]:
    """Who finds the session locked takes the lock without waiting, and nobody looks who has it."""
    return _patched(
        (SessionLock, "_refuse_lost", lambda self, record: None), (Waiters, "outlasted", lambda self, holder: True)
    )
