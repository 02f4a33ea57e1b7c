"""A zone falls silent at once: how long the requests of one process wait until it knows.

The waits are those of `memcached/patience.py` and of a connection that nobody answers, the probe's order that of
`memcached/health.py`: a model of them, played on real preference lists, not that code itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sharedsession.memcached.health import PROBE_INTERVAL
from sharedsession.memcached.patience import GRACE

from .circle import COPIES, Circle


class Waits(NamedTuple):
    """The options `timeout` and `connect_timeout`, in seconds."""

    answer: float = 0.5
    connect: float = 0.25


class Silence(NamedTuple):
    """What the requests of one process with one thread went through."""

    #: Requests that waited for a silent node, and seconds that they waited, all together.
    delayed: int
    waited: float
    #: Longest, in seconds.
    longest: float
    #: Seconds after which no request waited any more.
    last: float
    #: Requests served in the first 10 seconds, as a share of what is served otherwise.
    served: float


def silence(circle: Circle, silent: set[str], waits: Waits, service: float, seed: int, seconds: float) -> Silence:
    """Play one process, with a connection to every node, until that many seconds are over.

    Args:
        circle: the ring.
        silent: nodes of which nothing comes any more, not even a refusal.
        waits: how long is waited.
        service: seconds that a request takes otherwise.
        seed: of chance.
        seconds: to play.
    """
    chance, process = random.Random(seed), _Process(silent, waits)
    now, added = 0.0, []
    while now < seconds:
        process.probe_until(now)
        waited = process.read(circle.at(chance.random()), now)
        now += service + waited
        added.append((now, waited))
    delays = [(at, waited) for at, waited in added if waited]
    served = sum(at < 10 for at, _ in added) * service / 10
    waited = sum(waited for _, waited in delays)
    return Silence(len(delays), waited, max((w for _, w in delays), default=0), delays[-1][0] if delays else 0, served)


class _Process:
    """What one process knows of the nodes."""

    def __init__(self, silent: set[str], waits: Waits) -> None:
        self._silent = silent
        self._waits = waits
        #: Node -> when it is probed next.
        self._down: dict[str, float] = {}
        #: Nodes that did not answer on the one connection there was.
        self._suspects: dict[str, None] = {}
        self._probed = 0.0
        self._probes = self._probing()

    def read(self, preference: Sequence[str], now: float) -> float:
        """Return how long a read waits for silent nodes; see `Copies.read`."""
        candidates = [name for name in preference if name not in self._down]
        waited, answered, asked = 0.0, 0, 0
        while answered < COPIES and asked < len(candidates):
            batch = candidates[asked : asked + COPIES - answered]
            waited += self._meet(batch, now + waited)
            answered += sum(name not in self._silent for name in batch)
            asked += len(batch)
        if preference[:COPIES] != tuple(candidates[:asked]):
            # A stand-in has none: one more is asked.
            waited += self._meet(candidates[asked : asked + 1], now + waited)
        return waited

    def _meet(self, names: Sequence[str], now: float) -> float:
        return max((self._wait(name, now) for name in names if name in self._silent), default=0.0)

    def _wait(self, name: str, now: float) -> float:
        """The first time, on the open connection; then a new one is tried, which fails, and the node is down."""
        if name not in self._suspects:
            self._suspects[name] = None
            return GRACE * self._waits.answer
        self._mark_down(name, now)
        return self._waits.connect

    def _mark_down(self, name: str, now: float) -> None:
        self._suspects.pop(name, None)
        self._down[name] = now + PROBE_INTERVAL

    def probe_until(self, now: float) -> None:
        """Let the probe go on, one node at a time."""
        while self._probed + self._waits.connect <= now:
            self._probed = self._probed + self._waits.connect if next(self._probes) else now

    def _probing(self) -> Iterator[bool]:
        """Probe suspects, then those that are down and due; yield whether there was one."""
        while True:
            suspects, due = list(self._suspects), [name for name, at in self._down.items() if at <= self._probed]
            for name in suspects:
                yield True
                self._mark_down(name, self._probed)
            for name in due:
                yield True
                self._down[name] = self._probed + PROBE_INTERVAL
            if not suspects and not due:
                yield False
