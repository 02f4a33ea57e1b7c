"""The embedded store: a memcached node inside this process, for one process and for tests; same answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
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
        # One that its thread may take again: in here the collector may run, and with it anybody's code.
        self._lock = threading.RLock()
        self._numbers = count(1)
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.RLock()

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
            self._prolong(command.key, item, command.ttl)
        return Found(item.value, Token(item.cas, 0), int(item.expires - self._clock()))

    def _put(self, command: Put) -> Answer:
        # Made first: the collector must not come between the look and the deed.
        new = _Item(command.value, next(self._numbers), self._clock() + max(command.ttl, 1))
        if new.cas % _SWEEP_EVERY == 0:
            self._sweep()
        item = self._live(command.key)
        if command.token is not None and item is None:
            return MISSING
        if (item and item.cas) != (command.token and command.token.cas):
            return CONFLICT
        self._items[command.key] = new
        return Stored(Token(new.cas, 0))

    def _touch(self, command: Touch) -> Answer:
        item = self._live(command.key)
        if item is None:
            return MISSING
        self._prolong(command.key, item, command.ttl)
        return Stored(NO_TOKEN)

    def _prolong(self, key: str, item: _Item, ttl: int) -> None:
        prolonged = item._replace(expires=self._clock() + ttl)
        if self._items.get(key) is item:
            self._items[key] = prolonged

    def _sweep(self) -> None:
        now = self._clock()
        for key, item in self._items.copy().items():
            if item.expires <= now and self._items.get(key) is item:
                del self._items[key]
