"""The node list while it is in use: changed by hand, or as a function says that is asked from time to time."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

from ..errors import ConfigError
from ..forking import renew_after_fork
from ..nodelist import NodeConfig, NodeList, parse_nodes
from ..stats import Stats, logger
from .copies import Cluster
from .health import Health
from .node import MemcachedTransport
from .ring import Ring


class Membership:
    """Which nodes are on the ring.

    Requests that have begun go on with the nodes they know; one that has gone fails them as a dead one would.

    Args:
        cluster: gets the new ring.
        transport: gets the new addresses.
        health: forgets nodes that are gone.
        nodes: the list to begin with.
        copies: copies of every record, if there are as many nodes.
        required: copies that must have taken a change.
    """

    def __init__(
        self,
        cluster: Cluster,
        transport: MemcachedTransport,
        health: Health,
        nodes: tuple[NodeConfig, ...],
        copies: int,
        required: int,
    ) -> None:
        self._cluster = cluster
        self._transport = transport
        self._health = health
        self._copies = copies
        self._required = required
        self._lock = threading.Lock()
        #: The nodes, in the order written.
        self.nodes: tuple[NodeConfig, ...] = nodes
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.Lock()

    def set_nodes(self, nodes: NodeList) -> bool:
        """Put another list in force; return False if it is the one that is.

        Raises:
            ConfigError: the list is wrong, or has fewer nodes than copies are required; the old one stays in force.
        """
        wanted = parse_nodes(nodes)
        if len(wanted) < self._required:
            raise ConfigError("nodes", f"{len(wanted)} node(s) cannot hold the {self._required} required copies")
        with self._lock:
            if set(wanted) == set(self.nodes):
                return False
            self._change(wanted)
        logger.info("memcached nodes are now %s", " ".join(node.name for node in wanted))
        return True

    def retire(self, nodes: NodeList) -> str:
        """Take one node off the ring, but keep it within reach: to be swept. Return its name.

        Args:
            nodes: its name, if it is on the list, or its entry in a node list.

        Raises:
            ConfigError: there is no such node, or nothing would be left.
        """
        known = [node for node in self.nodes if node.name == nodes]
        leaving = known[0] if known else parse_nodes(nodes)[0]
        staying = tuple(node for node in self.nodes if node.name != leaving.name)
        if len(staying) < self._required:
            raise ConfigError("nodes", f"without {leaving.name} the required copies cannot be had")
        self._transport.set_nodes([*staying, leaving])
        self._cluster.ring, self._cluster.copies = Ring(staying), min(self._copies, len(staying))
        return leaving.name

    def _change(self, wanted: tuple[NodeConfig, ...]) -> None:
        ring = Ring(wanted)
        # A node is reachable before the ring names it, and as long as it does.
        leaving = [node for node in self.nodes if node.name not in {other.name for other in wanted}]
        self._transport.set_nodes([*wanted, *leaving])
        self._cluster.ring, self._cluster.copies = ring, min(self._copies, len(wanted))
        self._transport.set_nodes(wanted)
        for node in self.nodes:
            if node not in wanted:
                self._health.forget(node.name)
        self.nodes = wanted


class Poller:
    """Asks a function for the node list, from a thread of its own.

    Args:
        membership: gets what it says.
        ask: returns a node list.
        interval: seconds between two questions.
        stats: counts `nodes_changed` and `nodes_refused`.
    """

    def __init__(self, membership: Membership, ask: Callable[[], NodeList], interval: float, stats: Stats) -> None:
        self._membership = membership
        self._ask = ask
        self._interval = interval
        self._stats = stats
        self._stop = threading.Event()
        renew_after_fork(self)
        self._start()

    def renew(self) -> None:
        """Go on in a forked child, which has no such thread."""
        if not self._stop.is_set():
            self._stop = threading.Event()
            self._start()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()

    def poll(self) -> None:
        """Ask once. A function that fails, and a bad list, leave the one in force as it is."""
        try:
            if self._membership.set_nodes(self._ask()):
                self._stats.count("nodes_changed")
        except Exception as error:  # noqa: BLE001  # the function is the application's: it may raise anything
            self._stats.warn("nodes_refused", "the node list stays as it is: %s: %s", type(error).__name__, error)

    def _start(self) -> None:
        arguments = (weakref.ref(self), self._stop, self._interval)
        threading.Thread(target=_run, args=arguments, name="sharedsession-nodes", daemon=True).start()


def _run(poller: weakref.ref[Poller], stop: threading.Event, interval: float) -> None:
    """Poll until that is stopped, or nobody has the poller any more."""
    while not stop.wait(interval):
        polling = poller()
        if polling is None:
            return
        polling.poll()
        del polling
