"""A random history from a seed: clients, tabs, processes, one fault after the other, and the verdict at the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharedsession.codec import Decoded
from sharedsession.lock import LEASE

from .checker import violations
from .faults import FAULTS, Place, RandomWeather
from .journal import Journal
from .network import Network, installed
from .process import CODEC, IDS, Process, Settings
from .request import Client, Request, Step
from .world import World

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Theme:
    """What the requests of a history mostly do: step -> weight."""

    weights: dict[str, int]
    #: Part of the pauses between steps that are longer than `store.STALE_AFTER`.
    slow_handlers: float = 0.0
    #: Part of the histories in which sessions live so briefly that they expire.
    short_lives: float = 0.0
    #: Part of the requests that have the session for themselves.
    exclusive: float = 0.0


PLAIN = {"set": 8, "grow": 4, "delete": 3, "commit": 2}
LOCKED = {"set": 2, "commit": 1, "append": 2, "count": 8, "count_plainly": 6}
THEMES: dict[str, Theme] = {
    "plain": Theme(PLAIN),
    "transactions": Theme({"append": 8, "append_in_place": 4, "set": 2, "commit": 1}),
    "clear": Theme({**PLAIN, "clear": 2, "append": 4}),
    "log-out": Theme({**PLAIN, "invalidate": 2, "append": 3}),
    "moves": Theme({**PLAIN, "change_id": 4, "append": 5}),
    "everything": Theme({**PLAIN, "append": 8, "clear": 1, "invalidate": 1, "change_id": 3}),
    "slow": Theme({**PLAIN, "append": 8, "clear": 1, "invalidate": 1, "change_id": 3}, 0.1, 0.5),
    "locks": Theme({**LOCKED, "clear": 1, "invalidate": 1, "change_id": 3}, exclusive=0.4),
    "lost locks": Theme({**LOCKED, "change_id": 2, "stopped": 2, "dies": 1}, exclusive=0.3),
}

STEPS: dict[str, Callable[[random.Random], Step]] = {
    "set": lambda rng: _named(Request.set, rng),
    "grow": lambda rng: lambda request: request.grow("l"),
    "delete": lambda rng: _named(Request.delete, rng),
    "commit": lambda rng: Request.commit,
    "append": lambda rng: Request.append,
    "append_in_place": lambda rng: lambda request: request.append(in_place=True),
    "clear": lambda rng: Request.clear,
    "invalidate": lambda rng: Request.invalidate,
    "change_id": lambda rng: Request.change_id,
    "count": lambda rng: _thinking(Request.count, rng),
    "count_plainly": lambda rng: _thinking(Request.count_plainly, rng),
    "stopped": lambda rng: _stopped(rng.uniform(0.8, 1.4) * LEASE),
    "dies": lambda rng: lambda request: request.count(dies=True),
}


def _named(step: Callable[[Request, str], None], rng: random.Random) -> Step:
    name = rng.choice(NAMES)
    return lambda request: step(request, name)


def _thinking(step: Callable[[Request, float], None], rng: random.Random) -> Step:
    seconds = rng.choice([0.0, 0.02, 0.6]) * rng.random()
    return lambda request: step(request, seconds)


def _stopped(seconds: float) -> Step:
    return lambda request: request.count(seconds, stopped=True)


@dataclass(frozen=True)
class Verdict:
    """How a history ended."""

    seed: int
    violations: list[str]
    requests: int
    failed: int
    trace: list[str]

    def __str__(self) -> str:
        """Say what was breached and how to see it again."""
        return "\n".join([f"seed {self.seed}:", *self.violations, *self.trace])


class History:
    """One history.

    Args:
        seed: decides everything.
        theme: what the requests do; None: by chance.
        faults: names of the faults that may strike; none: all.
        tracing: keep a trace.
    """

    def __init__(
        self, seed: int, theme: str | None = None, faults: Sequence[str] = (), *, tracing: bool = False
    ) -> None:
        self.seed = seed
        self.world = World(seed, tracing=tracing)
        rng = self.random = self.world.random
        self.theme = THEMES[theme or rng.choice(sorted(THEMES))]
        self._faults = faults or tuple(FAULTS)
        weather = RandomWeather(rng, rng.choice([0.1, 0.3, 0.6]), rng.choice([0.02, 0.05, 0.1]))
        self.network = Network(self.world, weather)
        self._settings = Settings(interval=30 if rng.random() < self.theme.short_lives else 1800)
        self.journal = Journal(IDS, self._settings.interval)
        nodes = [f"n{number + 1}" for number in range(rng.choice([2, 3, 3]))]
        for name in nodes:
            self.network.add(name)
        self.place = Place(self.network, weather, [], nodes)
        self._clients = [Client(f"client{number}") for number in range(rng.choice([1, 1, 2]))]
        self._tabs = 0
        self._numbers = 0

    def run(self) -> Verdict:
        """Let it happen."""
        with installed(self.network):
            skew = self.random.choice([0.0, 0.0, 3.0])
            hesitation = self.random.choice([0.0, 0.0, 2.0])
            for name in ("p1", "p2"):
                drift = self.random.uniform(-skew, skew)
                self.place.processes.append(
                    Process(name, self.network, self.place.nodes, self._settings, skew=drift, hesitation=hesitation)
                )
            self.world.spawn("director", self._direct)
            self.world.run()
        found = [*self.network.breaches, *violations(self.journal)]
        # Whoever is stopped while it has the lock gets a 503, and at times whoever waits for it.
        failed = self.journal.failed + (0 if "stopped" in self.theme.weights else self.journal.refused)
        return Verdict(self.seed, found, self.journal.requests, failed, self.world.lines)

    # -- the course of events --------------------------------------------------------------------------------------

    def _direct(self) -> None:
        for client in self._clients:
            self._request(client, [STEPS["set"](self.random), STEPS["set"](self.random)])
        for client in self._clients:
            for _ in range(self.random.randint(2, 3)):
                self._tabs += 1
                self.world.spawn("tab", lambda client=client: self._tab(client))  # type: ignore[misc]
        for _ in range(self.random.randint(1, 3)):
            self.world.sleep(self.random.uniform(0.0, 0.5))
            FAULTS[self.random.choice(self._faults)](self.place)
            self._until_over()
        self.world.sleep_until(lambda: not self._tabs)
        self._until_over()
        self._final()

    def _tab(self, client: Client) -> None:
        for _ in range(self.random.randint(2, 5)):
            self.world.sleep(self.random.choice([0.0, 0.05, 0.5, 1.0]) * self.random.random())
            self._request(client, self._program())
        self._tabs -= 1

    def _program(self) -> list[Step]:
        names = list(self.theme.weights)
        chosen = self.random.choices(names, list(self.theme.weights.values()), k=self.random.randint(1, 3))
        steps = [STEPS[name](self.random) for name in chosen]
        return [part for step in steps for part in (self._pause, step)] + [self._pause]

    def _pause(self, request: Request) -> None:
        if self.random.random() < self.theme.slow_handlers:
            self.world.sleep(self.random.uniform(55, 70))
        else:
            self.world.sleep(self.random.choice([0.0, 0.0, 0.02, 0.1, 0.6]) * self.random.random())

    def _request(self, client: Client, steps: Sequence[Step], shown: Sequence[str] | None = None) -> None:
        self._numbers += 1
        process = self.random.choice(self.place.processes)
        exclusive = bool(steps and self.theme.exclusive) and self.random.random() < self.theme.exclusive
        cookies = self._shown(client) if shown is None else shown
        request = Request(f"r{self._numbers}", client, process, self.journal, cookies, exclusive=exclusive)
        self.world.rename(f"r{self._numbers}")
        self.world.trace(process.name, "for", client.name)
        update = request.run(steps)
        self.world.sleep(self.random.choice([0.0, 0.001, 0.05, 0.3]) * self.random.random())
        client.receive(update)

    def _shown(self, client: Client) -> list[str]:
        """Return what the client's headers show: usually its cookie, at times what it should not."""
        shown = [client.cookie] if client.cookie else []
        chance = self.random.random()
        if chance < 0.1 and client.past:
            shown.insert(0, self.random.choice(client.past))
        elif chance < 0.15:
            shown.insert(0, IDS.new().text)
            self.journal.forged.add(shown[0])
        return list(dict.fromkeys(shown))

    def _until_over(self) -> None:
        """Wait until the last fault is over: healed, nothing marked down or late, old requests ended, all read once.

        A copy that is late is not waited for, so that a read does not see that it is missing.
        """
        nodes = self.network.nodes.values()
        self.world.sleep_until(lambda: not any(process.health.down for process in self.place.processes))
        self.world.sleep_until(lambda: not any(node.pending for node in nodes))
        before = [(process, set(process.busy)) for process in self.place.processes]
        self.world.sleep_until(lambda: not any(process.busy & names for process, names in before))
        self._read_all()
        while self._any_late():
            self.world.sleep_until(lambda: not self._any_late())
            self._read_all()
        self.world.trace("OVER")

    def _any_late(self) -> bool:
        return any(process.is_late() for process in self.place.processes)

    def _read_all(self) -> None:
        reader = Client("reader")
        for session_id in list(self.journal.by_id):
            self._request(reader, [], [session_id])
        self.world.rename("director")

    def _final(self) -> None:
        """Every copy is whole, and losing any one node more loses nothing."""
        self._read_all()
        self._compare_copies()
        for name in list(self.place.nodes):
            self.network.kill(name)
            self.network.nodes[name].start()
            self._until_over()

    def _compare_copies(self) -> None:
        for session_id in self.journal.by_id:
            parsed = IDS.parse(session_id)
            key = getattr(parsed, "key", "")
            home = self.place.processes[0].ring.nodes_for(key)[:2]
            items = [self.network.nodes[name].live(key) for name in home]
            copies = [CODEC.decode(key, item.value) if item else None for item in items]
            records = [copy.record if isinstance(copy, Decoded) else None for copy in copies]
            if records[0] != records[1]:
                self.journal.violations.append(f"promise 3: the copies of {session_id[:4]} differ: {records}")
