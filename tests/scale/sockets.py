"""Connections of application processes to nodes: played for one process, multiplied for all."""

from __future__ import annotations

import random
from typing import NamedTuple

from .circle import COPIES


class Fleet(NamedTuple):
    """The application nodes."""

    hosts: int
    processes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}"


class Pool(NamedTuple):
    """Connections of one process after a while; none is ever closed for being idle."""

    total: int
    #: To the node that has most.
    most: int


def pool(nodes: int, threads: int, requests: int, busy: float, seed: int) -> Pool:
    """Play a process: each request of a thread asks `COPIES` nodes at once.

    Args:
        nodes: on the ring, each as likely as the other.
        threads: of the process.
        requests: that it has served.
        busy: share of a thread's time for which it waits for memcached.
        seed: of chance.
    """
    chance = random.Random(seed)
    opened = [0] * nodes
    for _ in range(requests):
        own = _pick(chance, nodes)
        others = [node for _ in range(threads - 1) if chance.random() < busy for node in _pick(chance, nodes)]
        for node in own:
            opened[node] = max(opened[node], 1 + others.count(node))
    return Pool(sum(opened), max(opened))


def _pick(chance: random.Random, nodes: int) -> tuple[int, ...]:
    first = int(chance.random() * nodes)
    return first, (first + 1 + int(chance.random() * (nodes - 1))) % nodes


assert COPIES == 2, "_pick picks two"


class Sockets(NamedTuple):
    """What a fleet needs."""

    process: int
    host: int
    node: int

    def memory(self, fleet: Fleet, kib_process: float, kib_kernel_end: float) -> float:
        """Return MiB on an application node: its processes' and its kernel's part of its connections."""
        return self.host * (kib_process + kib_kernel_end) / 1024


def sockets(fleet: Fleet, nodes: int, of_process: Pool) -> Sockets:
    """Return the sockets of each process, of each application node and of each memcached node."""
    host = of_process.total * fleet.processes
    return Sockets(of_process.total, host, round(host * fleet.hosts / nodes))
