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
from .access import Access
from .commands import CONFLICT, Answer, Command, Delete, Failed, Late, Ping, Put, Refused, TooLarge
from .connection import FAULTS, Connection, CrowdedError, ProtocolError
from .patience import Deadline, Done, Patience

#: Seconds after a late answer for which the grace is short.
LATE_MEMORY = 1.0
#: Seconds between two looks for a connection that has become free.
_QUEUE = 0.002
#: Unanswered commands after which a node counts as failed, however little time has passed.
MOST_LATE = 16


class _Flight(NamedTuple):
    """A command that has been sent."""

    node: Node
    command: Command
    connection: Connection
    #: Number of the newest connection at that time: see `Token`.
    newest: int


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
        # Commands whose answers nobody waits for any more, and when they must be there.
        self._late: deque[tuple[_Flight, float]] = deque()
        self._last_late = -LATE_MEMORY
        self._retired = False
        renew_after_fork(self)
        weakref.finalize(self, _close_all, self._idle)

    def take(self, deadline: Deadline) -> Connection:
        """Return a connection for one command; `give` it back or close it."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.open(deadline)

    def spare(self) -> Connection | None:
        """Return an idle connection, if there is one."""
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

    def give(self, connection: Connection) -> None:
        """Put back a connection that has answered all it was asked."""
        if connection.reusable():
            connection.used = True
            self._idle.append(connection)
        else:
            connection.close()
        if self._retired:
            self.close()

    # -- late answers ----------------------------------------------------------------------------------------------

    def owes(self) -> bool:
        """Say whether there are commands for whose answers nobody waits any more."""
        return bool(self._late)

    def was_late(self) -> bool:
        """Say whether it was late a moment ago."""
        return time.monotonic() - self._last_late < LATE_MEMORY

    def leave(self, flight: _Flight, deadline: Deadline) -> None:
        """Wait no longer for an answer: whoever asks this node next looks whether it has come."""
        self._last_late = time.monotonic()
        self._late.append((flight, deadline.at))
        if self._retired:
            self.give_up()

    def collect(self) -> str:
        """Take in late answers and give up overdue ones; return why the node counts as failed, "" if it does not.

        An overdue one proves nothing against the node now: whether it answers, the probe of a suspect has found out.
        """
        for _ in range(len(self._late)):
            try:
                flight, due = self._late.popleft()
            except IndexError:  # another thread was quicker
                break
            if self._has_landed(flight):
                continue
            if time.monotonic() < due:
                self._late.append((flight, due))
            else:
                flight.connection.close()
        return f"{MOST_LATE} commands wait for an answer" if len(self._late) >= MOST_LATE else ""

    def _has_landed(self, flight: _Flight) -> bool:
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
        while True:
            try:
                flight, _ = self._late.popleft()
            except IndexError:
                return
            flight.connection.close()

    def close(self) -> None:
        """Close the idle connections, and those that wait."""
        _close_all(self._idle)
        self.give_up()

    def retire(self) -> None:
        """Close what is idle, and from now on every connection that becomes so: requests under way end theirs."""
        self._retired = True
        self.close()

    def renew(self) -> None:
        """Drop connections inherited by a fork: two processes on one socket would get each other's replies."""
        self.close()  # closes the child's descriptors; the parent's connections stay open


def _close_all(idle: deque[Connection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


class MemcachedTransport:
    """Carries commands to memcached servers.

    Args:
        nodes: the servers.
        connect_timeout: seconds to wait for a connection, TLS included.
        timeout: seconds to wait for the answers to one call of `ask`.
        access: TLS and authentication; None: neither.
    """

    def __init__(
        self, nodes: Iterable[NodeConfig], connect_timeout: float, timeout: float, access: Access | None = None
    ) -> None:
        self._timeout = timeout
        self._access = access
        self._connect_timeout = connect_timeout
        self._nodes: dict[str, Node] = {}
        # A token of one server must never count at another that has its name later: no two have the same numbers.
        self._firsts = count(1, 1 << 32)
        self.set_nodes(nodes)

    def set_nodes(self, nodes: Iterable[NodeConfig]) -> None:
        """Reach these nodes from now on; one that keeps name and address keeps its connections."""
        former, wanted = self._nodes, {}
        for config in nodes:
            known = former.get(config.name)
            if known is None or known.config.address != config.address:
                known = Node(config, self._connect_timeout, next(self._firsts), self._access)
            wanted[config.name] = known
        self._nodes = wanted
        for node in former.values():
            if wanted.get(node.config.name) is not node:
                node.retire()

    def reaches(self, name: str) -> bool:
        """Say whether the node is one of these."""
        return name in self._nodes

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Send every (node name, command) before reading any answer; return the answers in order. Never raises.

        Once `enough` nodes have found or stored what was asked of a key, the others get half of the time-out more.
        """
        flights: list[_Flight | Answer] = []
        try:
            deadline = Deadline(self._timeout)
            for name, command in requests:
                node = self._nodes.get(name)
                flights.append(
                    self._launch(node, command, deadline) if node else Refused("not in the node list any more")
                )
            self._land_all(flights, deadline, enough)
        except BaseException:
            # A worker's time-out (gunicorn, gevent) in mid reply: what is unread must never meet another request.
            for flight in flights:
                if isinstance(flight, _Flight):
                    flight.connection.close()
            raise
        return flights  # type: ignore[return-value]  # every flight has landed

    def _land_all(self, flights: list[_Flight | Answer], deadline: Deadline, enough: int) -> None:
        """Put the answer in the place of every flight."""
        done = Done(enough, self._timeout)
        pending = [index for index, flight in enumerate(flights) if isinstance(flight, _Flight)]
        while pending:
            pending = [index for index in pending if self._lands_not(flights, index, deadline, done, len(pending) == 1)]

    def _lands_not(
        self, flights: list[_Flight | Answer], index: int, deadline: Deadline, done: Done, alone: bool
    ) -> bool:
        """Look for one answer, and put it in the flight's place; say whether it is to be waited for further."""
        flight = flights[index]
        if not isinstance(flight, _Flight):
            return False
        steady, late = flight.connection.used, flight.node.was_late()
        patience = done.patience(flight.command, deadline, steady=steady, late=late, alone=alone)
        flights[index], used = self._look(flight, deadline, patience)
        if used is not None:  # only now: an interrupt above must find it in flight, not idle
            flight.node.give(used)
        done.note(flight.command, flights[index])
        return isinstance(flights[index], _Flight)

    def _look(
        self, flight: _Flight, deadline: Deadline, patience: Patience
    ) -> tuple[_Flight | Answer, Connection | None]:
        """Return the answer, or the flight if it is to be awaited further; and the connection that is free again."""
        try:
            if isinstance(flight.command, Delete) or flight.connection.ready(patience.until):
                answer = flight.connection.receive(flight.command, deadline.at, flight.newest)
                if isinstance(flight.command, Ping):
                    flight.node.give_up()  # not the idle ones: a token counts only on a connection as old as it is
                return answer, flight.connection
            if time.monotonic() >= deadline.at:
                raise TimeoutError("timed out")
        except FAULTS as error:
            flight.connection.close()
            return self._broken(flight, error, deadline), None
        if not patience.is_last:
            return flight, None
        flight.node.leave(flight, deadline)
        return Late("no answer yet, while other copies have answered"), None

    def close(self) -> None:
        """Drop all idle connections."""
        for node in self._nodes.values():
            node.close()

    def _launch(self, node: Node, command: Command, deadline: Deadline, *, fresh: bool = False) -> _Flight | Answer:
        if node.owes() and not isinstance(command, Ping):
            problem = node.collect()
            if problem:
                return Failed(problem)
        try:
            connection = node.open(deadline) if fresh or isinstance(command, Ping) else node.take(deadline)
        except FAULTS as error:
            return _failed(error)
        return self._fly(node, command, connection, deadline)

    def _fly(self, node: Node, command: Command, connection: Connection, deadline: Deadline) -> _Flight | Answer:
        """Send a command on a connection."""
        if _read_before(command, connection):
            node.give(connection)
            return CONFLICT
        flight = _Flight(node, command, connection, max(node.opened, connection.number))
        try:
            if not connection.fits(command, deadline.half()):
                node.give(connection)
                return TooLarge("over the server's item limit")
            self._send(connection, command, deadline)
        except BaseException as error:
            connection.close()
            if not isinstance(error, FAULTS):
                raise
            return self._broken(flight, error, deadline)
        return flight

    @staticmethod
    def _send(connection: Connection, command: Command, deadline: Deadline) -> None:
        start = time.monotonic()
        try:
            connection.send(command, deadline.at)
        except TimeoutError:
            # A large value to a node that does not read: that must not cost the others their time.
            deadline.at += time.monotonic() - start
            raise

    def _broken(self, flight: _Flight, error: BaseException, deadline: Deadline) -> _Flight | Answer:
        """A connection that was idle may just have been closed by the server: once more, on a fresh one."""
        command = flight.command
        if isinstance(error, CrowdedError):
            return self._queue(flight, deadline)
        if isinstance(error, TimeoutError):
            # Whatever silenced this connection, such as a firewall that forgot it, may have silenced the idle ones.
            flight.node.close()
        if not flight.connection.used or isinstance(error, TimeoutError | ProtocolError):
            return _failed(error)
        flight.node.close()
        if isinstance(command, Put) and not command.repeatable:
            return _failed(error)
        if isinstance(command, Put) and command.token is not None:
            return CONFLICT  # the token died with the connection; whether it was stored, a new read tells
        return self._launch(flight.node, command, deadline, fresh=True)

    def _queue(self, flight: _Flight, deadline: Deadline) -> _Flight | Answer:
        """Wait for one of our connections to a server that accepts no more: it is crowded, not down."""
        while time.monotonic() < deadline.at:
            connection = flight.node.spare()
            if connection is not None:
                return self._fly(flight.node, flight.command, connection, deadline)
            time.sleep(_QUEUE)
        return Refused("at its connection limit; start it with a larger -c")


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
