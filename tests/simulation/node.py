"""A memcached server: values with TTL and CAS numbers that start from 1 again after a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sharedsession.memcached.commands import (
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


class Item(NamedTuple):
    """A value as the server holds it."""

    value: bytes
    cas: int
    expires: float


class SimNode:
    """One server.

    Args:
        name: its name on the ring.
        clock: the simulated time.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.items: dict[str, Item] = {}
        self.alive = True
        self.hung = False
        #: Grows with every restart: what was connected before is connected no more.
        self.incarnation = 0
        #: Commands sent and neither executed nor lost yet.
        self.pending = 0
        self._clock = clock
        self._cas = 0
        self._backlog: list[Callable[[], None]] = []

    def do(self, command: Command) -> Answer:
        """Execute a command."""
        if isinstance(command, Get):
            return self._get(command)
        if isinstance(command, Put):
            return self._put(command)
        if isinstance(command, Touch):
            return self._touch(command)
        if isinstance(command, Delete):
            self.items.pop(command.key, None)
        return Stored(NO_TOKEN)

    def live(self, key: str) -> Item | None:
        """Return what is held under a key and has not expired."""
        item = self.items.get(key)
        return item if item is not None and item.expires > self._clock() else None

    def _get(self, command: Get) -> Answer:
        item = self.live(command.key)
        if item is None:
            return MISSING
        if command.ttl is not None:
            self.items[command.key] = item._replace(expires=self._clock() + max(command.ttl, 1))
        return Found(item.value, Token(item.cas, 0), int(item.expires - self._clock()))

    def _put(self, command: Put) -> Answer:
        item = self.live(command.key)
        if command.token is None:
            return CONFLICT if item is not None else self._set(command)
        if item is None:
            return MISSING
        return self._set(command) if item.cas == command.token.cas else CONFLICT

    def _set(self, command: Put) -> Answer:
        self._cas += 1
        self.items[command.key] = Item(command.value, self._cas, self._clock() + max(command.ttl, 1))
        return Stored(Token(self._cas, 0))

    def _touch(self, command: Touch) -> Answer:
        item = self.live(command.key)
        if item is None:
            return MISSING
        self.items[command.key] = item._replace(expires=self._clock() + max(command.ttl, 1))
        return Stored(NO_TOKEN)

    # -- what can befall it ----------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Die: every value, every connection and every command not yet executed is gone."""
        self.alive = False
        self.hung = False
        self.incarnation += 1
        self.items.clear()
        self._cas = 0
        for drop in self._backlog:
            drop()
        self._backlog.clear()

    def start(self) -> None:
        """Come back, empty."""
        self.alive = True

    def stop(self) -> None:
        """Hang (SIGSTOP): what arrives waits."""
        self.hung = True

    def resume(self) -> None:
        """Go on: first with what has been waiting, in order."""
        self.hung = False
        backlog, self._backlog = self._backlog, []
        for execute in backlog:
            execute()

    def wait_for(self, execute: Callable[[], None]) -> None:
        """Keep a command until the node goes on."""
        self._backlog.append(execute)
