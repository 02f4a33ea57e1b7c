"""The network under the real `MemcachedTransport`: connections whose commands and answers are late, held or lost."""

from __future__ import annotations

import logging
import secrets as real_secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol
from unittest import mock

from sharedsession import lock
from sharedsession.memcached import node as memcached_node
from sharedsession.memcached import patience as memcached_patience
from sharedsession.memcached import transport as memcached_transport
from sharedsession.memcached.commands import NO_TOKEN, Answer, Command, Delete, Found, Get, Put, Stored, Token
from sharedsession.memcached.patience import Deadline
from sharedsession.memcached.wire import TURN

from .lease import SimKeeper
from .node import SimNode
from .world import Wake, World


class Flight(NamedTuple):
    """A command on its way."""

    #: The task that sent it.
    task: str
    process: str
    node: str
    command: Command


class Weather(Protocol):
    """Decides how long what is sent takes, and what is lost."""

    def connect(self, process: str, node: str) -> float:
        """Return the seconds that opening a connection takes."""
        ...

    def there(self, flight: Flight) -> float:
        """Return the seconds a command travels."""
        ...

    def back(self, flight: Flight) -> float | None:
        """Return the seconds an answer travels; None: it is lost."""
        ...


class Network:
    """Every node, and what lies between them and the application processes.

    Args:
        world: time.
        weather: delays and losses.
    """

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.nodes: dict[str, SimNode] = {}
        self.keeper = SimKeeper(world)
        #: (process, node) pairs that cannot reach each other.
        self.cuts: set[tuple[str, str]] = set()
        #: What no promise allows, seen while the history ran.
        self.breaches: list[str] = []
        #: (process, node, key, token) -> the node's incarnation when it was given.
        self.given: dict[tuple[str, str, str, Token], int] = {}
        self._held: list[tuple[str, str, Callable[[], None]]] = []
        self._connections: list[SimConnection] = []

    def add(self, name: str) -> SimNode:
        """Start a node, empty."""
        self.nodes[name] = SimNode(name, lambda: self.world.now)
        return self.nodes[name]

    def cut(self, process: str, node: str) -> None:
        """Let nothing through between a process and a node."""
        self.cuts.add((process, node))

    def mend(self, process: str, node: str) -> None:
        """Let everything through again; what was retransmitted all the while arrives late."""
        self.cuts.discard((process, node))
        held, self._held = self._held, []
        for entry in held:
            if entry[:2] == (process, node):
                self.world.after(self.weather.connect(process, node), entry[2])
            else:
                self._held.append(entry)

    def hold(self, process: str, node: str, arrive: Callable[[], None]) -> None:
        """Keep a command that cannot pass, until the cut is mended."""
        self._held.append((process, node, arrive))

    def kill(self, name: str) -> None:
        """Kill a node; every connection to it breaks."""
        node = self.nodes[name]
        node.kill()
        self.world.trace("KILL", name)
        for connection in self._connections:
            connection.look()
        self._connections = [connection for connection in self._connections if connection.node is not node]

    def watch(self, connection: SimConnection) -> None:
        """Tell the connection when its node dies."""
        self._connections.append(connection)


class SimConnection:
    """Stands in for `memcached.connection.Connection`."""

    network: Network

    def __init__(self, address: str, connect_timeout: float) -> None:
        self.process, _, name = address.partition("/")
        self.node = self.network.nodes[name]
        self.number = 0
        self.connecting = 0.0
        self.used = False
        self._reply: Answer | None = None
        self._wake: Callable[[], None] | None = None
        self._closed = False
        self._last_arrival = 0.0
        began = self.network.world.now
        self._connect(connect_timeout)
        self.connecting = self.network.world.now - began
        self.incarnation = self.node.incarnation
        self.network.watch(self)

    def _connect(self, connect_timeout: float) -> None:
        network, world = self.network, self.network.world
        if (self.process, self.node.name) in network.cuts:
            world.sleep(connect_timeout)
            raise TimeoutError("connect")
        takes = network.weather.connect(self.process, self.node.name)
        world.sleep(min(takes, connect_timeout))
        if takes > connect_timeout:
            raise TimeoutError("connect")
        if not self.node.alive:
            raise ConnectionRefusedError("refused")

    @property
    def broken(self) -> bool:
        """Whether the server has died since."""
        return self.incarnation != self.node.incarnation

    def look(self) -> None:
        """Wake whoever waits for an answer that cannot come."""
        if self.broken and self._wake is not None:
            self._wake()

    def send(self, command: Command, deadline: float) -> None:
        """Send a command."""
        world = self.network.world
        flight = Flight(world.task, self.process, self.node.name, command)
        self._last_arrival = max(self._last_arrival, world.now + self.network.weather.there(flight))
        self._reply = None
        self.node.pending += 1
        world.after(self._last_arrival - world.now, lambda: self._arrive(flight))

    def _arrive(self, flight: Flight) -> None:
        if self.broken or not self.node.alive:
            self.node.pending -= 1
        elif (self.process, self.node.name) in self.network.cuts:
            self.network.hold(self.process, self.node.name, lambda: self._arrive(flight))
        elif self.node.hung:
            self.node.wait_for(lambda: self._execute(flight))
        else:
            self._execute(flight)

    def _execute(self, flight: Flight) -> None:
        self.node.pending -= 1
        if self.broken:
            return
        answer = self.node.do(flight.command)
        world = self.network.world
        if world.tracing:
            world.trace(flight.task, self.process, "->", flight.node, describe(flight.command), "=", describe(answer))
        self._check_token(flight, answer)
        if isinstance(flight.command, Delete):
            return
        travels = self.network.weather.back(flight)
        if travels is not None:
            world.after(travels, lambda: self._deliver(answer))

    def _check_token(self, flight: Flight, answer: Answer) -> None:
        """What everything rests on: a compare-and-swap replaces the value that was read, not a namesake of it."""
        command = flight.command
        if not isinstance(command, Put) or command.token is None or not isinstance(answer, Stored):
            return
        given = self.network.given.get((flight.process, flight.node, command.key, command.token))
        if given != self.node.incarnation:
            self.network.breaches.append(f"promise 4: {flight.task} wrote over a value at {flight.node} never read")

    def _deliver(self, answer: Answer) -> None:
        if self._closed or self.broken or (self.process, self.node.name) in self.network.cuts:
            return
        self._reply = answer
        if self._wake is not None:
            self._wake()

    def ready(self, deadline: float) -> bool:
        """Wait for the answer, at the latest until `deadline`; say whether it is there."""
        if self._reply is None and not self.broken and deadline > self.network.world.now:
            self.network.world.wait(self._wait, deadline)
            self._wake = None
        if self._reply is None and self.broken:
            raise EOFError("closed")
        return self._reply is not None

    def prompt(self, command: Command, newest: int) -> Answer | None:
        """Wait a moment for the answer."""
        if isinstance(command, Delete) or self.ready(self.network.world.now + TURN):
            return self.receive(command, 0, newest)
        return None

    def receive(self, command: Command, deadline: float, newest: int) -> Answer:
        """Return the answer that has come."""
        if isinstance(command, Delete):
            return Stored(NO_TOKEN)
        if self._reply is None:
            raise TimeoutError("answer")
        answer, self._reply = _numbered(self._reply, newest), None
        if isinstance(answer, Found | Stored) and isinstance(command, Get | Put):
            self.network.given[self.process, self.node.name, command.key, answer.token] = self.incarnation
        return answer

    def fits(self, command: Put, deadline: Deadline) -> bool:
        """Say yes: nothing here is large."""
        return True

    def _wait(self, wake: Wake) -> None:
        self._wake = wake

    def reusable(self) -> bool:
        """Say yes, unless it was closed."""
        return not self._closed

    def close(self) -> None:
        """Hear no more; what was sent may still be executed."""
        self._closed = True


def _numbered(answer: Answer, newest: int) -> Answer:
    if isinstance(answer, Found):
        return Found(answer.value, Token(answer.token.cas, newest), answer.remaining)
    return Stored(Token(answer.token.cas, newest)) if isinstance(answer, Stored) else answer


def describe(message: Command | Answer) -> str:
    """Return a command or an answer in a few letters."""
    if isinstance(message, Put):
        return (
            f"put({message.key[-4:]},{_brief(message.value)},{'add' if message.token is None else message.token.cas})"
        )
    if isinstance(message, Found):
        return f"found({_brief(message.value)},{message.token.cas})"
    if isinstance(message, Stored):
        return f"stored({message.token.cas})"
    return f"{type(message).__name__.lower()}({getattr(message, 'key', '')[-4:]})"


def _brief(value: bytes) -> str:
    return value[-3:].hex()


class _Chance:
    """Stands in for the module `secrets`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def randbits(self, bits: int) -> int:
        return self._world.random.getrandbits(bits)

    def randbelow(self, limit: int) -> int:
        return self._world.random.randrange(limit)

    def token_hex(self, size: int) -> str:
        return f"{self._world.random.getrandbits(size * 8):0{size * 2}x}"

    def __getattr__(self, name: str) -> object:
        return getattr(real_secrets, name)


class _Clock:
    """Stands in for the module `time`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now


@contextmanager
def installed(network: Network) -> Iterator[None]:
    """Put the simulated network, clock and chance in place of the real ones."""
    chance = _Chance(network.world)
    logger = logging.getLogger("sharedsession")
    with (
        mock.patch.object(SimConnection, "network", network, create=True),
        mock.patch.object(memcached_node, "Connection", SimConnection),
        mock.patch.object(memcached_node, "time", _Clock(network.world)),
        mock.patch.object(memcached_transport, "time", _Clock(network.world)),
        mock.patch.object(lock, "time", _Clock(network.world)),
        mock.patch.object(lock, "_KEEPER", network.keeper),
        mock.patch.object(memcached_patience, "time", _Clock(network.world)),
        mock.patch.object(logger, "disabled", new=True),
        ExitStack() as patches,
    ):
        for name, module in sorted(sys.modules.items()):
            if name.startswith("sharedsession") and hasattr(module, "secrets"):
                patches.enter_context(mock.patch.object(module, "secrets", chance))
        yield
