"""The node list while it is in use: changed by hand, or as a function says that is asked from time to time."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Sequence

from ..discovery import as_function
from ..errors import ConfigError
from ..forking import renew_after_fork
from ..nodelist import NodeConfig, NodeList, parse_nodes
from ..stats import Stats, logger
from .cluster import Cluster
from .health import Health
from .ring import Ring
from .transport import MemcachedTransport

#: What stands before "@" in an entry, which has no place in one.
_PASSWORD = re.compile(r"[^\s'\"]+@")


class Membership:
    """Which nodes are on the ring.

    Requests that have begun go on with the ring they know; a node that is gone by then fails them as a dead one would.

    Args:
        clusters: get the new ring.
        transport: gets the new addresses.
        health: forgets nodes that are gone.
        nodes: the list to begin with.
    """

    def __init__(
        self, clusters: Sequence[Cluster], transport: MemcachedTransport, health: Health, nodes: tuple[NodeConfig, ...]
    ) -> None:
        self._clusters = clusters
        self._required = clusters[0].required
        self._stats = clusters[0].stats
        self._transport = transport
        self._health = health
        self._lock = threading.RLock()
        #: The nodes, in the order written.
        self.nodes: tuple[NodeConfig, ...] = nodes
        # It may have served another list before.
        transport.set_nodes(nodes)
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.RLock()

    def set_nodes(self, nodes: NodeList, *, gradually: bool = False) -> bool:
        """Put another list in force, and count `nodes_changed`; return False if it is the one that is.

        Args:
            nodes: the list.
            gradually: of several nodes that come or go, take one; the next one the next time.

        Raises:
            ConfigError: the list is wrong, or has fewer nodes than copies are required; the old one stays in force.
        """
        wanted = parse_nodes(as_function(nodes))
        if len(wanted) < self._required:
            raise ConfigError(
                "nodes", f"{_names(wanted)}: {len(wanted)} node(s) cannot hold {self._required} required copies"
            )
        with self._lock:
            if gradually:
                wanted = self._step(wanted)
            if set(wanted) == set(self.nodes):
                return False
            self._change(wanted)
        self._stats.count("nodes_changed")
        logger.info("memcached nodes are now %s", _names(wanted))
        return True

    def _step(self, wanted: tuple[NodeConfig, ...]) -> tuple[NodeConfig, ...]:
        """Return the list that is one node nearer to the one wanted: those that come first, those that go then.

        Processes that are told at different times are so never two nodes apart: the copies of a session on two such
        rings may have no node in common.
        """
        names = {node.name for node in wanted}
        coming = sorted(names - {node.name for node in self.nodes})
        joined = [node for node in wanted if node.name not in coming[1:]]
        addresses = {node.address for node in joined}
        going = sorted(node for node in self.nodes if node.name not in names and node.address not in addresses)
        return (*joined, *(going if coming else going[1:]))

    def _change(self, wanted: tuple[NodeConfig, ...]) -> None:
        ring = Ring(wanted)
        # A node is reachable before the ring names it, and as long as it does.
        leaving = [node for node in self.nodes if node.name not in {other.name for other in wanted}]
        self._transport.set_nodes([*wanted, *leaving])
        self._set_ring(ring)
        self._transport.set_nodes(wanted)
        for node in self.nodes:
            if node not in wanted:
                self._health.forget(node.name)
        self.nodes = wanted

    def _set_ring(self, ring: Ring) -> None:
        for cluster in self._clusters:
            cluster.ring = ring

    def retire(self, node: str) -> NodeConfig:
        """Take one node off the ring, but keep it within reach: to be swept. Return it.

        Args:
            node: its name, if it is on the list, or its entry in a node list.

        Raises:
            ConfigError: there is no such node, or too few would be left.
        """
        leaving = self._find(node)
        staying = tuple(other for other in self.nodes if other != leaving)
        if len(staying) < self._required:
            raise ConfigError("nodes", f"without {leaving.name} there are fewer nodes than required copies")
        with self._lock:
            self._set_ring(Ring(staying))
            self._transport.set_nodes([*staying, leaving])
            self.nodes = staying
        return leaving

    def _find(self, node: str) -> NodeConfig:
        for known in self.nodes:
            if known.name == node:
                return known
        if ":" not in node:
            raise ConfigError(
                "nodes", f"{node!r} is none of {_names(self.nodes)}; write its entry: 'n3:10.0.0.3:11211'"
            )
        entries = parse_nodes(node)
        if len(entries) > 1:
            raise ConfigError("nodes", f"{node!r} is more than one node")
        return self._match(entries[0])

    def _match(self, entry: NodeConfig) -> NodeConfig:
        """Return the node of the list that an entry means; the entry itself if it is not on the list."""
        for known in self.nodes:
            if known.address == entry.address:
                return known
            if known.name == entry.name:
                # The place on the ring has moved there already: the machine that had it goes under another name.
                raise ConfigError("nodes", f"{entry.name} has another address; call the node that goes by another name")
        return entry


def _names(nodes: tuple[NodeConfig, ...]) -> str:
    return " ".join(node.name for node in nodes)


class Poller:
    """Asks a function for the node list, from threads of its own.

    Args:
        membership: gets what it says.
        ask: returns a node list.
        interval: seconds between two questions.
        stats: counts `nodes_refused`.
    """

    def __init__(self, membership: Membership, ask: Callable[[], NodeList], interval: float, stats: Stats) -> None:
        self._membership = membership
        self._ask = ask
        self._interval = interval
        self._stats = stats
        self._closed = False
        self._question: threading.Thread | None = None
        renew_after_fork(self)
        self._start()

    def renew(self) -> None:
        """Go on in a forked child, which has no such threads."""
        # Never to be set: the parent's thread, which waited for it, may have held its lock.
        self._end_with_me.detach()
        self._question = None
        if not self._closed:
            self._start()

    def close(self) -> None:
        """Ask no more; what is being asked now changes nothing."""
        self._closed = True
        self._stop.set()

    def tick(self, stop: threading.Event) -> bool:
        """Ask, unless the last question is still open; return False to a thread that is to end.

        Args:
            stop: what ends that thread. A greenlet, unlike a thread, outlives a fork, where another takes its place.
        """
        if stop is not self._stop:
            return False
        self._go_on()
        return True

    def _go_on(self) -> None:
        if self._question is not None and self._question.is_alive():
            self._refuse("the function that tells it has not answered yet")
            return
        # On a thread of its own: a function that hangs must be noticed.
        self._question = threading.Thread(target=self.poll, name="sharedsession-nodes", daemon=True)
        try:
            self._question.start()
        except RuntimeError:  # no thread to be had now
            self._question = None

    def poll(self) -> None:
        """Ask once. A function that fails, and a bad list, leave the one in force as it is."""
        try:
            nodes = self._ask()
            if not _is_text(nodes):
                self._refuse(f"the function that tells it returned no text or list of texts: {type(nodes).__name__}")
            elif not self._closed:
                self._membership.set_nodes(nodes, gradually=True)
        except ConfigError as error:
            self._refuse(_PASSWORD.sub("***@", str(error)))
        except Exception as error:  # noqa: BLE001  # the function is the application's: it may raise anything
            # Only what kind: the text may hold a password, such as that of the place where it asks.
            self._refuse(f"the function that tells it failed with {type(error).__name__}")

    def _refuse(self, problem: str) -> None:
        self._stats.warn("nodes_refused", "the list of memcached nodes stays as it is: %s", problem)

    def _start(self) -> None:
        self._stop = threading.Event()
        self._end_with_me = weakref.finalize(self, self._stop.set)
        self._end_with_me.atexit = False
        ticker = threading.Thread(
            target=_tick, args=(weakref.ref(self), self._stop, self._interval), name="sharedsession-nodes", daemon=True
        )
        try:
            ticker.start()
        except RuntimeError:
            logger.exception("the list of memcached nodes stays as it is: there is no thread to ask for it")


def _is_text(nodes: object) -> bool:
    return isinstance(nodes, str) or (isinstance(nodes, Sequence) and all(isinstance(node, str) for node in nodes))


def _tick(poller: weakref.ref[Poller], stop: threading.Event, interval: float) -> None:
    """Ask until that is stopped, or nobody has the poller any more."""
    while not stop.wait(interval):
        present = poller()
        if present is None or not present.tick(stop):
            return
        del present
