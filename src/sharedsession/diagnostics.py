"""What an operator can see: counters, node health, and where a session lies. Never an id."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigError
from .memcached.commands import Failed, Ping
from .memcached.outcomes import Location
from .nodelist import NodeList
from .sessions import Sessions

if TYPE_CHECKING:
    from .assembly import Parts
    from .session import Session


class NodeHealth(NamedTuple):
    """One memcached node as this process sees it."""

    name: str
    #: Address, printable.
    address: str
    #: It is asked; False while it is marked down.
    up: bool


class Probed(NamedTuple):
    """How one memcached node answered when it was asked just now."""

    name: str
    #: Address, printable.
    address: str
    #: Seconds until it answered, or until that was given up.
    seconds: float
    #: Why it is of no use; "" when it answers.
    reason: str

    @property
    def answers(self) -> bool:
        """Whether it can be used."""
        return not self.reason

    def __str__(self) -> str:
        return f"answers in {self.seconds * 1000:.1f} ms" if self.answers else f"DOWN: {self.reason}"


class Diagnostics(ABC):
    """What every face offers the operator."""

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """What the middleware is made of."""

    @property
    def sessions(self) -> Sessions:
        """The sessions of principals, on all nodes."""
        return Sessions(self.parts.policy.manager)

    def stats(self) -> dict[str, int]:
        """Return the counters of this process that have moved."""
        return self.parts.stats.snapshot()

    def health(self) -> tuple[NodeHealth, ...]:
        """Return every memcached node, in the order configured; none for the in-process store."""
        nodes = self.parts.nodes
        return tuple(
            NodeHealth(node.name, _printable(node.address), node.name not in self.parts.health.down) for node in nodes
        )

    def ring(self) -> tuple[tuple[float, str], ...]:
        """Return the points of the ring: (position from 0 to below 1, node name), in order."""
        return self.parts.cluster.ring.points()

    def set_nodes(self, nodes: NodeList) -> None:
        """Put another list of memcached nodes in force, in this process, while requests go on.

        Sessions are carried over as they are read. Add or remove one node at a time, so that every session has a copy
        on a node of the old list and the new; other application nodes may still have the old one meanwhile.

        Args:
            nodes: as the option `nodes`; a callable is asked once. Where the option itself is a callable, its next
                answer takes the place of this list.

        Raises:
            ConfigError: the list is wrong, or has fewer nodes than `required_copies`; the old one stays in force. Or
                there is none: the store in this process.
        """
        membership = self.parts.membership
        if membership is None:
            raise ConfigError("nodes", "sessions are kept in this process; name memcached nodes from the start")
        membership.set_nodes(nodes)

    def locate(self, session: Session) -> Location | None:
        """Return where a stored session lies now; None for one that is not stored. Asks memcached.

        Raises:
            StoreUnavailableError: no node that could know has answered.
        """
        text = session.id
        if text is None or session.is_new:
            return None
        return self.parts.store.locate(self.parts.ids.storage_key(text[:32]))


def probe(parts: Parts) -> tuple[Probed, ...]:
    """Ask every memcached node now, one after the other, on connections of their own; none for the in-process store."""
    return tuple(_probe(parts, node.name, _printable(node.address)) for node in parts.nodes)


def _probe(parts: Parts, name: str, address: str) -> Probed:
    begun = time.monotonic()
    answer = parts.transport.ask([(name, Ping())])[0]
    return Probed(name, address, time.monotonic() - begun, answer.reason if isinstance(answer, Failed) else "")


def _printable(address: tuple[str, int] | str) -> str:
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
