"""One memcached server: the idle connections to it, and those that wait for late answers."""

from __future__ import annotations

import socket
import time
import weakref
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import count

from ..forking import Renewer
from ..nodelist import NodeConfig
from .access import Access
from .commands import Command
from .connection import FAULTS, Connection
from .patience import Deadline

#: Seconds after a late answer for which the grace is short.
LATE_MEMORY = 1.0
#: Unanswered commands after which a node counts as failed, however little time has passed.
MOST_LATE = 16


class Node:
    """One memcached server and the idle connections to it.

    Args:
        config: its name and address.
        connect_timeout: seconds to wait for a connection, TLS included.
        first: number of the first connection.
        access: TLS and authentication; None: neither.
    """

    def __init__(
        self, config: NodeConfig, connect_timeout: float, first: int = 1, access: Access | None = None
    ) -> None:
        self.config = config
        #: Number of the newest connection.
        self.opened: int = 0
        self._numbers = count(first)
        self._connect_timeout = connect_timeout
        self._access = access and access.to(config.address)
        # A deque's append and pop are atomic: threads and greenlets take connections without a lock.
        self._idle: deque[Connection] = deque()
        #: Commands whose answers nobody waits for any more, and when they must be there.
        self.late: deque[tuple[Flight, float]] = deque()
        self._last_late = -LATE_MEMORY
        self._retired = False
        # Two processes on one socket would get each other's replies: a child closes its descriptors, no more than that.
        self._renewer = Renewer(partial(_close_both, self._idle, self.late))
        weakref.finalize(self._renewer, _close_all, self._idle)

    def idle_one(self) -> Connection | None:
        """Return an idle connection for one command, if there is one; `give` it back or close it."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def open(self, deadline: Deadline) -> Connection:
        """Return a new connection, to the first of the host's addresses that accepts one.

        The time it takes is added to the deadline: a node that cannot be reached must not cost the others theirs.
        """
        start = time.monotonic()
        try:
            return self._open()
        finally:
            deadline.at += time.monotonic() - start

    def _open(self) -> Connection:
        problem: Exception | None = None
        for address in _addresses(self.config.address):
            try:
                connection = self._connect(address)
            except FAULTS as error:
                problem = problem or error
            else:
                # Numbered once it stands: a value read while it was being made must not be trusted on it.
                self.opened = connection.number = next(self._numbers)
                return connection
        raise problem or OSError("the name has no address")

    def _connect(self, address: tuple[str, int] | str) -> Connection:
        until = time.monotonic() + self._connect_timeout
        connection = Connection(address, self._connect_timeout)
        if self._access is not None:
            connection.enter(self._access, until)
        return connection

    def keep(self, connection: Connection) -> None:
        """Put back a connection that has been read to the end."""
        connection.used = True
        self._idle.append(connection)
        if self._retired:
            self.close()

    def give(self, connection: Connection) -> None:
        """Put back a connection that has answered all it was asked."""
        if connection.reusable():
            self.keep(connection)
        else:
            connection.close()

    # -- late answers ----------------------------------------------------------------------------------------------

    def was_late(self) -> bool:
        """Say whether it was late a moment ago."""
        return time.monotonic() - self._last_late < LATE_MEMORY

    def leave(self, flight: Flight, deadline: Deadline) -> None:
        """Wait no longer for an answer: whoever asks this node next looks whether it has come."""
        self._last_late = time.monotonic()
        self.late.append((flight, deadline.at))
        if self._retired:
            self.give_up()

    def collect(self) -> str:
        """Take in late answers and give up overdue ones; return why the node counts as failed, "" if it does not.

        An overdue one proves nothing against the node now: whether it answers, the probe of a suspect has found out.
        """
        for _ in range(len(self.late)):
            try:
                flight, due = self.late.popleft()
            except IndexError:  # another thread was quicker
                break
            if self._has_landed(flight):
                continue
            if time.monotonic() < due:
                self.late.append((flight, due))
            else:
                flight.connection.close()
        return f"{MOST_LATE} commands wait for an answer" if len(self.late) >= MOST_LATE else ""

    def _has_landed(self, flight: Flight) -> bool:
        try:
            if not flight.connection.ready(0):
                return False
            flight.connection.receive(flight.command, time.monotonic(), flight.newest)
        except FAULTS:
            flight.connection.close()
        else:
            self.give(flight.connection)
        return True

    def give_up(self) -> None:
        """Wait for no late answer any more."""
        _give_up(self.late)

    def close(self) -> None:
        """Close the idle connections, and those that wait."""
        _close_both(self._idle, self.late)

    def retire(self) -> None:
        """Close what is idle, and from now on every connection that becomes so: requests under way end theirs."""
        self._retired = True
        self.close()


class Flight:
    """A command that has been sent.

    Args:
        node: to whom.
        command: what.
        connection: on which it will be answered.
        newest: number of the newest connection at that time: see `Token`.
    """

    __slots__ = ("command", "connection", "newest", "node")

    def __init__(self, node: Node, command: Command, connection: Connection, newest: int) -> None:
        self.node: Node = node
        self.command: Command = command
        self.connection: Connection = connection
        self.newest: int = newest


def _close_all(idle: deque[Connection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


def _give_up(late: deque[tuple[Flight, float]]) -> None:
    while True:
        try:
            flight, _ = late.popleft()
        except IndexError:
            return
        flight.connection.close()


def _close_both(idle: deque[Connection], late: deque[tuple[Flight, float]]) -> None:
    _close_all(idle)
    _give_up(late)


def _addresses(address: tuple[str, int] | str) -> Iterable[tuple[str, int] | str]:
    """Resolve a host name to all its addresses: "localhost" may be ::1 first while memcached listens on 127.0.0.1."""
    if isinstance(address, str) or address[0].replace(".", "").isdigit() or ":" in address[0]:
        return [address]
    infos = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(info[4][0]), address[1]) for info in infos))
