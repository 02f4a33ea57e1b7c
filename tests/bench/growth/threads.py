"""Many threads in one process, each with a session of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from statistics import quantiles
from typing import NamedTuple

from servers import Memcached, connections

from ..figures import SAME, SPLIT
from ..payloads import SMALL
from ..timing import cores, start_servers
from .meter import pinned, table
from .site import Site

THREADS = (1, 8, 64)
_SECONDS = 2.0


class Run(NamedTuple):
    """What some threads have done in a while."""

    requests: int
    seconds: float
    cpu: float
    #: Milliseconds that a request took, sorted.
    latencies: list[float]


def measure() -> list[str]:
    """Return the section."""
    rows = [_row(path, threads) for path in ("/read", "/change") for threads in THREADS]
    columns = ("request", "threads", "requests/s", "us of CPU", "ms, median", "ms, 99 %", "connections to a node")
    return [
        "## Threads",
        "",
        f"One process, `copies=2`, every thread with a session of its own, as fast as it can for {_SECONDS:g} s;",
        "memcached on the other core. Every thread counts in its session, and finds what it counted. CPython runs one",
        "thread at a time, so more threads wait for each other and not for memcached. Connections are those ever",
        "opened, one for the check of the secret among them.",
        "",
        *table(columns, rows),
    ]


def _row(path: str, threads: int) -> tuple[object, ...]:
    with ExitStack() as stack:
        servers = start_servers(stack, cores()[SAME])
        stack.enter_context(pinned(cores().get(SPLIT, cores()[SAME])))
        run = _run(Site(servers, 2), path, threads)
        opened = max(_used(server) for server in servers)
    rate = f"{run.requests / run.seconds:,.0f}"
    percentiles = quantiles(run.latencies, n=100)
    cost = f"{run.cpu * 1e6 / run.requests:.0f}"
    return path[1:], threads, rate, cost, f"{percentiles[49]:.2f}", f"{percentiles[98]:.2f}", opened


def _used(server: Memcached) -> int:
    # It counts the socket that it listens on, and was asked once whether it is there.
    return connections(server) - 2


def _run(site: Site, path: str, threads: int) -> Run:
    found: list[list[float]] = []
    workers = [threading.Thread(target=_work, args=(_visitor(site, path), found)) for _ in range(threads)]
    wall, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if len(found) != threads:
        raise RuntimeError(f"{threads - len(found)} threads have failed")
    latencies = sorted(latency for each in found for latency in each)
    return Run(len(latencies), wall, cpu, latencies)


def _visitor(site: Site, path: str) -> Callable[[], int]:
    """Return what makes a request, in a thread of its own, and returns what its session has counted."""
    client, cookie = site.new_client(), site.create(SMALL)

    def visit() -> int:
        return int(client.request(path, cookie))

    return visit


def _work(visit: Callable[[], int], found: list[list[float]]) -> None:
    until = time.perf_counter() + _SECONDS
    latencies, counts = [], []
    while (start := time.perf_counter()) < until:
        counts.append(visit())
        latencies.append((time.perf_counter() - start) * 1e3)
    steps = {after - before for before, after in pairwise(counts)}
    if len(steps) == 1 and steps <= {0, 1}:
        found.append(latencies)
