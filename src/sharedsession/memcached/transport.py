"""Commands to several memcached nodes at once: send, send, read, read."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

from ..nodelist import NodeConfig
from .access import Access
from .commands import CONFLICT, Answer, Command, Failed, Late, Ping, Put, Refused, TooLarge
from .connection import FAULTS, Connection, CrowdedError
from .node import Flight, Node
from .patience import Deadline, Done, Patience
from .protocol import ProtocolError

#: Seconds between two looks for a connection that has become free.
_QUEUE = 0.002
#: What the system says when this process, or the machine, has all the files open that it may.
_NO_FILES: Final = (errno.EMFILE, errno.ENFILE)


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
        flights: list[Flight | Answer] = []
        try:
            deadline = Deadline(self._timeout)
            for name, command in requests:
                node = self._nodes.get(name)
                flights.append(
                    self._launch(node, command, deadline) if node else Refused("not in the node list any more")
                )
            self._land_all(requests, flights, deadline, enough)
        except BaseException:
            # A worker's time-out (gunicorn, gevent) in mid reply: what is unread must never meet another request.
            for flight in flights:
                if isinstance(flight, Flight):
                    flight.connection.close()
            raise
        return flights  # type: ignore[return-value]  # every flight has landed

    def _land_all(
        self,
        requests: Sequence[tuple[str, Command]],
        flights: list[Flight | Answer],
        deadline: Deadline,
        enough: int,
    ) -> None:
        """Put the answer in the place of every flight."""
        pending: list[int] = []
        for index, flight in enumerate(flights):
            if type(flight) is not Flight:
                continue
            if pending and time.monotonic() >= deadline.at:
                pending.append(index)
                continue
            try:
                answer = flight.connection.prompt(flight.command, flight.newest)
            except FAULTS as error:
                landed = flights[index] = self._broken(flight, error, deadline)
                if type(landed) is Flight:
                    pending.append(index)
                continue
            if answer is None:
                pending.append(index)
            else:
                flights[index] = answer
                flight.node.keep(flight.connection)  # only now: an interrupt above must find it in flight, not idle
        if pending:
            self._land_late(requests, flights, pending, deadline, enough)

    @staticmethod
    def _receive(flight: Flight, deadline: Deadline) -> Answer:
        answer = flight.connection.receive(flight.command, deadline.at, flight.newest)
        if type(flight.command) is Ping:
            flight.node.give_up()  # not the idle ones: a token counts only on a connection as old as it is
        return answer

    def _land_late(
        self,
        requests: Sequence[tuple[str, Command]],
        flights: list[Flight | Answer],
        pending: list[int],
        deadline: Deadline,
        enough: int,
    ) -> None:
        """Put the answer, or that none has come, in the place of the flights that are pending."""
        done = Done(enough, self._timeout)
        for (_, command), answer in zip(requests, flights, strict=True):
            done.note(command, answer)
        while pending:
            alone = len(pending) == 1
            pending = [index for index in pending if self._lands_not(flights, index, deadline, done, alone=alone)]

    def _lands_not(
        self, flights: list[Flight | Answer], index: int, deadline: Deadline, done: Done, *, alone: bool
    ) -> bool:
        """Look for one answer, and put it in the flight's place; say whether it is to be waited for further."""
        flight = flights[index]
        if not isinstance(flight, Flight):
            return False
        steady, late = flight.connection.used, flight.node.was_late()
        patience = done.patience(flight.command, deadline, steady=steady, late=late, alone=alone)
        landed = flights[index] = self._look(flight, deadline, patience)
        if landed is not flight and not isinstance(landed, Late):
            flight.node.give(flight.connection)
        done.note(flight.command, landed)
        return isinstance(landed, Flight)

    def _look(self, flight: Flight, deadline: Deadline, patience: Patience) -> Flight | Answer:
        """Return the answer, or the flight if it is to be awaited further."""
        try:
            if flight.connection.ready(patience.until):
                return self._receive(flight, deadline)
            if time.monotonic() >= deadline.at:
                raise TimeoutError("timed out")
        except FAULTS as error:
            return self._broken(flight, error, deadline)
        if not patience.is_last:
            return flight
        flight.node.leave(flight, deadline)
        return Late("no answer yet, while other copies have answered")

    def close(self) -> None:
        """Drop all idle connections."""
        for node in self._nodes.values():
            node.close()

    def _launch(self, node: Node, command: Command, deadline: Deadline) -> Flight | Answer:
        """Send a command on an idle connection, or on a new one."""
        if node.late:
            problem = "" if type(command) is Ping else node.collect()
            if problem:
                return Failed(problem)
        connection = None if type(command) is Ping else node.idle_one()
        if connection is None:
            return self._launch_anew(node, command, deadline)
        return self._fly(node, command, connection, deadline)

    def _launch_anew(self, node: Node, command: Command, deadline: Deadline) -> Flight | Answer:
        try:
            connection = self._open(node, deadline)
        except FAULTS as error:
            if isinstance(error, OSError) and error.errno in _NO_FILES:
                return Refused("this process may open no more files; raise its limit (ulimit -n)")
            return _failed(error)
        return self._fly(node, command, connection, deadline)

    def _open(self, node: Node, deadline: Deadline) -> Connection:
        try:
            return node.open(deadline)
        except OSError as error:
            if error.errno not in _NO_FILES:
                raise
        self.close()  # no fault of the node: what is idle makes room
        return node.open(deadline)

    def _fly(self, node: Node, command: Command, connection: Connection, deadline: Deadline) -> Flight | Answer:
        """Send a command on a connection."""
        flight = Flight(node, command, connection, max(node.opened, connection.number))
        start = 0.0
        try:
            if type(command) is Put:
                start = time.monotonic()
                objection = _objection(command, connection, deadline)
                if objection is not None:
                    node.give(connection)
                    return objection
            connection.send(command, deadline.at)
        except BaseException as error:
            connection.close()
            if not isinstance(error, FAULTS):
                raise
            if start and isinstance(error, TimeoutError):
                # A large value to a node that does not read: that must not cost the others their time.
                deadline.at += time.monotonic() - start
            return self._broken(flight, error, deadline)
        return flight

    def _broken(self, flight: Flight, error: BaseException, deadline: Deadline) -> Flight | Answer:
        """A connection that was idle may just have been closed by the server: once more, on a fresh one."""
        command = flight.command
        flight.connection.close()
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
        return self._launch_anew(flight.node, command, deadline)

    def _queue(self, flight: Flight, deadline: Deadline) -> Flight | Answer:
        """Wait for one of our connections to a server that accepts no more: it is crowded, not down."""
        while time.monotonic() < deadline.at:
            connection = flight.node.idle_one()
            if connection is not None:
                return self._fly(flight.node, flight.command, connection, deadline)
            time.sleep(_QUEUE)
        return Refused("at its connection limit; start it with a larger -c")


def _objection(command: Put, connection: Connection, deadline: Deadline) -> Answer | None:
    """Return the answer to a command that is not to be sent on this connection."""
    if _read_before(command, connection):
        return CONFLICT
    return None if connection.fits(command, deadline) else TooLarge("over the server's item limit")


def _read_before(command: Put, connection: Connection) -> bool:
    """Say whether a token is older than the connection, so that the server may have restarted in between."""
    return command.token is not None and connection.number > command.token.connection


def _failed(error: BaseException) -> Failed:
    return Failed(f"{type(error).__name__}: {error}"[:200])
