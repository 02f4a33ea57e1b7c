"""Virtual time: tasks are greenlets, everything that happens is an event with a time, one seed decides every delay."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import greenlet

#: The simulated epoch, in seconds.
EPOCH = 1_700_000_000.0


class Stuck(AssertionError):
    """A history did not come to its end: a loop without an end in the code under test."""


class Wake:
    """Resumes one waiting task, once, whoever comes first."""

    def __init__(self, world: World, task: greenlet.greenlet) -> None:
        self._world = world
        self._task: greenlet.greenlet | None = task

    def __call__(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            # Only the hub may switch to a task: whoever calls this may be a task itself.
            self._world.after(0.0, task.switch)


class World:
    """Virtual time and its scheduler.

    Args:
        seed: decides everything that is left to chance.
        tracing: keep a line for every event, for replay.
    """

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = EPOCH
        self.lines: list[str] = []
        self._tracing = tracing
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._names: dict[greenlet.greenlet, str] = {}
        self._hub = greenlet.getcurrent()
        self._limit = 400_000

    def after(self, delay: float, action: Callable[[], object]) -> None:
        """Let something happen `delay` seconds from now."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, action))

    def spawn(self, name: str, work: Callable[[], object], delay: float = 0.0) -> None:
        """Start a task `delay` seconds from now."""
        task = greenlet.greenlet(lambda: self._work(work), parent=self._hub)
        self._names[task] = name
        self.after(delay, task.switch)

    def _work(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self._names.pop(greenlet.getcurrent(), None)

    @property
    def task(self) -> str:
        """The name of the running task."""
        return self._names.get(greenlet.getcurrent(), "-")

    def rename(self, name: str) -> None:
        """Give the running task another name."""
        self._names[greenlet.getcurrent()] = name

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for that long."""
        self.after(seconds, greenlet.getcurrent().switch)
        self._hub.switch()

    def wait(self, register: Callable[[Wake], object], until: float) -> None:
        """Sleep until somebody calls the `Wake` given to `register`, at the latest until that time."""
        wake = Wake(self, greenlet.getcurrent())
        register(wake)
        self.after(max(until - self.now, 0.0), wake)
        self._hub.switch()

    def sleep_until(self, reached: Callable[[], bool], step: float = 0.05) -> None:
        """Look every `step` seconds until something is so."""
        while not reached():
            self.sleep(step)

    def run(self) -> None:
        """Let everything happen that will."""
        self._hub = greenlet.getcurrent()
        while self._events:
            self._limit -= 1
            if self._limit < 0:
                raise Stuck("the history does not end")
            when, _, action = heapq.heappop(self._events)
            self.now = max(self.now, when)
            action()

    def trace(self, *words: object) -> None:
        """Note a line for replay."""
        if self._tracing:
            self.lines.append(f"{self.now - EPOCH:9.3f} {self.task:>8} " + " ".join(map(str, words)))

    @property
    def tracing(self) -> bool:
        """Whether lines are kept."""
        return self._tracing
