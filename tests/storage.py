"""The storage arm put together for tests: over real memcached or in this process, with a clock that tests turn."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from servers import Memcached

from sharedsession.codec import RecordCodec
from sharedsession.memcached.cluster import Cluster
from sharedsession.memcached.commands import Failed, Found, Get, Ping, Stored, Touch, Transport
from sharedsession.memcached.health import AlwaysUp, Health, ProbedHealth
from sharedsession.memcached.outcomes import Absent, Loaded
from sharedsession.memcached.ring import Ring
from sharedsession.memcached.store import Store
from sharedsession.memcached.transaction import Again, Transaction
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.memory import MemoryTransport
from sharedsession.nodelist import NodeConfig
from sharedsession.record import Changes
from sharedsession.stats import Stats

SECRET = b"a secret of the tests, 32 bytes."
PREFIX = "t:"
#: Default max inactive interval of the stores made here, in seconds.
INTERVAL = 1000
TIMEOUT = 0.3


class Clock:
    """Seconds since the epoch; tests turn it forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.time() + self.ahead


@dataclass
class Rig:
    """A store and everything it is made of."""

    store: Store
    transport: Transport
    health: Health
    ring: Ring
    codec: RecordCodec
    stats: Stats
    clock: Clock
    servers: dict[str, Memcached] = field(default_factory=dict)

    def close(self) -> None:
        """Stop the probe and close the connections."""
        if isinstance(self.health, ProbedHealth):
            self.health.close()
        self.transport.close()

    def remaining(self, key: str) -> dict[str, int]:
        """Return the life in seconds left to each copy: node name -> seconds."""
        if not self.servers:
            found = self.transport.ask([("memory", Get(key, None))])[0]
            return {"memory": found.remaining} if isinstance(found, Found) else {}
        replies = {name: server.command(f"mg {key} t".encode()) for name, server in self.servers.items()}
        return {name: int(reply.split()[1][1:]) for name, reply in replies.items() if reply.startswith(b"HD")}

    def age(self, key: str, left: int) -> None:
        """Leave every copy `left` seconds to live, as if nobody had asked for the session meanwhile."""
        if not self.servers:
            assert isinstance(self.transport.ask([("memory", Touch(key, left))])[0], Stored)
        for server in self.servers.values():
            server.command(f"mg {key} T{left}".encode())

    def forget(self, key: str) -> None:
        """Delete every copy, as an eviction or an expiry would."""
        for name in self.servers or ("memory",):
            if name == "memory":
                assert isinstance(self.transport, MemoryTransport)
                self.transport._items.pop(key, None)
            else:
                self.servers[name].command(f"md {key}".encode())

    def key(self, order: Sequence[str] = ()) -> str:
        """Return a storage key nobody has used, whose preference list begins with these nodes."""
        while True:
            key = new_key()
            if self.ring.nodes_for(key)[: len(order)] == tuple(order):
                return key


def new_key() -> str:
    """Return a storage key nobody has used."""
    return PREFIX + hashlib.sha256(random.randbytes(16)).hexdigest()


def changes(
    values: Mapping[str, bytes] | None = None,
    /,
    *,
    cleared: bool = False,
    interval: int | None = None,
    deleted: Iterable[str] = (),
    **more: bytes,
) -> Changes:
    """Return the changes of one request; attributes are already encoded."""
    return Changes({**(values or {}), **more}, frozenset(deleted), cleared, interval)


def loaded(outcome: object) -> Loaded:
    """Return the outcome, which must be a live session."""
    assert isinstance(outcome, Loaded), outcome
    return outcome


def decide(rig: Rig, session: Loaded, made: Changes) -> Loaded | Absent | Again:
    """Make the only attempt of a transaction."""
    return Transaction(rig.store, int(rig.clock())).decide(session, made)


def node_configs(servers: Sequence[Memcached]) -> list[NodeConfig]:
    """Return the servers as the node list would name them."""
    return [NodeConfig(server.name, ("127.0.0.1", server.port)) for server in servers]


def transport_to(*servers: Memcached, timeout: float = TIMEOUT) -> MemcachedTransport:
    """Return a transport to running servers."""
    return MemcachedTransport(node_configs(servers), 0.25, timeout)


def memcached_rig(
    servers: Sequence[Memcached],
    *,
    copies: int = 2,
    required: int = 1,
    interval: int = INTERVAL,
    max_lifetime: int | None = None,
    timeout: float = TIMEOUT,
    secrets: tuple[bytes, ...] = (SECRET,),
) -> Rig:
    """Return a store over running memcached servers."""
    transport, stats = transport_to(*servers, timeout=timeout), Stats()
    health = ProbedHealth(probe_by(transport), stats)
    ring, codec, clock = Ring(node_configs(servers)), RecordCodec(secrets, PREFIX), Clock()
    cluster = Cluster(ring, transport, health, codec, stats, copies, required, clock, _pause, max_lifetime)
    named = {server.name: server for server in servers}
    return Rig(Store(cluster, interval), transport, health, ring, codec, stats, clock, named)


def memory_rig(*, interval: int = INTERVAL, max_lifetime: int | None = None) -> Rig:
    """Return a store in this process, whose expiry follows the rig's clock."""
    clock, stats, health = Clock(), Stats(), AlwaysUp()
    ring, codec, transport = (
        Ring([NodeConfig("memory", "memory")]),
        RecordCodec((SECRET,), PREFIX),
        MemoryTransport(clock),
    )
    cluster = Cluster(ring, transport, health, codec, stats, 1, 1, clock, _pause, max_lifetime)
    return Rig(Store(cluster, interval), transport, health, ring, codec, stats, clock)


def probe_by(transport: Transport) -> Callable[[str], str]:
    """Return what the health of nodes asks them by."""

    def probe(node: str) -> str:
        answer = transport.ask([(node, Ping())])[0]
        return answer.reason if isinstance(answer, Failed) else ""

    return probe


def _pause(round_number: int) -> None:
    time.sleep(random.uniform(0, 0.001 * min(round_number + 1, 10)))
