"""A line for each session: those in one process who change the same one go one after the other.

Among processes a compare-and-swap decides. Within one, twenty threads that run into each other's would do the work of
two hundred; nothing is left to the line but to save that work, so who waits too long may go on without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Any

from .forking import Renewer

#: Seconds that a change waits for one of its process before it, and for all of them.
LINE, LONGEST_LINE = 0.1, 1.0


def briefly(waited: float) -> float:
    """Return how long who has waited for so many seconds waits for the next one; see `Lines.turn`."""
    return LINE if waited < LONGEST_LINE else 0.0


class Turn(Enum):
    """How one came to be at the head of a line."""

    AT_ONCE = "nobody was before"
    WAITED = "those before are done"
    IN_VAIN = "those before took all the time"


class Lines:
    """The lines of one process: there is one for a key while somebody is in it."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        # One that its thread may take again: in here the collector may run, and with it anybody's code.
        self._guard = threading.RLock()
        self._renewer = Renewer(self.renew)

    def __len__(self) -> int:
        return len(self._lines)

    def renew(self) -> None:
        """Begin anew in a forked child, where nobody waits."""
        self._lines = {}
        self._guard = threading.RLock()

    def turn(self, key: str, patience: Callable[[float], float]) -> Place:
        """Return a context manager that waits for those who came before with the same key, until its block is left.

        It gives the `Turn`. A thread that is at the head already, further out, goes on at once.

        Args:
            key: a storage key.
            patience: given the seconds waited so far, returns those to wait at most for the one at the head, and then
                for the next one; called only if there is somebody to wait for.
        """
        return Place(self, key, patience)

    def enter(self, key: str, patience: Callable[[float], float]) -> tuple[Turn, _Line | None]:
        """Wait for the head of the line; return it, unless one is there already or has waited in vain."""
        me = threading.get_ident()
        own = _Line(me)
        # Atomic, so that nobody who finds no line takes the guard.
        while (line := self._lines.setdefault(key, own)) is not own:
            if line.owner == me:
                return Turn.AT_ONCE, None
            head = self._join(key, line)
            if head is not None:
                return (Turn.WAITED, line) if self._wait(key, line, head, patience, me) else (Turn.IN_VAIN, None)
        return Turn.AT_ONCE, own

    def _join(self, key: str, line: _Line) -> threading.Lock | None:
        """Return what those in a line acquire in turn; None: there is no such line any more."""
        with self._guard:
            if self._lines.get(key) is not line:
                return None
            line.waiting += 1
            return line.begin_waiting()

    def _wait(self, key: str, line: _Line, head: threading.Lock, patience: Callable[[float], float], me: int) -> bool:
        came, before, begun = False, -1, time.monotonic()
        try:
            # On as long as the line moves: many quick ones before us are no reason to go beside it.
            while not came and before != line.turns:
                before = line.turns
                came = head.acquire(timeout=_seconds(patience(time.monotonic() - begun)))
        finally:
            with self._guard:
                line.waiting -= 1
                if came:
                    line.owner = me
                elif not line.waiting and not head.locked():
                    del self._lines[key]  # whoever left it left it for us
        return came

    def leave(self, key: str, line: _Line) -> None:
        """Let the next one go."""
        with self._guard:
            line.owner = 0
            line.turns += 1
            if not line.waiting:
                self._lines.pop(key, None)  # a child forked in here has none
            line.end_turn()


class Place:
    """One's place in a line."""

    __slots__ = ("_key", "_line", "_lines", "_patience")

    def __init__(self, lines: Lines, key: str, patience: Callable[[float], float]) -> None:
        self._lines = lines
        self._key = key
        self._patience = patience
        self._line: _Line | None = None

    def __enter__(self) -> Turn:
        turn, self._line = self._lines.enter(self._key, self._patience)
        return turn

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._line is not None:
            self._lines.leave(self._key, self._line)


class _Line:
    """Those who want one session."""

    __slots__ = ("head", "owner", "turns", "waiting")

    def __init__(self, owner: int) -> None:
        #: Held by who is at the head; None: nobody has waited yet.
        self.head: threading.Lock | None = None
        #: The thread at the head; 0: it is being handed over.
        self.owner: int = owner
        #: Threads that have been at the head and are done.
        self.turns: int = 0
        #: Threads that wait for it.
        self.waiting: int = 0

    def begin_waiting(self) -> threading.Lock:
        """Return what is to be acquired; while nobody else changes the line."""
        if self.head is None:
            head = threading.Lock()
            head.acquire()
            self.head = head  # not before: a child may be forked at any time
        return self.head

    def end_turn(self) -> None:
        """Let who waits go on."""
        # Of no type: gevent's release returns a number, and what is compiled would refuse that.
        head: Any = self.head
        if head is not None:
            head.release()


def _seconds(patience: float) -> float:
    return min(max(patience, 0), threading.TIMEOUT_MAX)
