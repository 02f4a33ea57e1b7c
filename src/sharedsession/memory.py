"""The embedded store: a memcached node inside this process, for one process and for tests; same answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .forking import renew_after_fork
from .memcached.commands import (
    CONFLICT,
    MISSING,
    NO_TOKEN,
    Answer,
    Command,
    Delete,
    Found,
    Get,
    Put,
    Stored,
    Token,
    Touch,
)

#: Writes between two sweeps of expired values.
_SWEEP_EVERY = 1000


class _Item(NamedTuple):
    value: bytes
    cas: int
    expires: float


class MemoryTransport:
    """Keeps values in a dict as one node would, whatever its name.

    Args:
        clock: seconds from any origin; expiry is measured with it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._items: dict[str, _Item] = {}
        self._lock = threading.Lock()
        self._cas = 0
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Do every command; return the answers in order."""
        with self._lock:
            return [self._do(command) for _, command in requests]

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _do(self, command: Command) -> Answer:
        if isinstance(command, Get):
            return self._get(command)
        if isinstance(command, Put):
            return self._put(command)
        if isinstance(command, Touch):
            return self._touch(command)
        if isinstance(command, Delete):
            self._items.pop(command.key, None)
        return Stored(NO_TOKEN)

    def _live(self, key: str) -> _Item | None:
        item = self._items.get(key)
        return item if item is not None and item.expires > self._clock() else None

    def _get(self, command: Get) -> Answer:
        item = self._live(command.key)
        if item is None:
            return MISSING
        if command.ttl is not None:
            self._items[command.key] = item._replace(expires=self._clock() + command.ttl)
        return Found(item.value, Token(item.cas, 0), int(item.expires - self._clock()))

    def _put(self, command: Put) -> Answer:
        item = self._live(command.key)
        if command.token is not None and item is None:
            return MISSING
        if (item and item.cas) != (command.token and command.token.cas):
            return CONFLICT
        self._cas += 1
        self._items[command.key] = _Item(command.value, self._cas, self._clock() + max(command.ttl, 1))
        if self._cas % _SWEEP_EVERY == 0:
            self._sweep()
        return Stored(Token(self._cas, 0))

    def _touch(self, command: Touch) -> Answer:
        item = self._live(command.key)
        if item is None:
            return MISSING
        self._items[command.key] = item._replace(expires=self._clock() + command.ttl)
        return Stored(NO_TOKEN)

    def _sweep(self) -> None:
        now = self._clock()
        for key in [key for key, item in self._items.items() if item.expires <= now]:
            del self._items[key]
