"""The memcached nodes: idle connections to each, and commands to several at once (send, send, read, read)."""

from __future__ import annotations

import socket
import time
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

from ..forking import renew_after_fork
from ..nodelist import NodeConfig
from .commands import CONFLICT, Answer, Command, Failed, Ping, Put, TooLarge
from .connection import FAULTS, Connection, ProtocolError


class Deadline:
    """When the answers to one question must be there (time.monotonic)."""

    __slots__ = ("at",)

    def __init__(self, timeout: float) -> None:
        self.at: float = time.monotonic() + timeout

    def half(self) -> float:
        """Return when half of the time that is left is over: what a question before the question may take."""
        return (self.at + time.monotonic()) / 2


class Node:
    """One memcached server and the idle connections to it.

    Args:
        config: its name and address.
        connect_timeout: seconds to wait for a connection.
    """

    def __init__(self, config: NodeConfig, connect_timeout: float) -> None:
        self.config = config
        #: Number of the newest connection.
        self.opened: int = 0
        self._numbers = count(1)
        self._connect_timeout = connect_timeout
        # A deque's append and pop are atomic: threads and greenlets take connections without a lock.
        self._idle: deque[Connection] = deque()
        renew_after_fork(self)
        weakref.finalize(self, _close_all, self._idle)

    def take(self, deadline: Deadline) -> Connection:
        """Return a connection for one command; `give` it back or close it."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.open(deadline)

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
                connection = Connection(address, self._connect_timeout)
            except FAULTS as error:
                problem = problem or error
            else:
                # Numbered once it stands: a value read while it was being made must not be trusted on it.
                self.opened = connection.number = next(self._numbers)
                return connection
        raise problem or OSError("the name has no address")

    def give(self, connection: Connection) -> None:
        """Put back a connection that has answered all it was asked."""
        if connection.reusable():
            connection.used = True
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def renew(self) -> None:
        """Drop connections inherited by a fork: two processes on one socket would get each other's replies."""
        self.close()  # closes the child's descriptors; the parent's connections stay open


def _close_all(idle: deque[Connection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


class _Flight(NamedTuple):
    """A command that has been sent."""

    connection: Connection
    #: Number of the newest connection at that time: see `Token`.
    newest: int


class MemcachedTransport:
    """Carries commands to memcached servers.

    Args:
        nodes: the servers.
        connect_timeout: seconds to wait for a connection.
        timeout: seconds to wait for the answers to one call of `ask`.
    """

    def __init__(self, nodes: Iterable[NodeConfig], connect_timeout: float, timeout: float) -> None:
        self._timeout = timeout
        self._nodes = {config.name: Node(config, connect_timeout) for config in nodes}

    def ask(self, requests: Sequence[tuple[str, Command]]) -> list[Answer]:
        """Send every (node name, command) before reading any answer; return the answers in order. Never raises."""
        flights: list[_Flight | Answer] = []
        try:
            deadline = Deadline(self._timeout)
            for name, command in requests:
                flights.append(self._launch(self._nodes[name], command, deadline))
            for index, (name, command) in enumerate(requests):
                flight = flights[index]
                if isinstance(flight, _Flight):
                    flights[index], connection = self._land(self._nodes[name], command, flight, deadline)
                    if connection is not None:  # only now: an interrupt above must find it in flight, not idle
                        self._nodes[name].give(connection)
        except BaseException:
            # A worker's time-out (gunicorn, gevent) in mid reply: what is unread must never meet another request.
            for flight in flights:
                if isinstance(flight, _Flight):
                    flight.connection.close()
            raise
        return flights  # type: ignore[return-value]  # every flight has landed

    def close(self) -> None:
        """Drop all idle connections."""
        for node in self._nodes.values():
            node.close()

    def _launch(self, node: Node, command: Command, deadline: Deadline, *, fresh: bool = False) -> _Flight | Answer:
        try:
            connection = node.open(deadline) if fresh or isinstance(command, Ping) else node.take(deadline)
        except FAULTS as error:
            return _failed(error)
        if _read_before(command, connection):
            node.give(connection)
            return CONFLICT
        newest = max(node.opened, connection.number)
        try:
            if not connection.fits(command, deadline.half()):
                node.give(connection)
                return TooLarge("over the server's item limit")
            self._send(connection, command, deadline)
        except BaseException as error:
            connection.close()
            if not isinstance(error, FAULTS):
                raise
            return self._broken(node, command, connection, error, deadline)
        return _Flight(connection, newest)

    @staticmethod
    def _send(connection: Connection, command: Command, deadline: Deadline) -> None:
        start = time.monotonic()
        try:
            connection.send(command, deadline.at)
        except TimeoutError:
            # A large value to a node that does not read: that must not cost the others their time.
            deadline.at += time.monotonic() - start
            raise

    def _land(
        self, node: Node, command: Command, flight: _Flight, deadline: Deadline
    ) -> tuple[Answer, Connection | None]:
        """Return the answer and the connection that can be used again, if any."""
        connection = flight.connection
        try:
            answer = connection.receive(command, deadline.at, flight.newest)
        except FAULTS as error:
            connection.close()
            landed = self._broken(node, command, connection, error, deadline)
            if isinstance(landed, _Flight):
                return self._land(node, command, landed, deadline)
            return landed, None
        return answer, connection

    def _broken(
        self, node: Node, command: Command, connection: Connection, error: BaseException, deadline: Deadline
    ) -> _Flight | Answer:
        """A connection that was idle may just have been closed by the server: once more, on a fresh one."""
        if not connection.used or isinstance(error, TimeoutError | ProtocolError):
            return _failed(error)
        node.close()
        if isinstance(command, Put) and not command.repeatable:
            return _failed(error)
        if isinstance(command, Put) and command.token is not None:
            return CONFLICT  # the token died with the connection; whether it was stored, a new read tells
        return self._launch(node, command, deadline, fresh=True)


def _read_before(command: Command, connection: Connection) -> bool:
    """Say whether a token is older than the connection, so that the server may have restarted in between."""
    return isinstance(command, Put) and command.token is not None and connection.number > command.token.connection


def _failed(error: BaseException) -> Failed:
    return Failed(f"{type(error).__name__}: {error}"[:200])


def _addresses(address: tuple[str, int] | str) -> Iterable[tuple[str, int] | str]:
    """Resolve a host name to all its addresses: "localhost" may be ::1 first while memcached listens on 127.0.0.1."""
    if isinstance(address, str) or address[0].replace(".", "").isdigit() or ":" in address[0]:
        return [address]
    infos = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(info[4][0]), address[1]) for info in infos))
