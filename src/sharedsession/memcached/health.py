"""Which nodes are believed to answer. A node that failed is asked by nobody but the probe until it answers again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ..forking import renew_after_fork
from ..stats import Stats, logger

#: Seconds between two probes of a node that is marked down.
PROBE_INTERVAL = 0.5


class Health(Protocol):
    """What the store needs to know about nodes."""

    def is_up(self, node: str) -> bool:
        """Say whether the node may be asked."""
        ...

    def mark_down(self, node: str, reason: str) -> None:
        """Note that the node failed."""
        ...

    def mark_up(self, node: str) -> None:
        """Note that the node answered."""
        ...

    def close(self) -> None:
        """End the probing."""
        ...


class ProbedHealth:
    """Marks failing nodes down and probes them from a thread of its own, off the request path, one at a time.

    Args:
        probe: asks a node whether it answers; returns why not, or "" when it does.
        stats: counts `node_down` and `node_up`.
    """

    def __init__(self, probe: Callable[[str], str], stats: Stats) -> None:
        self._probe = probe
        self._stats = stats
        self._down: dict[str, str] = {}
        self._lock = threading.Lock()
        self._prober: threading.Thread | None = None
        self._stop = threading.Event()
        renew_after_fork(self)

    def is_up(self, node: str) -> bool:
        """Say whether the node may be asked."""
        return node not in self._down

    def mark_down(self, node: str, reason: str) -> None:
        """Ask the node no more until a probe finds it well; one log line for each change."""
        with self._lock:
            known = node in self._down
            self._down[node] = reason
            self._start_probing()
        if known:
            return
        self._stats.count("node_down")
        logger.warning("memcached node %s marked down: %s", node, reason)

    def mark_up(self, node: str) -> None:
        """Ask the node again."""
        with self._lock:
            if self._down.pop(node, None) is None:
                return
        self._stats.count("node_up")
        logger.warning("memcached node %s answers again", node)

    def close(self) -> None:
        """End the probing."""
        self._stop.set()

    def renew(self) -> None:
        """Form an opinion of its own in a forked child, which has no probing thread."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._down = {}
        self._prober = None

    def _start_probing(self) -> None:
        if self._prober is not None or self._stop.is_set():
            return
        prober = threading.Thread(target=self._run, name="sharedsession-probe", daemon=True)
        try:
            prober.start()
        except RuntimeError:  # no thread to be had: the next failure of the node tries again
            logger.exception("cannot probe memcached nodes that are marked down")
        else:
            self._prober = prober

    def _answers(self, node: str) -> bool:
        try:
            return not self._probe(node)
        except Exception:  # noqa: BLE001  # whatever it was, the other nodes must still be probed
            logger.exception("probing memcached node %s failed", node)
            return False

    def _run(self) -> None:
        # Not at once: a node that answers a ping but serves nobody would change its state hundreds of times a second.
        while not self._stop.wait(PROBE_INTERVAL):
            for node in list(self._down):
                if self._answers(node):
                    self.mark_up(node)
            with self._lock:
                if not self._down:
                    self._prober = None
                    return


class AlwaysUp:
    """The health of the in-process store."""

    def is_up(self, node: str) -> bool:
        """Say True."""
        return True

    def mark_down(self, node: str, reason: str) -> None:
        """Do nothing: it cannot fail."""

    def mark_up(self, node: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
