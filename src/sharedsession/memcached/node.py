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
from .commands import CONFLICT, Answer, Command, Delete, Failed, Found, Late, Ping, Put, Refused, Stored, TooLarge
from .connection import FAULTS, Connection, ProtocolError

#: Part of the time-out for which a slow copy may hold back a request that has its answer from another: a fault of the
#: node from there on. Half, so that one lost packet, sent again after 200 ms (TCP's least, RFC 6298), is none.
GRACE = 0.5
#: The same for a node that has just been late.
SHORT_GRACE = 0.08
#: Seconds after a late answer for which the grace is short.
LATE_MEMORY = 1.0
#: Seconds for which one node's answer is awaited while others are outstanding, before those are looked at.
_TURN = 0.02
#: Unanswered commands after which a node counts as failed, however little time has passed.
MOST_LATE = 16


class Deadline:
    """When the answers to one question must be there (time.monotonic)."""

    __slots__ = ("at",)

    def __init__(self, timeout: float) -> None:
        self.at: float = time.monotonic() + timeout

    def half(self) -> float:
        """Return when half of the time that is left is over: what a question before the question may take."""
        return (self.at + time.monotonic()) / 2


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
        # Commands whose answers nobody waits for any more, and when they must be there.
        self._late: deque[tuple[_Flight, float]] = deque()
        self._last_late = -LATE_MEMORY
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
        connect_timeout: seconds to wait for a connection.
        timeout: seconds to wait for the answers to one call of `ask`.
    """

    def __init__(self, nodes: Iterable[NodeConfig], connect_timeout: float, timeout: float) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._nodes: dict[str, Node] = {}
        self.set_nodes(nodes)

    def set_nodes(self, nodes: Iterable[NodeConfig]) -> None:
        """Reach these nodes from now on; one that keeps name and address keeps its connections."""
        former, wanted = self._nodes, {}
        for config in nodes:
            known = former.get(config.name)
            kept = known is not None and known.config.address == config.address
            wanted[config.name] = known if known and kept else Node(config, self._connect_timeout)
        self._nodes = wanted
        for node in former.values():
            if wanted.get(node.config.name) is not node:
                node.close()

    def keys(self, name: str, prefix: str) -> list[str]:
        """Return the keys of all values at a node that begin with `prefix`.

        Raises:
            OSError, ValueError, EOFError: the node did not tell.
        """
        node = self._nodes[name]
        connection = node.open(Deadline(self._timeout))
        try:
            return connection.keys(prefix, self._timeout)
        finally:
            connection.close()

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
        done = _Done(enough, self._timeout)
        pending = [index for index, flight in enumerate(flights) if isinstance(flight, _Flight)]
        while pending:
            waiting: list[int] = []
            for index in pending:
                flight = flights[index]
                if isinstance(flight, _Flight):
                    alone = len(pending) == 1
                    flights[index], used = self._look(flight, deadline, done.patience(flight, deadline, alone=alone))
                    if used is not None:  # only now: an interrupt above must find it in flight, not idle
                        flight.node.give(used)
                    if isinstance(flights[index], _Flight):
                        waiting.append(index)
                    else:
                        done.note(flight.command, flights[index])
            pending = waiting

    def _look(
        self, flight: _Flight, deadline: Deadline, patience: _Patience
    ) -> tuple[_Flight | Answer, Connection | None]:
        """Return the answer, or the flight if it is to be awaited further; and the connection that is free again."""
        try:
            if isinstance(flight.command, Delete) or flight.connection.ready(patience.until):
                answer = flight.connection.receive(flight.command, deadline.at, flight.newest)
                if isinstance(flight.command, Ping):
                    flight.node.close()  # what comes now comes on connections made since it answers
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


class _Patience(NamedTuple):
    """How long one answer is waited for now."""

    until: float
    #: After that nobody waits for it any more.
    is_last: bool


class _Done:
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

    def patience(self, flight: _Flight, deadline: Deadline, *, alone: bool) -> _Patience:
        """Return how long to wait for a flight's answer."""
        since = None if isinstance(flight.command, Ping) else self._since.get(flight.command.key)
        if since is None or not (flight.connection.used or flight.node.was_late()):
            # A server behind a new connection may have lost everything: what it has to say is worth waiting for.
            return _Patience(deadline.at if alone else min(deadline.at, time.monotonic() + _TURN), is_last=False)
        grace = SHORT_GRACE if flight.node.was_late() else GRACE
        return _Patience(min(deadline.at, since + grace * self._timeout), is_last=True)


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
