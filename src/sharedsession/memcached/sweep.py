"""Carrying sessions away from a node before it is retired: what its readers would do one by one, for all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ..codec import Unreadable
from ..errors import StoreError, StoreUnavailableError
from ..record import Record, State, merge
from .cluster import Cluster
from .commands import Found, Get, Missing
from .copies import Copies
from .dump import Listing
from .settle import repair
from .store import Store

#: Times that a node is asked for its keys: what was written there meanwhile, and what failed, comes in the next round.
ROUNDS = 3
#: Attempts for one session, while others write it or the node stumbles.
ATTEMPTS = 5


class Outcome(Enum):
    """What became of one key."""

    CARRIED = "carried"
    GONE = "gone"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True)
class Swept:
    """What became of the values of a node."""

    #: Sessions, and marks of ended and moved ones, that now have all their copies on other nodes.
    carried: int
    #: Keys under which there was nothing any more: it had expired or was deleted.
    gone: int
    #: Values that are no sessions, are damaged or are signed with another secret.
    unreadable: int
    #: Sessions that could not be carried, or not to as many nodes as they should have copies.
    failed: int
    #: Keys with another prefix: not ours.
    others: int

    @property
    def problem(self) -> str:
        """Why the node should not be stopped yet; "" when it can be."""
        if self.failed:
            return f"{self.failed} sessions could not be carried: run this again before the node is stopped"
        if self.unreadable and not self.carried:
            return "nothing that it holds can be read: is secret_key the application's?"
        if self.others and not (self.carried or self.gone or self.unreadable):
            return "it holds keys, but none with this prefix: is key_prefix the application's?"
        return ""

    def __str__(self) -> str:
        return (
            f"{self.carried} carried, {self.gone} gone meanwhile, {self.unreadable} unreadable, {self.failed} failed, "
            f"{self.others} of others left alone"
        )


def sweep(store: Store, cluster: Cluster, node: str, list_keys: Callable[[], Listing]) -> Swept:
    """Bring what `node` holds to where it belongs on a ring without that node. No session is prolonged.

    What the node holds stays as it is, so that this may be done again.

    Args:
        store: the sessions on the nodes that stay.
        cluster: the nodes that stay; its transport reaches the one that goes, too.
        node: name of the node that goes.
        list_keys: tells what it holds.

    Raises:
        OSError, ValueError, EOFError: the node does not tell what it holds, or answers no more.
    """
    outcomes: dict[str, Outcome] = {}
    for _ in range(ROUNDS):
        listing = list_keys()
        due = [key for key in listing.keys if outcomes.get(key, Outcome.FAILED) is Outcome.FAILED]
        for key in due:
            outcomes[key] = _carry(store, cluster, node, key)
        if not due:
            break
    count = Counter(outcomes.values())
    return Swept(
        carried=count[Outcome.CARRIED],
        gone=count[Outcome.GONE],
        unreadable=count[Outcome.UNREADABLE],
        failed=count[Outcome.FAILED],
        others=listing.others,
    )


def _carry(store: Store, cluster: Cluster, node: str, key: str) -> Outcome:
    found = _fetch(cluster, node, key)
    if found is None:
        return Outcome.GONE
    decoded = cluster.codec.decode(key, found.value)
    if isinstance(decoded, Unreadable):
        # A newer version of this library can read it: not to be thrown away with the node.
        return Outcome.FAILED if decoded.to_keep else Outcome.UNREADABLE
    for attempt in range(ATTEMPTS):
        try:
            if _spread(store, cluster, key, decoded.record, found.remaining):
                return Outcome.CARRIED
        except StoreError:
            break
        cluster.pause(attempt)
    return Outcome.FAILED


def _fetch(cluster: Cluster, node: str, key: str) -> Found | None:
    """Read a value of the node that goes; None: there is none any more."""
    for attempt in range(ATTEMPTS):
        answer = cluster.transport.ask([(node, Get(key, None))])[0]
        if isinstance(answer, Found):
            return answer
        if isinstance(answer, Missing):
            return None
        cluster.pause(attempt)
    raise ConnectionError(f"it answers no more: {getattr(answer, 'reason', answer)}")


def _spread(store: Store, cluster: Cluster, key: str, left: Record, remaining: int) -> bool:
    """Merge a record into its copies on the nodes that stay; say whether all of them have it now.

    Raises:
        StoreError: there are fewer nodes now than it should have copies, or they cannot take it.
    """
    copies = Copies(cluster, key)
    standing = copies.read(None)
    record = left if standing is None else merge(standing, left)
    if record.state is State.MOVED:
        for other in (copies.live(), left):
            store.rescue(other, record)
    shorter = copies.remaining
    # The life that it has left; a mark gets its whole life anew, as from any reader: it must outlive what it covers.
    ttl = None if record.state else max(remaining, shorter, 1)
    record = repair(cluster, copies, record, store.rescuing(record), ttl)
    current = copies.current()
    if len(current) < min(cluster.copies, len(cluster.ring.nodes_for(key))):
        raise StoreUnavailableError("there are too few nodes for all copies", copies.causes())
    if any(copies.differs(name, record) for name in current):
        return False
    if standing is not None and not record.state and shorter < remaining - 1:
        copies.prolong(remaining)
    return True
