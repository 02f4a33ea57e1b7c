"""Finding a session's nodes, from 2 nodes to 1,000."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from statistics import median

from sharedsession.memcached.ring import Ring
from sharedsession.nodelist import NodeConfig

from .meter import spread, table

NODES = (2, 8, 64, 256, 1000)
#: What a look-up on the largest ring may take more than on the smallest, in microseconds.
LIMIT = 0.3
_KEYS = 1000
_ROUNDS = 21


def measure() -> list[str]:
    """Return the section."""
    keys = [f"sharedsession:{hashlib.sha256(b'%d' % number).hexdigest()}" for number in range(_KEYS)]
    built = {count: _build(count) for count in NODES}
    hot: dict[int, list[float]] = {count: [] for count in NODES}
    cold: dict[int, list[float]] = {count: [] for count in NODES}
    for _ in range(_ROUNDS):
        for count, (ring, _) in built.items():
            cold[count].append(_look_up(ring, keys))
            hot[count].append(_look_up(ring, keys))
    rows = [
        (count, _precise(hot[count]), _precise(cold[count]), f"{_first(count, keys):.1f}", f"{built[count][1]:.0f}")
        for count in NODES
    ]
    return _section(rows, [median(times[NODES[-1]]) - median(times[NODES[0]]) for times in (hot, cold)])


def _build(count: int) -> tuple[Ring, float]:
    nodes = [NodeConfig(f"n{number}", ("127.0.0.1", 1 + number)) for number in range(count)]
    start = time.process_time()
    ring = Ring(nodes)
    return ring, (time.process_time() - start) * 1e3


def _first(count: int, keys: list[str]) -> float:
    """Return what a look-up takes where nobody has asked before."""
    return median(_look_up(_build(count)[0], keys) for _ in range(3))


def _look_up(ring: Ring, keys: list[str]) -> float:
    start = time.process_time()
    for key in keys:
        ring.nodes_for(key)
    return (time.process_time() - start) * 1e6 / len(keys)


def _section(rows: Sequence[tuple[object, ...]], grown: list[float]) -> list[str]:
    verdict = "reached" if grown[0] <= LIMIT else "**missed**"
    return [
        "## Finding a session's nodes",
        "",
        f"Microseconds for one key, median and quartiles of {_ROUNDS} rounds over {_KEYS:,} keys; milliseconds to",
        "build the ring, once for each process and change of the node list. *Cold* is a round after other work has",
        "filled the processor's caches, *hot* the same keys once more. A ring remembers the nodes of each stretch of",
        "the circle that it was asked for; *the first time* it works them out.",
        "",
        f"From {NODES[0]} to {NODES[-1]:,} nodes a look-up grows by {grown[0]:.2f} us hot, {grown[1]:.2f} us cold",
        f"(wanted: at most {LIMIT} us hot: {verdict}).",
        "",
        *table(("nodes", "us, hot", "us, cold", "us, the first time", "ms to build"), rows),
    ]


def _precise(times: list[float]) -> str:
    found = spread(times)
    return f"{found.middle:.2f} ({found.low:.2f} to {found.high:.2f})"
