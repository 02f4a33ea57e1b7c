"""Written-out histories: every delay, loss and fault is placed by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharedsession.ids import SessionId
from sharedsession.memcached.commands import Command, Put

from .checker import violations
from .journal import Journal
from .network import Flight, Network, installed
from .process import IDS, Process, Settings, ring_of
from .request import Client, Request, Step
from .world import World

#: Seconds that a message takes when nothing else is said.
TRIP = 0.001


@dataclass
class Rule:
    """What happens to the next command of one kind that a request sends to a node."""

    request: str
    node: str
    key: str
    kind: type[Command]
    there: float = TRIP
    back: float | None = TRIP
    spent: bool = False

    def fits(self, flight: Flight) -> bool:
        """Say whether it is about this command."""
        key = getattr(flight.command, "key", "")
        place = (flight.task, flight.node, key)
        return (self.request, self.node, self.key) == place and isinstance(flight.command, self.kind)


class ScriptedWeather:
    """Everything takes `TRIP` seconds, but for what the rules say."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._answers: dict[int, Rule] = {}

    def connect(self, process: str, node: str) -> float:
        """Return the seconds that opening a connection takes."""
        return TRIP / 10

    def there(self, flight: Flight) -> float:
        """Return the seconds a command travels."""
        for rule in self.rules:
            if not rule.spent and rule.fits(flight):
                rule.spent = True
                self._answers[id(flight.command)] = rule
                return rule.there
        return TRIP

    def back(self, flight: Flight) -> float | None:
        """Return the seconds an answer travels; None: it is lost."""
        rule = self._answers.pop(id(flight.command), None)
        return TRIP if rule is None else rule.back


class Script:
    """The stage of a written-out history; its methods run in the director's task.

    Args:
        nodes: how many nodes there are.
        seed: decides ids and writers.
        tracing: keep a trace.
    """

    def __init__(self, nodes: int = 3, seed: int = 1, *, tracing: bool = False) -> None:
        self.world = World(seed, tracing=tracing)
        self.weather = ScriptedWeather()
        self.network = Network(self.world, self.weather)
        self.journal = Journal(IDS, Settings().interval)
        self.client = Client("client")
        names = [f"n{number + 1}" for number in range(nodes)]
        for name in names:
            self.network.add(name)
        self.processes = {name: Process(name, self.network, names, Settings()) for name in ("p1", "p2")}
        self._running: set[str] = set()
        self._reads = 0

    # -- what the director can do ----------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Let everything go on for that long."""
        self.world.sleep(seconds)

    def start(
        self, name: str, process: str, *steps: Step, shown: Sequence[str] | None = None, exclusive: bool = False
    ) -> None:
        """Begin a request, maybe one that has the session for itself; it goes on by itself."""
        cookies = shown if shown is not None else [self.client.cookie] if self.client.cookie else []
        self._running.add(name)

        def work() -> None:
            place = self.processes[process]
            request = Request(name, self.client, place, self.journal, cookies, exclusive=exclusive)
            self.client.receive(request.run(steps))
            self._running.discard(name)

        self.world.spawn(name, work)

    def finish(self, *names: str) -> None:
        """Wait until requests have ended: these, or all."""
        self.world.sleep_until(lambda: not self._running & (set(names) or self._running), 0.01)

    def do(self, name: str, process: str, *steps: Step, shown: Sequence[str] | None = None) -> None:
        """Do a request from beginning to end."""
        self.start(name, process, *steps, shown=shown)
        self.finish(name)

    def log_in(self) -> tuple[str, str]:
        """Create the session with an attribute; return the nodes of its first and second copy."""
        self.do("login", "p1", put("x"))
        first, second = self.processes["p1"].ring.nodes_for(self.key)[:2]
        return first, second

    @property
    def key(self) -> str:
        """The storage key of the client's session."""
        parsed = IDS.parse(self.client.cookie or "")
        return parsed.key if isinstance(parsed, SessionId) else ""

    def rule(
        self,
        request: str,
        node: str,
        *,
        there: float = TRIP,
        back: float | None = TRIP,
        kind: type[Command] = Put,
    ) -> None:
        """Say what happens to the next command of a kind that a request sends to a node about the session's key.

        Rules are used up in order.
        """
        self.weather.rules.append(Rule(request, node, self.key, kind, there, back))

    def join_before(self) -> str:
        """Add a node that comes first for the session's key, before all that are there; no process knows it yet."""
        present = tuple(self.network.nodes)
        names = (f"m{number}" for number in itertools.count(len(present)))
        name = next(name for name in names if ring_of((*present, name)).nodes_for(self.key)[0] == name)
        self.network.add(name)
        return name

    def tell(self, process: str, node: str) -> None:
        """Put a node on a process's list."""
        self.processes[process].restart([*self.processes[process].nodes, node])

    def kill(self, node: str) -> None:
        """Kill a node and start it again, empty."""
        self.network.kill(node)
        self.network.nodes[node].start()

    def over(self) -> None:
        """Wait until all requests have ended and nothing is marked down."""
        self.finish()
        self.world.sleep_until(lambda: not any(process.health.down for process in self.processes.values()))

    def read(self) -> None:
        """Read every session from every process."""
        for process in self.processes:
            for session_id in list(self.journal.by_id):
                self._reads += 1
                self.do(f"read{self._reads}", process, shown=[session_id])


def put(name: str) -> Step:
    """Assign an attribute."""
    return lambda request: request.set(name)


def pause(seconds: float) -> Step:
    """Be slow."""
    return lambda request: request.think(seconds)


def stop(seconds: float) -> Step:
    """Let the process get no time (SIGSTOP)."""
    return lambda request: request.think(seconds, stopped=True)


def play(history: Callable[[Script], None], nodes: int = 3, seed: int = 1, *, tracing: bool = False) -> list[str]:
    """Play a history, read everything at its end; return the promises it broke, and with `tracing` what happened."""
    script = Script(nodes, seed, tracing=tracing)

    def direct() -> None:
        history(script)
        script.over()
        script.read()

    with installed(script.network):
        script.world.spawn("director", direct)
        script.world.run()
    return [*script.network.breaches, *violations(script.journal), *script.world.lines]
