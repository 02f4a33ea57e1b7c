"""Which nodes are believed to answer. A node that failed is asked by nobody but the probe until it answers again."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Collection
from typing import Protocol

from ..forking import renew_after_fork
from ..stats import Stats, logger

#: Seconds between two probes of a node that is marked down.
PROBE_INTERVAL = 0.5


class Health(Protocol):
    """What the store needs to know about nodes."""

    @property
    def down(self) -> Collection[str]:
        """The nodes that are not to be asked."""
        ...

    def mark_down(self, node: str, reason: str) -> None:
        """Note that the node failed."""
        ...

    def suspect(self, node: str) -> None:
        """Note that the node is slow: find out whether it answers at all."""
        ...

    def mark_up(self, node: str) -> None:
        """Note that the node answered."""
        ...

    def forget(self, node: str) -> None:
        """Note that there is no such node any more."""
        ...

    def close(self) -> None:
        """End the probing."""
        ...


class ProbedHealth:
    """Marks failing nodes down and probes them from a thread of its own, off the request path, one at a time.

    Args:
        probe: asks a node whether it answers; returns why not, "" when it does, None when there is no such node now.
        stats: counts `node_down` and `node_up`.
    """

    def __init__(self, probe: Callable[[str], str | None], stats: Stats) -> None:
        self._probe = probe
        self._stats = stats
        #: The nodes that are not to be asked -> when each is to be probed next (time.monotonic).
        self.down: dict[str, float] = {}
        self._suspects: set[str] = set()
        # One that its thread may take again: in here the collector may run, and with it anybody's code.
        self._lock = threading.RLock()
        self._prober: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False
        renew_after_fork(self)

    def mark_down(self, node: str, reason: str) -> None:
        """Ask the node no more until a probe finds it well."""
        with self._lock:
            known = node in self.down
            # Not at once: one that answers pings but serves nobody would change its state hundreds of times a second.
            self.down[node] = time.monotonic() + PROBE_INTERVAL
            self._start_probing()
        if not known:
            self._stats.warn("node_down", "memcached node %s marked down: %s", node, reason, about=node)

    def suspect(self, node: str) -> None:
        """Probe the node now, off the request path, and mark it down if it does not answer."""
        with self._lock:
            if node not in self.down:
                self._suspects.add(node)
                self._start_probing()
                self._wake.set()

    def mark_up(self, node: str) -> None:
        """Ask the node again."""
        with self._lock:
            if self.down.pop(node, None) is None:
                return
        self._stats.warn("node_up", "memcached node %s answers again", node, about=node)

    def forget(self, node: str) -> None:
        """Probe the node no more."""
        with self._lock:
            self.down.pop(node, None)
            self._suspects.discard(node)

    def close(self) -> None:
        """End the probing."""
        self._closed = True
        self._wake.set()

    def renew(self) -> None:
        """Form an opinion of its own in a forked child, which has no probing thread."""
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self.down = {}
        self._suspects = set()
        self._prober = None

    def _start_probing(self) -> None:
        if self._prober is not None or self._closed:
            return
        prober = threading.Thread(
            target=_probe_on, args=(weakref.ref(self), self._wake), name="sharedsession-probe", daemon=True
        )
        try:
            prober.start()
        except RuntimeError:  # no thread to be had: the next failure of the node tries again
            logger.exception("cannot probe memcached nodes that are marked down")
        else:
            self._prober = prober

    def _problem(self, node: str) -> str | None:
        try:
            return self._probe(node)
        except Exception as error:  # noqa: BLE001  # whatever it was, the other nodes must still be probed
            logger.exception("probing memcached node %s failed", node)
            return type(error).__name__

    def look(self) -> float | None:
        """Probe what is due; return the seconds until the next time, None when there is nothing to probe any more."""
        if not self._closed:
            self._look_at_suspects()
            self._look_at_those_down()
        with self._lock:
            if self._closed or not (self.down or self._suspects):
                self._prober = None
                return None
            self._wake.clear()
            rest = min(self.down.values(), default=0.0) - time.monotonic()
            return 0.0 if self._suspects else max(rest, 0.0)

    def _look_at_suspects(self) -> None:
        for node in list(self._suspects):
            problem = self._problem(node)
            self._suspects.discard(node)
            if problem:
                self.mark_down(node, problem)

    def _look_at_those_down(self) -> None:
        for node, due in list(self.down.items()):
            if time.monotonic() < due:
                continue
            problem = self._problem(node)
            if problem is None:
                # A request that had begun before it was taken off the list has marked it down after that.
                self.forget(node)
            elif not problem:
                self.mark_up(node)
            elif node in self.down:
                self.down[node] = time.monotonic() + PROBE_INTERVAL


def _probe_on(health: weakref.ref[ProbedHealth], wake: threading.Event) -> None:
    """Probe until there is nothing to probe, or nobody has the health any more."""
    while (probing := health()) is not None:
        rest = probing.look()
        del probing
        if rest is None:
            return
        wake.wait(rest)


class AlwaysUp:
    """The health of the in-process store."""

    #: Never any.
    down: Collection[str] = ()

    def mark_down(self, node: str, reason: str) -> None:
        """Do nothing: it cannot fail."""

    def suspect(self, node: str) -> None:
        """Do nothing: it cannot be slow."""

    def forget(self, node: str) -> None:
        """Do nothing: it stays."""

    def mark_up(self, node: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
