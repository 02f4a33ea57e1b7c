"""Bringing all copies of a record to a change: all at once, each by compare-and-swap, until they agree."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import reduce

from ..errors import StoreUnavailableError
from ..record import EPOCH_STEP, Record, merge, new_epoch
from .cluster import Cluster
from .commands import Answer, Conflict, Stored, TooLarge
from .copies import Copies

#: Turns what stands into what shall stand; called again for each state that is met.
Change = Callable[[Record], Record]

#: Rounds of compare-and-swap before giving up; in each round at least one writer gets through.
ATTEMPTS = 200
#: Rounds in which a load tries to repair copies that others are writing at the same time.
REPAIR_ROUNDS = 3


def settle(
    cluster: Cluster,
    copies: Copies,
    base: Record,
    change: Change,
    *,
    nodes: Iterable[str] = (),
    taken: Iterable[str] = (),
    on_read: Callable[[Record], None] | None = None,
) -> Record:
    """Store `change(base)` on all copies; return the record that now stands.

    A copy that refuses is read again, merged into `base` and tried again, so `change` may be called repeatedly. A node
    that fails is replaced by the next on the ring.

    Args:
        cluster: the nodes.
        copies: what this request knows of the copies.
        base: what was read.
        change: turns what stands into what shall stand.
        nodes: where to write; by default where the copies are.
        taken: nodes that hold the changed record already.
        on_read: called with each record that a copy was found to hold instead of the one expected.

    Raises:
        StoreUnavailableError: fewer copies than required have taken it.
        SessionTooLargeError: a node refused the record for its size.
    """
    if not nodes and not taken and copies.hold(base):
        # As nearly always: no copy is behind, and nobody else writes.
        record = change(base)
        answers = copies.put(copies.current(), record)
        if all(isinstance(answer, Stored) for _, answer in answers):
            return record
        return _Settlement(cluster, copies, change, on_read).go_on(base, record, answers)
    settlement = _Settlement(cluster, copies, change, on_read)
    return settlement.run(base, list(nodes) or copies.current(), set(taken))


def repair(
    cluster: Cluster, copies: Copies, record: Record, on_read: Callable[[Record], None], ttl: int | None = None
) -> Record:
    """Bring missing, differing and outdated copies up to `record`; return it with what was met on the way.

    They live `ttl` seconds, where the read that found them does not prolong the session; None: as long as any.
    `on_read` is called with each record that a copy was found to hold instead of the one expected.

    What still differs after a few rounds, because others are writing, is left to the next reader.
    """
    for _ in range(REPAIR_ROUNDS):
        target = _entrusted(cluster, copies, record, copies.current())
        begun = target.decider != record.decider
        # A new epoch begins on the copy that is to decide, before the one that forgot hears of it.
        nodes = [node for node in copies.current() if copies.differs(node, target)]
        if not nodes:
            break  # as nearly always
        answers = copies.put([target.decider[1]] if begun else nodes, target, ttl=ttl)
        conflicts = [node for node, answer in answers if isinstance(answer, Conflict)]
        cluster.stats.count("repairs", len(answers))
        if begun and any(isinstance(answer, Stored) for _, answer in answers):
            record = target
        elif not conflicts:
            break
        for found in copies.reread(conflicts):
            on_read(found)
            record = merge(record, found)
    return record


def random_step() -> int:
    """Return the distance to a new epoch."""
    return 1 + secrets.randbelow(EPOCH_STEP)


class _Settlement:
    """One change on its way to all copies."""

    def __init__(
        self, cluster: Cluster, copies: Copies, change: Change, on_read: Callable[[Record], None] | None
    ) -> None:
        self._cluster = cluster
        self._copies = copies
        self._change = change
        self._on_read = on_read
        # Nodes that hold the record, and those that shall.
        self._done: set[str] = set()
        self._pending: list[str] = []
        # What was read before any change.
        self._base: Record
        # The epoch begun here, once its decider has taken it; and the decider that is to take one first.
        self._epoch: tuple[int, str] = (0, "")
        self._first = ""

    def run(self, base: Record, nodes: list[str], taken: set[str]) -> Record:
        self._base = base
        self._done, self._pending = taken, [node for node in nodes if node not in taken]
        base = self._read_again(self._copies.unread(), base)
        if not taken:
            base = self._copies.merged(base)  # what one copy took already was built upon all of them
        base = self._with_stand_ins(base)
        record = self._entrusted(self._change(base))
        return self._until_done(base, record, self._round(record))

    def go_on(self, base: Record, record: Record, answers: list[tuple[str, Answer]]) -> Record:
        """Do the same from where the changed record was sent to all copies, and not all have taken it."""
        self._base = base
        self._done, self._pending = set(), [node for node, _ in answers]
        return self._until_done(base, record, self._take_in(record, answers))

    def _until_done(self, base: Record, record: Record, conflicts: list[str]) -> Record:
        for attempt in range(ATTEMPTS):
            if conflicts:
                self._cluster.pause(attempt)  # before the copies are read again: after that, every moment counts
            base = self._with_stand_ins(self._read_again(conflicts, base))
            if not self._pending:
                break
            record = self._again(base, record, met=bool(conflicts))
            conflicts = self._round(record)
        self._acknowledge()
        return record

    def _round(self, record: Record) -> list[str]:
        """Send the record to those that lack it; return the nodes that hold something unread."""
        return self._take_in(record, self._copies.put([self._first] if self._first else self._pending, record))

    def _take_in(self, record: Record, answers: list[tuple[str, Answer]]) -> list[str]:
        stored = [node for node, answer in answers if isinstance(answer, Stored)]
        self._done.update(stored)
        if self._first in stored:
            self._epoch, self._first = record.decider, ""
        if any(isinstance(answer, TooLarge) for _, answer in answers):
            # All or nothing: a record that one node cannot take must not stand on the others.
            self._copies.put([node for node in self._done if self._copies.answers(node)], self._base)
            self._copies.refuse_too_large(answers, record)
        conflicts = [node for node, answer in answers if isinstance(answer, Conflict)]
        if conflicts:
            self._cluster.stats.count("conflicts")
        return conflicts

    def _read_again(self, nodes: list[str], base: Record) -> Record:
        found = self._copies.reread(nodes)
        if self._on_read is not None:
            for record in found:
                self._on_read(record)
        return reduce(merge, found, base)

    def _again(self, base: Record, former: Record, *, met: bool) -> Record:
        """Return the change on what was met. Copies that have the former record get this one where they must agree."""
        record = self._entrusted(self._change(base))
        # An epoch begun here stands wherever it was taken: it must contain what was met since.
        if _standing(record) != _standing(former) or (met and self._epoch > base.decider and not record.state):
            self._done.clear()
            self._pending = self._copies.known()
        return record

    def _with_stand_ins(self, base: Record) -> Record:
        """Find a node for each that failed, and merge what it holds: it may have stood in before."""
        self._pending = [node for node in self._pending if self._copies.answers(node) and node not in self._done]
        others = [node for node in self._copies.known() if node not in self._done and node not in self._pending]
        while len(self._done) + len(self._pending) < self._cluster.copies:
            node = others.pop(0) if others else self._copies.stand_in()
            if node is None:
                break
            self._pending.append(node)
            held = self._copies.held(node)
            if held is not None:
                base = merge(base, held)
                if self._on_read is not None:
                    self._on_read(held)
        return base

    def _entrusted(self, record: Record) -> Record:
        """Name another decider where that is needed; it must have taken the record before others hear of it."""
        self._first = ""
        if record.state:
            return record
        if self._epoch > record.decider:
            record = record._replace(decider=self._epoch)
        entrusted = _entrusted(self._cluster, self._copies, record, self._pending)
        if entrusted.decider != record.decider:
            self._first = entrusted.decider[1]
            self._done.discard(self._first)
            if self._first not in self._pending:
                self._pending.append(self._first)
        return entrusted

    def _acknowledge(self) -> None:
        if len(self._done) < self._cluster.required:
            raise StoreUnavailableError(
                f"{len(self._done)} of {self._cluster.required} required copies have taken the change",
                self._copies.causes(),
            )


def _entrusted(cluster: Cluster, copies: Copies, record: Record, nodes: Iterable[str]) -> Record:
    """Return the record, naming another decider if the present one is about to get its copy anew.

    A node whose copy is gone has forgotten what it decided; one that still has its copy has not.
    """
    decider = record.decider[1]
    if record.state or decider not in nodes or copies.readable(decider):
        return record
    holders = [node for node in copies.current() if copies.readable(node)]
    if not holders:
        return record
    cluster.stats.count("takeovers")
    return new_epoch(record, holders[0], random_step())


def _standing(record: Record) -> tuple[int, tuple[int, ...], str]:
    """What every copy must agree on before a change is acknowledged: whether the session lives, and since when."""
    return record.state, record.floor, record.moved_to
