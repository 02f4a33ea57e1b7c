"""What locks need of the machine, in simulated time: signs of life, and waiting without threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sharedsession import lock
from sharedsession.errors import StoreError

from .world import World


class SimKeeper:
    """Renews held locks, but those of requests that are stopped.

    Args:
        world: time.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        #: Names of the tasks whose process gets no time (SIGSTOP).
        self.stopped: set[str] = set()

    def keep(self, held: lock.SessionLock) -> None:
        """Renew a lock until it is released."""
        task = self._world.task
        self._world.spawn(f"lease-{task}", lambda: self._renew(held, task))

    def _renew(self, held: lock.SessionLock, task: str) -> None:
        while held.held:
            self._world.sleep(lock.RENEWAL)
            if task not in self.stopped:
                with suppress(StoreError):
                    held.renew()  # does nothing when it has been released


class SimWaiters(lock.Waiters):
    """One process's lines, without threads.

    Args:
        world: time.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._taken: set[str] = set()

    @contextmanager
    def turn(self, key: str, wait: lock.Wait) -> Iterator[bool]:
        """Let one after the other ask for a session's lock."""
        at_once = key not in self._taken
        while key in self._taken:
            wait.goes_on()
            self._world.sleep(0.05)
        self._taken.add(key)
        try:
            yield at_once
        finally:
            self._taken.discard(key)
