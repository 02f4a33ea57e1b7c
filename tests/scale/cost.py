"""What a request costs in commands and trips while copies are missing: counted with the project's own store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from sharedsession import SessionConfig
from sharedsession.assembly import Reach, assemble
from sharedsession.memcached.commands import Answer, Command, Delete
from sharedsession.memcached.health import AlwaysUp
from sharedsession.memcached.outcomes import Loaded
from sharedsession.memcached.ring import Ring
from sharedsession.memcached.store import Store
from sharedsession.memory import MemoryTransport
from sharedsession.record import Changes
from sharedsession.stats import Stats

from .circle import nodes

#: More than a preference list is long, as on a large ring.
_COUNT = 20
_KEY = "sharedsession:" + "0" * 64


class Cost(NamedTuple):
    """What nodes are asked for one request, and how often it waits for them."""

    commands: int
    trips: int

    def __str__(self) -> str:
        return f"{self.commands} / {self.trips}"


class Nodes:
    """Many nodes in this process; counts what they are asked."""

    def __init__(self) -> None:
        self._nodes: dict[str, MemoryTransport] = {}
        self.commands = self.trips = 0

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Do every command; return the answers in order."""
        self.commands += len(requests)
        self.trips += any(not isinstance(command, Delete) for _, command in requests)
        return [self.node(name).ask([(name, command)])[0] for name, command in requests]

    def node(self, name: str) -> MemoryTransport:
        """Return one of them."""
        return self._nodes.setdefault(name, MemoryTransport())

    def empty(self, name: str) -> None:
        """Restart one: it has lost everything."""
        self._nodes.pop(name, None)

    def close(self) -> None:
        """Do nothing: there are no connections."""


class Bench:
    """A store over nodes in this process, with one session."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        members = " ".join(f"{node.name}:10.0.0.{1 + i}" for i, node in enumerate(nodes(_COUNT)))
        config = SessionConfig(nodes=members, secret_key="s" * 32)
        self._cluster = assemble(config, reach=Reach(Stats(), self.nodes, AlwaysUp())).cluster
        self.store = Store(self._cluster, 1800)
        self.loaded = self.store.create(_KEY, Changes({"count": b"\x01"}), 1800)
        #: Where the session may lie, in order of preference.
        self.home = self._cluster.ring.nodes_for(_KEY)

    def leave(self, name: str) -> None:
        """Take a node off the list."""
        self._cluster.ring = Ring([node for node in nodes(_COUNT) if node.name != name])
        self.store = Store(replace(self._cluster), 1800)

    def load(self) -> None:
        """Read the session, as a request does."""
        found = self.store.load(_KEY)
        assert isinstance(found, Loaded)
        self.loaded = found

    def change(self) -> None:
        """Read the session and change it, as a request does."""
        self.load()
        self.store.commit(self.loaded, Changes({"count": b"\x02"}))

    def end(self) -> None:
        """Read the session and end it."""
        self.load()
        self.store.end(self.loaded)

    def count(self, action: Callable[[], None]) -> Cost:
        """Return what something costs."""
        before = self.nodes.commands, self.nodes.trips
        action()
        return Cost(self.nodes.commands - before[0], self.nodes.trips - before[1])


def costs() -> dict[str, Cost]:
    """Return what -> commands and trips, `copies=2`."""
    found = {}
    for name, act in (("read", Bench.load), ("change", Bench.change), ("log-out", Bench.end)):
        bench = Bench()
        found[f"{name}, all copies there"] = bench.count(lambda bench=bench, act=act: act(bench))  # type: ignore[misc]
    for place, name in ((1, "second copy"), (0, "first copy, which decides transactions,")):
        bench = Bench()
        bench.nodes.empty(bench.home[place])
        found[f"read, {name} lost"] = bench.count(bench.load)
        found[f"the read after that, {name} lost"] = bench.count(bench.load)
    bench = Bench()
    bench.leave(bench.home[1])
    found["read, the second copy's node off the list"] = bench.count(bench.load)
    return found
