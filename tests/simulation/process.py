"""An application process: the real manager, store and transport, its own opinion of the nodes, its own node list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sharedsession.codec import RecordCodec
from sharedsession.ids import IdFactory
from sharedsession.manager import Manager
from sharedsession.memcached.cluster import Cluster
from sharedsession.memcached.commands import Failed, Ping
from sharedsession.memcached.health import PROBE_INTERVAL
from sharedsession.memcached.ring import Ring
from sharedsession.memcached.store import Store
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig
from sharedsession.stats import Stats
from sharedsession.values import ValueCodec

from .lease import SimLines, SimWaiters
from .network import Network

KEYS = (b"simulation secret",)
PREFIX = "s:"
CODEC = RecordCodec(KEYS, PREFIX)
VALUES = ValueCodec()
IDS = IdFactory(KEYS, PREFIX, "")


@cache
def ring_of(nodes: tuple[str, ...]) -> Ring:
    """Return the ring of these nodes: pure, and dear to build."""
    return Ring([NodeConfig(node, node) for node in nodes])


@dataclass(frozen=True)
class Settings:
    """How the processes are configured."""

    interval: int = 1800
    copies: int = 2
    required: int = 1
    connect_timeout: float = 0.25
    timeout: float = 0.5


class SimHealth:
    """One process's mark-down: probes like `ProbedHealth`, in simulated time.

    Args:
        network: where the tasks run.
        transport: asks the nodes.
        process: the process's name.
        hesitation: seconds at most that a probe comes later than it could.
    """

    def __init__(self, network: Network, transport: MemcachedTransport, process: str, hesitation: float) -> None:
        self.down: set[str] = set()
        self._suspects: set[str] = set()
        self._world = network.world
        self._transport = transport
        self._process = process
        self._hesitation = hesitation

    def mark_down(self, node: str, reason: str) -> None:
        """Probe the node until it answers."""
        if node not in self.down:
            self.down.add(node)
            self._world.trace(self._process, "marks down", node, reason)
            self._world.spawn(f"probe-{self._process}", lambda: self._probe(node))

    def suspect(self, node: str) -> None:
        """Find out whether the node answers."""
        if node not in self.down | self._suspects:
            self._suspects.add(node)
            self._world.spawn(f"probe-{self._process}", lambda: self._examine(node))

    def _examine(self, node: str) -> None:
        answer = self._transport.ask([(node, Ping())])[0]
        self._suspects.discard(node)
        if isinstance(answer, Failed):
            self.mark_down(node, answer.reason)

    def mark_up(self, node: str) -> None:
        """Ask the node again."""
        self._world.trace(self._process, "marks up", node)
        self.down.discard(node)

    def forget(self, node: str) -> None:
        """Probe the node no more."""
        self.down.discard(node)

    def close(self) -> None:
        """Probe no more."""
        self.down.clear()

    def _probe(self, node: str) -> None:
        self._world.sleep(0.001)
        while node in self.down:
            if not isinstance(self._transport.ask([(node, Ping())])[0], Failed):
                self.mark_up(node)
                return
            self._world.sleep(PROBE_INTERVAL + self._world.random.uniform(0, self._hesitation))


class Process:
    """One application process.

    Args:
        name: its name.
        network: what it is connected to.
        nodes: names of the nodes on its list.
        settings: its configuration.
        skew: seconds that its clock is ahead.
        hesitation: seconds at most by which it notices late that a node is back.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        nodes: Iterable[str],
        settings: Settings,
        *,
        skew: float = 0.0,
        hesitation: float = 0.0,
    ) -> None:
        self.name = name
        self.network = network
        self.settings = settings
        self.skew = skew
        self.hesitation = hesitation
        #: Requests begun and not ended.
        self.busy: set[str] = set()
        self.restart(nodes)

    def restart(self, nodes: Iterable[str]) -> None:
        """Begin anew with another node list; requests already begun go on with the old one."""
        self.nodes = tuple(nodes)
        configs = [NodeConfig(node, f"{self.name}/{node}") for node in self.nodes]
        self.transport = MemcachedTransport(configs, self.settings.connect_timeout, self.settings.timeout)
        self.health = SimHealth(self.network, self.transport, self.name, self.hesitation)
        self.ring = ring_of(self.nodes)
        self.cluster = self._cluster()
        self.store = Store(self.cluster, self.settings.interval)
        self.manager = Manager(
            self.store, IDS, VALUES, self.cluster.stats, self.clock, default_interval=self.settings.interval
        )
        self.manager.waiters = SimWaiters(self.network.world)
        self.manager.lines = SimLines(self.network.world)

    def is_late(self) -> bool:
        """Say whether an answer of some node came late a moment ago."""
        return any(node.was_late() for node in self.transport._nodes.values())

    def _cluster(self) -> Cluster:
        return Cluster(
            ring=self.ring,
            transport=self.transport,
            health=self.health,
            codec=CODEC,
            stats=Stats(self.clock),
            copies=min(self.settings.copies, len(self.nodes)),
            required=self.settings.required,
            clock=self.clock,
            pause=self._pause,
        )

    def clock(self) -> float:
        """Return its own idea of the time."""
        return self.network.world.now + self.skew

    def _pause(self, round_number: int) -> None:
        world = self.network.world
        world.sleep(world.random.uniform(0, 0.002 * 2 ** min(round_number, 5)))
