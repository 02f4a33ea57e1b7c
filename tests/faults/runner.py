"""Plays one scenario on a cluster under load, and reports what the clients saw."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .checker import Counts, check, evidence
from .cluster import PATIENCE, Cluster
from .history import Event, Latency, Span, latency
from .users import Load

#: Seconds in which a request must be answered while a node hangs: the time-out (by default) and a quarter.
ALLOWED = 0.75
#: Seconds more than without the fault that all but one in a thousand requests may take.
TOLERATED = 0.05
#: Seconds after which a fault must have been noticed.
NOTICED = 1.0
#: How often a scenario is played again when the machine was too busy: when healthy nodes did not answer in time.
REPLAYS = 2

_MARKED_DOWN = re.compile(r"([\d.]+) memcached node (\w+) marked down")


@dataclass
class Stage:
    """Where a scenario plays."""

    scenario: Scenario
    cluster: Cluster
    load: Load
    #: Seconds that a fault lasts.
    seconds: float
    #: The full form: every node in turn, and many of everything.
    full: bool = False
    #: How often a node has been marked down by faults that are over.
    known_failures: int = 0
    #: Names of nodes to which something was done, and from when until it was over.
    struck: list[tuple[str, Span]] = field(default_factory=list)
    #: Stretches of time with a fault, until it was healed.
    spans: list[Span] = field(default_factory=list)
    #: Seconds from healing until every process used every node again.
    back: list[float] = field(default_factory=list)

    def nodes(self) -> Sequence[int]:
        """Return the numbers of the nodes that are struck in turn."""
        return range(len(self.cluster.nodes) if self.full else 1)

    def wait(self, share: float = 1.0) -> None:
        """Let the users go on for as long as a fault lasts, or a share of that."""
        time.sleep(self.seconds * share)

    @contextmanager
    def fault(self, *nodes: int) -> Iterator[None]:
        """Note how long a fault of some nodes lasts; at the end heal the ways, and wait until it is over."""
        begun = time.monotonic()
        yield
        self.cluster.heal()
        self.spans.append(Span(begun, time.monotonic()))
        self._wait_until_over()
        self.struck += [(self.cluster.nodes[node].name, Span(begun, time.monotonic())) for node in nodes]

    def until_noticed(self) -> None:
        """Let a fault last until a process has marked the node down, if it is one that is noticed like that."""
        if "node_down" not in self.scenario.moves:
            return
        deadline = time.monotonic() + PATIENCE
        while self.cluster.stats().get("node_down", 0) <= self.known_failures:
            if time.monotonic() > deadline:
                raise TimeoutError("nobody has noticed the fault")
            time.sleep(0.02)
        self.known_failures = self.cluster.stats().get("node_down", 0)

    def _wait_until_over(self) -> None:
        """Wait until a fault is over: no process marks a node down, old requests have ended, all sessions were read."""
        self.back.append(self.cluster.wait_until_up())
        self.load.settle()


@dataclass(frozen=True)
class Scenario:
    """One kind of fault."""

    name: str
    #: Breaks something and heals it.
    play: Callable[[Stage], None]
    #: Name of the layout it needs.
    layout: str = "three"
    #: The application processes that serve the clients at first.
    serving: tuple[int, ...] = (0, 1)
    #: Counts that may differ from 0 here; `why` says why.
    allowed: tuple[str, ...] = ()
    why: str = ""
    #: More than one fault at once: measured, not promised.
    promised: bool = True
    #: Counters of the middleware that must move, or else the fault was none.
    moves: tuple[str, ...] = ("node_down", "node_up")
    #: Requests wait for a time-out before it is noticed.
    hangs: bool = False
    #: Part of the short form.
    short: bool = True


@dataclass(frozen=True)
class Report:
    """How a scenario went."""

    scenario: Scenario
    counts: Counts
    requests: int
    calm: Latency
    faulty: Latency
    #: Requests begun more than `NOTICED` into a fault, and those of them that took `TOLERATED` more than usual.
    noticed: int
    late: int
    #: The same of the requests without a fault.
    calm_late: int
    #: Longest time in seconds until a healed node was used again by all.
    back: float
    #: Counters of the middleware that moved.
    stats: dict[str, int]
    #: What the application processes logged.
    log: list[str]
    #: Nodes that were marked down while nothing was done to them: the machine is too busy, or a bug.
    bystanders: list[str]
    #: The requests for every session that something is wrong with.
    evidence: list[str]

    def broken(self) -> dict[str, int]:
        """Return the promises that were broken, and how often; latency apart."""
        return self.counts.broken((*self.scenario.allowed, "slow"))

    def __str__(self) -> str:
        """Say everything about it that helps to understand a failure."""
        return "\n".join(
            [self.scenario.name, f"{self.counts}", f"{self.stats}", f"{self.bystanders=}", *self.log, *self.evidence]
        )

    def unmoved(self) -> list[str]:
        """Return the counters that should have moved but have not."""
        return [name for name in self.scenario.moves if not self.stats.get(name)]


def play_fairly(
    scenario: Scenario, cluster: Cluster, seconds: float, *, calm: float, full: bool = False, users: int = 6
) -> Report:
    """Same as `play`, but play again when healthy nodes were marked down: a busy machine is a second fault."""
    report = play(scenario, cluster, seconds, calm=calm, full=full, users=users)
    for _ in range(REPLAYS):
        if report.bystanders and scenario.promised:
            report = play(scenario, cluster, seconds, calm=calm, full=full, users=users)
    return report


def play(
    scenario: Scenario, cluster: Cluster, seconds: float, *, calm: float, full: bool = False, users: int = 6
) -> Report:
    """Play a scenario under load and check everything the clients saw.

    Args:
        scenario: what happens.
        cluster: where; whole, and left so.
        seconds: how long each fault lasts.
        calm: how long the users go on before the first fault, for comparison.
        full: every node in turn, and many of everything.
        users: how many, with two tabs each.
    """
    cluster.serving = scenario.serving
    cluster.whole = False
    before, logged = cluster.stats(), len(cluster.log())
    with Load([app.port for app in cluster.apps], lambda: cluster.serving, users) as load:
        stage = Stage(scenario, cluster, load, seconds, full, known_failures=before.get("node_down", 0))
        quiet = _calm(calm)
        scenario.play(stage)
        load.stop()
        load.read_all()
    cluster.whole = True
    return _report(scenario, stage, quiet, before, cluster.log()[logged:])


def _calm(seconds: float) -> Span:
    """Let every user log in, then see how fast requests are without a fault."""
    time.sleep(0.3)
    begun = time.monotonic()
    time.sleep(seconds)
    return Span(begun, time.monotonic())


def _report(scenario: Scenario, stage: Stage, quiet: Span, before: dict[str, int], log: list[str]) -> Report:
    history = stage.load.history
    calm = [event for event in history if quiet.covers(event) and event.end < quiet.end]
    faulty = [event for event in history if any(span.covers(event) for span in stage.spans)]
    noticed = [e for e in faulty if any(span.start + NOTICED <= e.start < span.end for span in stage.spans)]
    limit = latency(calm).median + TOLERATED
    return Report(
        scenario,
        check(history, ALLOWED),
        len(history),
        latency(calm),
        latency(faulty),
        len(noticed),
        _longer(noticed, limit),
        _longer(calm, limit),
        max(stage.back, default=0.0),
        _moved(before, stage.cluster.stats()),
        log,
        _bystanders(stage, log),
        evidence(history),
    )


def _bystanders(stage: Stage, log: list[str]) -> list[str]:
    marked = [(float(found[1]), found[2]) for line in log if (found := _MARKED_DOWN.search(line))]
    return [
        name
        for at, name in marked
        if not any(name == struck and span.start <= at < span.end for struck, span in stage.struck)
    ]


def _longer(events: Sequence[Event], limit: float) -> int:
    return sum(event.latency > limit for event in events)


def _moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
