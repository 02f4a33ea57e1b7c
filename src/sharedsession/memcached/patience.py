"""How long an answer is waited for: until the time-out, or a grace once other copies have answered."""

from __future__ import annotations

import time
from typing import NamedTuple

from .commands import Command, Found, Ping, Stored
from .wire import TURN

#: Part of the time-out for which a slow copy may hold back a request that has its answer from another: a fault of the
#: node from there on. Half, so that one lost packet, sent again after 200 ms (TCP's least, RFC 6298), is none.
GRACE = 0.5
#: The same for a node that has just been late.
SHORT_GRACE = 0.08


class Deadline:
    """When the answers to one question must be there (time.monotonic)."""

    __slots__ = ("at",)

    def __init__(self, timeout: float) -> None:
        self.at: float = time.monotonic() + timeout

    def half(self) -> float:
        """Return when half of the time that is left is over: what a question before the question may take."""
        return (self.at + time.monotonic()) / 2


class Patience(NamedTuple):
    """How long one answer is waited for now."""

    until: float
    #: After that nobody waits for it any more.
    is_last: bool


class Done:
    """For which keys enough nodes have answered, and since when.

    Args:
        enough: nodes that must have found or stored what was asked of a key.
        timeout: seconds within which all should answer.
    """

    def __init__(self, enough: int, timeout: float) -> None:
        self._enough = enough
        self._timeout = timeout
        self._useful: dict[str, int] = {}
        self._since: dict[str, float] = {}

    def note(self, command: Command, answer: object) -> None:
        """Take an answer into account."""
        if not isinstance(answer, Found | Stored) or isinstance(command, Ping):
            return
        count = self._useful[command.key] = self._useful.get(command.key, 0) + 1
        if count == self._enough:
            self._since[command.key] = time.monotonic()

    def patience(self, command: Command, deadline: Deadline, *, steady: bool, late: bool, alone: bool) -> Patience:
        """Return how long to wait for the answer to a command.

        Args:
            command: what was asked.
            deadline: when all answers must be there.
            steady: the connection has answered before.
            late: its node was late a moment ago.
            alone: no other answer is outstanding.
        """
        since = None if isinstance(command, Ping) else self._since.get(command.key)
        if since is None or not (steady or late):
            # A server behind a new connection may have lost everything: what it has to say is worth waiting for.
            return Patience(deadline.at if alone else min(deadline.at, time.monotonic() + TURN), is_last=False)
        grace = SHORT_GRACE if late else GRACE
        return Patience(min(deadline.at, since + grace * self._timeout), is_last=True)
