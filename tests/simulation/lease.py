"""What locks need of the machine, in simulated time: signs of life, and waiting without threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sharedsession import lock
from sharedsession.errors import StoreError
from sharedsession.lines import Lines, Turn

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


class SimLines(Lines):
    """One process's lines, without threads.

    Args:
        world: time.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        # Key -> the task at the head of its line.
        self._heads: dict[str, str] = {}

    @contextmanager
    def turn(self, key: str, patience: Callable[[float], float]) -> Iterator[Turn]:  # type: ignore[override]
        """Let one after the other go, each when those before are done or have taken all the time."""
        me = self._world.task
        if self._heads.get(key) == me:
            yield Turn.AT_ONCE
            return
        turn = self._sleep(key, patience) if key in self._heads else Turn.AT_ONCE
        if turn is not Turn.IN_VAIN:
            self._heads[key] = me
        try:
            yield turn
        finally:
            if turn is not Turn.IN_VAIN:
                del self._heads[key]

    def _sleep(self, key: str, patience: Callable[[float], float]) -> Turn:
        # Half of them wait in vain, so that requests of one process run into each other as those of several do.
        until = self._world.now + patience(0.0) * self._world.random.randrange(2)
        while key in self._heads:
            if self._world.now >= until:
                return Turn.IN_VAIN
            self._world.sleep(0.01)
        return Turn.WAITED


class SimWaiters(lock.Waiters):
    """Those of one process who wait for locks, without threads.

    Args:
        world: time.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.lines = SimLines(world)
