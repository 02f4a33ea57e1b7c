"""Counters and rate-limited log lines. Neither ever holds an id, a value or a secret."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from .forking import Renewer

logger: logging.Logger = logging.getLogger("sharedsession")

#: Seconds between two log lines about the same thing.
LOG_INTERVAL = 10.0


class Stats:
    """What happened so far in this process.

    Args:
        clock: seconds from any origin, for the rate limit of log lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # One that its thread may take again: in here the collector may run, and with it anybody's code.
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._renewer = Renewer(self.renew)

    def renew(self) -> None:
        """Count from 0 in a forked child, with a lock that nobody holds."""
        self._lock = threading.RLock()
        self._counts = Counter()

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += by

    def snapshot(self) -> dict[str, int]:
        """Return every counter that has moved."""
        with self._lock:
            return dict(self._counts)

    def warn(self, topic: str, message: str, *args: object, about: str = "", level: int = logging.WARNING) -> None:
        """Count `topic` and log the message, at most once an interval for a topic and what it is about.

        Both come from a fixed set, or are names of nodes, never from client input, so that memory stays bounded.
        """
        now = self._clock()
        key = f"{topic} {about}"
        with self._lock:
            self._counts[topic] += 1
            due = now - self._last.get(key, -LOG_INTERVAL) >= LOG_INTERVAL
            if due:
                self._last[key] = now
            total = self._counts[topic]
        if due:
            logger.log(level, message + " (%d so far)", *args, total)
