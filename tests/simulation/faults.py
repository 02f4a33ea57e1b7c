"""One fault at a time, as promise 3 defines it: begun, healed, and over before the next one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from .network import Flight, Network
from .process import Process


@dataclass
class RandomWeather:
    """Delays by chance: mostly short, sometimes long enough that anything else comes in between."""

    random: random.Random
    #: Part of the messages that are late.
    late: float = 0.3
    #: Seconds at most that a late message takes.
    latest: float = 0.1
    #: Node -> seconds at most that it takes to get round to a command.
    slow: dict[str, float] = field(default_factory=dict)
    #: (process, node) -> part of the answers that are lost.
    deaf: dict[tuple[str, str], float] = field(default_factory=dict)

    def connect(self, process: str, node: str) -> float:
        """Return the seconds that opening a connection takes."""
        return self.random.uniform(0.0002, 0.002) + self._slowness(node)

    def there(self, flight: Flight) -> float:
        """Return the seconds a command travels."""
        return self._delay() + self._slowness(flight.node)

    def back(self, flight: Flight) -> float | None:
        """Return the seconds an answer travels; None: it is lost."""
        if self.random.random() < self.deaf.get((flight.process, flight.node), 0.0):
            return None
        return self._delay()

    def _delay(self) -> float:
        if self.random.random() < self.late:
            return self.random.uniform(0.0005, self.latest)
        return self.random.uniform(0.0005, 0.002)

    def _slowness(self, node: str) -> float:
        most = self.slow.get(node)
        return self.random.uniform(0.0, most) if most else 0.0


@dataclass
class Place:
    """Where faults happen."""

    network: Network
    weather: RandomWeather
    processes: list[Process]
    #: Names of the nodes that every process has on its list.
    nodes: list[str]

    @property
    def random(self) -> random.Random:
        """Chance."""
        return self.network.world.random

    def some_node(self) -> str:
        """Return one of the nodes."""
        return self.random.choice(self.nodes)

    def wait(self) -> None:
        """Let a fault last a while: at times long enough to be noticed by all, at times by none."""
        self.network.world.sleep(self.random.choice([0.0, 0.02, 0.2, 0.7, 2.0, 4.0]) * self.random.uniform(0.5, 1.5))

    def calm(self) -> None:
        """Wait until every request that has begun has ended: a node list is changed again long after the last time."""
        begun = {name for process in self.processes for name in process.busy}
        self.network.world.sleep_until(lambda: not any(begun & process.busy for process in self.processes))


Fault = Callable[[Place], None]


def killed(place: Place) -> None:
    """A node dies and comes back empty."""
    name = place.some_node()
    place.network.kill(name)
    place.wait()
    place.network.nodes[name].start()
    place.network.world.trace("STARTED", name)


def hung(place: Place) -> None:
    """A node hangs, then does what it was told meanwhile."""
    node = place.network.nodes[place.some_node()]
    place.network.world.trace("HANG", node.name)
    node.stop()
    place.wait()
    place.network.world.trace("RESUME", node.name)
    node.resume()


def flapping(place: Place) -> None:
    """One node hangs and dies again and again."""
    name = place.some_node()
    node = place.network.nodes[name]
    for _ in range(place.random.randint(2, 4)):
        if place.random.random() < 0.5:
            node.stop()
            place.wait()
            node.resume()
        else:
            place.network.kill(name)
            place.wait()
            node.start()
        place.wait()


def slow(place: Place) -> None:
    """A node answers late, at times after the time-out."""
    name = place.some_node()
    place.network.world.trace("SLOW", name)
    place.weather.slow[name] = place.random.choice([0.3, 0.6, 1.2])
    place.wait()
    place.wait()
    del place.weather.slow[name]


def answers_lost(place: Place) -> None:
    """What a node answers gets lost, for some or all processes."""
    name = place.some_node()
    place.network.world.trace("DEAF", name)
    for process in place.random.sample(place.processes, place.random.randint(1, len(place.processes))):
        place.weather.deaf[process.name, name] = place.random.choice([0.2, 0.5, 1.0])
    place.wait()
    place.wait()
    place.weather.deaf.clear()


def emptied(place: Place) -> None:
    """A node forgets everything, but goes on numbering."""
    name = place.some_node()
    place.network.world.trace("FLUSH", name)
    place.network.nodes[name].items.clear()


def evicted(place: Place) -> None:
    """A node forgets some values."""
    node = place.network.nodes[place.some_node()]
    for key in sorted(node.items):
        if place.random.random() < 0.6:
            place.network.world.trace("EVICT", node.name, key[-4:])
            node.items.pop(key, None)


def cut_off(place: Place) -> None:
    """One process cannot reach one node; the others can."""
    name, process = place.some_node(), place.random.choice(place.processes)
    place.network.world.trace("CUT", process.name, name)
    place.network.cut(process.name, name)
    place.wait()
    place.wait()
    place.network.world.trace("MEND", process.name, name)
    place.network.mend(process.name, name)


def node_added(place: Place) -> None:
    """A node joins: the processes get the new list one after the other."""
    name = f"n{len(place.network.nodes) + 1}"
    place.network.add(name)
    _roll(place, [*place.nodes, name])


def node_removed(place: Place) -> None:
    """A node leaves the lists, one process after the other."""
    if len(place.nodes) > 2:
        gone = place.some_node()
        _roll(place, [name for name in place.nodes if name != gone])


def nodes_replaced(place: Place) -> None:
    """Two nodes join, one after the other, then one leaves: the first copies may come to lie where none was."""
    for change in (node_added, node_added, node_removed):
        place.calm()
        change(place)


def _roll(place: Place, nodes: list[str]) -> None:
    for process in place.random.sample(place.processes, len(place.processes)):
        place.network.world.trace("LIST", process.name, nodes)
        process.restart(nodes)
        place.wait()
    place.nodes[:] = nodes


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        killed,
        hung,
        flapping,
        slow,
        answers_lost,
        emptied,
        evicted,
        cut_off,
        node_added,
        node_removed,
        nodes_replaced,
    )
}
