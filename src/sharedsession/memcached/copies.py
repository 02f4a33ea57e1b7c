"""The copies of one record: read them all at once, write them all at once, each by compare-and-swap.

Knows which node has what; what the records mean is `record`'s business, what a session may do `store`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import reduce

from ..codec import Decoded, Unreadable
from ..errors import SessionTooLargeError, StoreUnavailableError
from ..record import Record, life, merge
from .cluster import Cluster
from .commands import (
    Answer,
    Conflict,
    Failed,
    Found,
    Get,
    Late,
    Missing,
    Put,
    Refused,
    Stored,
    Token,
    TooLarge,
    Touch,
)


class Standing(Enum):
    """What is known of one node's copy."""

    #: It was read, or written by this request.
    HOLDS = "holds"
    #: It has none, or one that changed since it was read.
    UNREAD = "unread"
    #: The node failed, is marked down or was not asked.
    AWAY = "away"


class Copies:
    """The copies of the record under one key, as far as this request has seen them."""

    #: Longest remaining life in seconds that a copy had before it was read.
    remaining: int = 0
    #: All copies are there and known to be alike, and nothing is to be mended.
    whole: bool = False
    # A node holds what must not be overwritten.
    _kept: bool = False

    def __init__(self, cluster: Cluster, key: str) -> None:
        self.key = key
        self._cluster = cluster
        self._preference = cluster.ring.nodes_for(key)
        # Nodes that answered -> token of what they hold; None: they hold nothing.
        self._tokens: dict[str, Token | None] = {}
        self._records: dict[str, Decoded] = {}
        self._bytes: dict[str, bytes] = {}
        # Nodes that failed, or hold what must not be overwritten -> why.
        self._causes: dict[str, str] = {}
        # Nodes that hold something else than was read.
        self._unread: set[str] = set()

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, ttl: int | None) -> Record | None:
        """Ask all copies at once, prolonging each to `ttl` seconds; return the merged record, None if there is none.

        A node that fails is replaced by the next on the ring. When copies differ or one is missing, the next node is
        asked as well: it may have stood in for one that is back.

        Raises:
            StoreUnavailableError: nothing was found, and no node that could say "there is none" has answered.
        """
        wanted = self._cluster.copies
        if not self._tokens:
            found = self._ask_alike(self.first_choice(), ttl)
            if found is not None:
                return found
        while len(self._tokens) < wanted and self._ask_next(wanted - len(self._tokens), ttl):
            pass
        if self._uneven():
            self._ask_next(1, ttl)
        if not self._records and not self._home_answered():
            self._ask([node for node in self._home() if node not in self._causes], ttl)
        if self._records:
            return self.seen()
        if self._kept or not self._home_answered():
            raise StoreUnavailableError("cannot read the session", self._causes)
        return None

    def prolong(self, ttl: int) -> None:
        """Give every copy another life in seconds."""
        nodes = [node for node in self.current() if self._tokens[node] is not None]
        for node, answer in self._send(nodes, Touch(self.key, ttl)):
            self._note_failure(node, answer)

    def live(self) -> Record | None:
        """Return what the copies that are still live hold together."""
        records = [copy.record for copy in self._records.values() if not copy.record.state]
        return reduce(merge, records) if records else None

    def seen(self) -> Record | None:
        """Return what all copies that were read say together; None if there are none."""
        return reduce(merge, (copy.record for copy in self._records.values())) if self._records else None

    def whole_life(self, record: Record, now: float) -> float:
        """Return the life in seconds that the record had after its last use.

        One that is cut by the maximal lifetime shrinks by itself: then the remaining life tells nothing, and it counts
        as just used.
        """
        limit = self._cluster.max_lifetime
        whole = life(record.max_inactive_interval)
        if limit is not None and self.remaining >= record.created + limit - now - 2:  # whole seconds on both sides
            return self.remaining
        return whole

    def current(self) -> list[str]:
        """Return the nodes that hold, or should hold, the copies: the first healthy ones in order of preference."""
        return [node for node in self._preference if node in self._tokens][: self._cluster.copies]

    def known(self) -> list[str]:
        """Return `current` and every other node that was seen to hold a copy."""
        current = self.current()
        return current + [node for node in self._records if node in self._tokens and node not in current]

    def answers(self, node: str) -> bool:
        """Say whether the node has answered, and not failed since."""
        return node in self._tokens

    def readable(self, node: str) -> bool:
        """Say whether the node is known to hold a record."""
        return node in self._records

    def unread(self) -> list[str]:
        """Return the nodes that hold something else than was read."""
        return [node for node in self._tokens if node in self._unread]

    def causes(self) -> dict[str, str]:
        """Return the nodes that failed, and why."""
        return dict(self._causes)

    def stand_in(self) -> str | None:
        """Ask the next node that could stand in for one that failed; return it if it answered."""
        while candidates := self.candidates()[:1]:
            self._ask(candidates, None)
            if candidates[0] in self._tokens:
                return candidates[0]
        return None

    def consult(self, node: str) -> None:
        """Ask a node that is not among the first as well. One that holds nothing counts as not asked."""
        if node in self.candidates():
            self._ask([node], None)
            if not self.readable(node):
                self._tokens.pop(node, None)

    def strangers(self) -> list[str]:
        """Return the healthy nodes of the preference list that have not been asked."""
        down = self._cluster.health.down
        return [node for node in self._preference if node not in self._tokens and node not in down]

    def assume_empty(self) -> None:
        """Start a key that nobody can have used: the first healthy nodes hold nothing."""
        self._tokens = dict.fromkeys(self.first_choice())
        self.whole = len(self._tokens) == self._cluster.copies

    def hold(self, record: Record) -> bool:
        """Say whether all copies are there and known to hold just this record, or to be empty."""
        return self.whole and all(copy.record is record for copy in self._records.values())

    def _home(self) -> tuple[str, ...]:
        """The preference list as it is when no node is away."""
        return self._preference[: self._cluster.copies]

    def _home_answered(self) -> bool:
        return any(node in self._tokens for node in self._home())

    def _uneven(self) -> bool:
        # Equal bytes are equal records: the usual case costs no decoding of the second copy.
        return len(set(self._bytes.values())) > 1 or len(self._bytes) < len(self._tokens)

    def first_choice(self) -> Sequence[str]:
        """Return the nodes that are asked first."""
        # As nearly always, no node at all is down.
        return self.candidates()[: self._cluster.copies] if self._cluster.health.down else self._home()

    def candidates(self) -> list[str]:
        """Return the healthy nodes that have not been asked, in order of preference."""
        tokens, causes, down = self._tokens, self._causes, self._cluster.health.down
        return [node for node in self._preference if not (node in tokens or node in causes or node in down)]

    def _ask_next(self, count: int, ttl: int | None) -> bool:
        nodes = self.candidates()[:count]
        self._ask(nodes, ttl)
        return bool(nodes)

    def _ask_alike(self, nodes: Sequence[str], ttl: int | None) -> Record | None:
        """Ask nodes; return the record if all hold the same readable one, as nearly always."""
        command = Get(self.key, ttl)
        answers = self._cluster.transport.ask([(node, command) for node in nodes])
        record = self._take_alike(nodes, answers)
        if record is None:
            for node, answer in zip(nodes, answers, strict=True):
                self.note(node, answer)
        return record

    def _take_alike(self, nodes: Sequence[str], answers: list[Answer]) -> Record | None:
        first = answers[0] if answers else None
        if type(first) is not Found:
            return None
        value = first.value
        for answer in answers[1:]:
            if type(answer) is not Found or answer.value != value:
                return None
        decoded = self._cluster.codec.decode(self.key, value)
        if type(decoded) is not Decoded:
            return None
        for place, node in enumerate(nodes):
            answer = answers[place]
            if type(answer) is Found:  # as all are
                self._tokens[node] = answer.token
                self._records[node], self._bytes[node] = decoded, value
                self.remaining = max(self.remaining, answer.remaining)
        self.whole = len(nodes) == self._cluster.copies and not decoded.outdated
        return decoded.record

    def _ask(self, nodes: Iterable[str], ttl: int | None) -> None:
        for node, answer in self._send(nodes, Get(self.key, ttl)):
            self.note(node, answer)

    def note(self, node: str, answer: Answer) -> None:
        """Take in a node's answer to a read."""
        if isinstance(answer, Found):
            self._take(node, answer)
        elif isinstance(answer, Missing):
            self._answered(node, None)
        else:
            self._note_failure(node, answer)

    def _take(self, node: str, found: Found) -> None:
        decoded = self._decode(node, found.value)
        if isinstance(decoded, Unreadable) and decoded.to_keep:
            self._kept = True
            self._drop(node, f"holds what cannot be read here: {decoded.value}")
            return
        self._answered(node, found.token)
        if isinstance(decoded, Decoded):
            self._records[node], self._bytes[node] = decoded, found.value
            self.remaining = max(self.remaining, found.remaining)

    def _decode(self, node: str, value: bytes) -> Decoded | Unreadable:
        for other, known in self._bytes.items():
            if known == value:
                return self._records[other]
        decoded = self._cluster.codec.decode(self.key, value)
        if isinstance(decoded, Unreadable):
            topic = f"unreadable_{decoded.name.lower()}"
            self._cluster.stats.warn(topic, "memcached node %s holds an unreadable record: %s", node, decoded.value)
        return decoded

    def differs(self, node: str, record: Record) -> bool:
        """Say whether a node's copy is missing, unreadable, signed with a former key or another than `record`."""
        copy = self._records.get(node)
        return copy is None or copy.outdated or copy.record != record

    # -- writing ---------------------------------------------------------------------------------------------------

    def merged(self, record: Record) -> Record:
        """Return the record with all that the copies are known to hold: only that may be written with their tokens."""
        return reduce(merge, (copy.record for copy in self._records.values()), record)

    def held(self, node: str) -> Record | None:
        """Return what one node is known to hold."""
        copy = self._records.get(node)
        return None if copy is None else copy.record

    def write_one(self, node: str, record: Record) -> Answer:
        """Store `record` on one copy, once: the compare-and-swap that decides a transaction or a move.

        Raises:
            SessionTooLargeError: the node refused the record for its size.
        """
        answers = self.put([node], record, repeatable=False)
        self.refuse_too_large(answers, record)
        return answers[0][1]

    def standing(self, node: str) -> Standing:
        """Say what is known of a node's copy."""
        if node not in self._tokens:
            return Standing.AWAY
        return Standing.HOLDS if self._tokens[node] is not None else Standing.UNREAD

    def put(
        self, nodes: list[str], record: Record, *, ttl: int | None = None, repeatable: bool = True
    ) -> list[tuple[str, Answer]]:
        """Send the record to all nodes, to each by compare-and-swap with what is known of it; return their answers."""
        value, life_left = self._encode(record), self._cluster.ttl(record) if ttl is None else ttl
        decoded = Decoded(record)
        puts = [(node, Put(self.key, value, life_left, self._tokens[node], repeatable)) for node in nodes]
        answers = self._cluster.transport.ask(puts, self._cluster.required)
        told = [(node, answers[place]) for place, node in enumerate(nodes)]
        for node, answer in told:
            if isinstance(answer, Stored):
                self._answered(node, answer.token)
                self._records[node], self._bytes[node] = decoded, value
            elif isinstance(answer, Conflict | Missing):
                # What stands there is unread; nothing may be written over it before it was. None means add.
                self._tokens[node] = None
                self._records.pop(node, None)
                self._bytes.pop(node, None)
                (self._unread.add if isinstance(answer, Conflict) else self._unread.discard)(node)
            else:
                if isinstance(answer, Refused | TooLarge):
                    self._restore(node)
                self._note_failure(node, answer)
            self.whole = self.whole and isinstance(answer, Stored)
        return told

    def _restore(self, node: str) -> None:
        """Put back what a refused write has destroyed: a memcached without room throws the old item away first."""
        copy = self._records.get(node)
        if copy is not None:
            value, ttl = self._encode(copy.record), self._cluster.ttl(copy.record)
            self._send([node], Put(self.key, value, ttl, None))

    def refuse_too_large(self, answers: list[tuple[str, Answer]], record: Record) -> None:
        """Raise SessionTooLargeError if a node refused the record for its size."""
        for node, answer in answers:
            if isinstance(answer, TooLarge):
                raise SessionTooLargeError(len(self._encode(record)), node)

    def reread(self, nodes: Iterable[str]) -> list[Record]:
        """Read nodes again that hold something else than was known; return what they hold."""
        nodes = list(nodes)
        for node in nodes:
            self._tokens.pop(node, None)
            self._bytes.pop(node, None)
            self._records.pop(node, None)
        self._ask(nodes, None)
        return [self._records[node].record for node in nodes if node in self._records]

    def _encode(self, record: Record) -> bytes:
        return self._cluster.codec.encode(self.key, record)

    # -- both ------------------------------------------------------------------------------------------------------

    def _send(self, nodes: Iterable[str], command: Get | Put | Touch) -> list[tuple[str, Answer]]:
        nodes = list(nodes)
        if not nodes:
            return []
        answers = self._cluster.transport.ask([(node, command) for node in nodes])
        return list(zip(nodes, answers, strict=True))

    def _answered(self, node: str, token: Token | None) -> None:
        self._tokens[node] = token
        self._unread.discard(node)
        if node in self._cluster.health.down:
            self._cluster.health.mark_up(node)

    def _note_failure(self, node: str, answer: Answer) -> None:
        if isinstance(answer, Failed):
            self._cluster.health.mark_down(node, answer.reason)
        elif isinstance(answer, Late):
            self._cluster.stats.count("late_copies")
            self._cluster.health.suspect(node)
        if isinstance(answer, Failed | Late | Refused | TooLarge):
            self._drop(node, answer.reason)

    def _drop(self, node: str, cause: str) -> None:
        self._causes[node] = cause
        self.whole = False  # another has to take its place
        self._tokens.pop(node, None)
        self._records.pop(node, None)
        self._bytes.pop(node, None)


def read_together(cluster: Cluster, each: Iterable[Copies]) -> None:
    """Ask the first question about several keys in one trip; `read` then goes on from there."""
    asked = [(copies, node) for copies in each for node in copies.first_choice()]
    answers = cluster.transport.ask([(node, Get(copies.key, None)) for copies, node in asked])
    for (copies, node), answer in zip(asked, answers, strict=True):
        copies.note(node, answer)
