"""The faults, one by one: what breaks, on which layout, and what may be seen of it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from servers import Memcached

from .cluster import Layout
from .kinds import (
    Behind,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Fault,
    Forget,
    Mute,
    Refuse,
    Repeat,
    Silent,
    Stutter,
    Swallow,
    Trickle,
)
from .runner import Scenario, Stage

#: How often a flapping node dies.
FLAPS = 20
#: Concurrent sessions, in the full form and in the short one.
CROWD, SMALL_CROWD = 10_000, 200
#: Sessions that nobody writes to while nodes are restarted.
IDLE = 20
#: A connection limit that the application alone does not reach, and how many connections strangers open.
LIMIT, STRANGERS = 80, 200

LAYOUTS: dict[str, Layout] = {
    "three": Layout(3),
    "two": Layout(2),
    "ahead": Layout(3, environ={1: {"FAULTS_CLOCK_OFFSET": "300"}}),
    "behind": Layout(3, environ={1: {"FAULTS_CLOCK_OFFSET": "-300"}}),
    "evicting": Layout(3, own_options={"n1": ("-m", "8")}),
    "refusing": Layout(3, own_options={"n1": ("-m", "8", "-M")}),
    "all evicting": Layout(3, options=("-m", "8")),
    "limited": Layout(3, own_options={"n1": ("-c", str(LIMIT))}),
    "all limited": Layout(3, options=("-c", str(LIMIT))),
    "starved": Layout(3, options=("-c", "28")),
    "gevent": Layout(3, worker="gevent"),
    "preload": Layout(3, gunicorn=("--preload",)),
    # The first two processes have one list, the others another.
    "two lists": Layout(3, apps=4, lists={0: (0, 1), 1: (0, 1)}),
}


# -- processes --------------------------------------------------------------------------------------------------------


def killed(stage: Stage) -> None:
    """Kill each node in turn (SIGKILL); it comes back empty."""
    for node in stage.nodes():
        with stage.fault(node):
            stage.cluster.kill(node)
            stage.wait()
            stage.until_noticed()
            stage.cluster.start(node)


def hung(stage: Stage) -> None:
    """Stop each node in turn (SIGSTOP); when it goes on it does what it was told meanwhile."""
    for node in stage.nodes():
        with stage.fault(node):
            stage.cluster.nodes[node].hang()
            stage.wait()
            stage.until_noticed()
            stage.cluster.nodes[node].resume()


def rolling(stage: Stage) -> None:
    """Restart every node, one after the other; each comes back at once, empty.

    Some sessions are only read meanwhile: nothing but repair brings their copies back.
    """
    stage.load.crowd(IDLE)
    for node in range(len(stage.cluster.nodes)):
        with stage.fault(node):
            stage.cluster.nodes[node].restart()
            stage.wait(0.2)


def emptied(stage: Stage) -> None:
    """Make each node in turn forget everything while it goes on running."""
    for node in stage.nodes():
        with stage.fault(node):
            for _ in range(3):
                stage.cluster.nodes[node].command(b"flush_all")
                stage.wait(0.3)


def flapping(stage: Stage) -> None:
    """Kill one node twenty times, back each time before or after that was noticed by all."""
    with stage.fault(0):
        for round_number in range(FLAPS):
            stage.cluster.kill(0)
            time.sleep(0.02 * (round_number % 5))
            stage.cluster.start(0)
            time.sleep(0.04 * (round_number % 3))


def worker_killed(stage: Stage) -> None:
    """Kill an application process in mid request (SIGKILL)."""
    for app in stage.cluster.apps:
        with stage.fault():
            app.kill_worker()
            stage.wait()


# -- ways -------------------------------------------------------------------------------------------------------------


def disturbed(make: Callable[[], Fault], apps: tuple[int, ...] | None = None) -> Callable[[Stage], None]:
    """Return a play: the ways to each node in turn misbehave, from some application processes or all."""

    def play(stage: Stage) -> None:
        for node in stage.nodes():
            with stage.fault(node):
                stage.cluster.disturb(node, make(), apps)
                stage.wait()
                stage.until_noticed()

    return play


# -- pressure ---------------------------------------------------------------------------------------------------------


def filled(stage: Stage) -> None:
    """Write what fills the first node, again and again, as another application may that uses it too."""
    with stage.fault(0):
        _fill([stage.cluster.nodes[0]], stage.seconds * 2)


def all_filled(stage: Stage) -> None:
    """Fill every node."""
    with stage.fault(*range(len(stage.cluster.nodes))):
        _fill(stage.cluster.nodes, stage.seconds * 2)


def _fill(nodes: list[Memcached], seconds: float) -> None:
    """Write values of many sizes for some seconds, and until a value was evicted or refused."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end or not all(map(_is_full, nodes)):
        for node in nodes:
            number += 1
            _write_values(node, number)
    for node in nodes:
        node.command(b"flush_all")


def _is_full(node: Memcached) -> bool:
    refused = re.findall(rb":outofmemory (\d+)", node.command(b"stats items"))
    return node.stats()["evictions"] > 0 or any(int(count) > 0 for count in refused)


def _write_values(node: Memcached, number: int) -> None:
    lines = []
    for index in range(200):
        size = 100 + index * 40
        lines.append(b"set other-%d-%d 0 0 %d noreply\r\n%b\r\n" % (number, index, size, bytes(size)))
    node.command(b"".join(lines).removesuffix(b"\r\n"))


def crowded_out(stage: Stage) -> None:
    """Let a stranger take every connection that the nodes still accept, then let go."""
    nodes = stage.cluster.nodes
    limited = [number for number, node in enumerate(nodes) if node.stats()["max_connections"] == LIMIT]
    with stage.fault(*limited), ExitStack() as taken:
        for number in limited:
            taken.enter_context(_strangers(nodes[number]))
        stage.wait()
    if not all(nodes[number].stats()["rejected_connections"] for number in limited):
        raise RuntimeError("the limit was not reached")


@contextmanager
def _strangers(node: Memcached) -> Iterator[None]:
    connections = [socket.create_connection(("127.0.0.1", node.port), 5) for _ in range(STRANGERS)]
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


def crowd(stage: Stage) -> None:
    """Hold many sessions at once, and kill each node in turn."""
    stage.load.crowd(CROWD if stage.full else SMALL_CROWD)
    killed(stage)


# -- membership -------------------------------------------------------------------------------------------------------


def grown(stage: Stage) -> None:
    """Add a node: one process after the other has the new list; then lose each old node in turn."""
    _new_lists(stage, (0, 2), (2, 3))
    killed(stage)


def shrunk(stage: Stage) -> None:
    """Take a node off the lists, one process after the other; then stop it."""
    _new_lists(stage, (2, 0), (0, 1))
    with stage.fault(2):
        stage.cluster.kill(2)
        stage.wait()
        stage.cluster.start(2)


def _new_lists(stage: Stage, *steps: tuple[int, ...]) -> None:
    for serving in steps:
        with stage.fault():
            stage.cluster.serving = serving
            stage.wait()


# -- two at once ------------------------------------------------------------------------------------------------------


def two_killed(stage: Stage) -> None:
    """Kill two nodes at once."""
    with stage.fault(0, 1):
        stage.cluster.kill(0)
        stage.cluster.kill(1)
        stage.wait()
        stage.cluster.start(0)
        stage.cluster.start(1)


def hung_and_restarted(stage: Stage) -> None:
    """Restart one node while another hangs."""
    with stage.fault(0, 1):
        stage.cluster.nodes[0].hang()
        stage.wait(0.5)
        stage.cluster.nodes[1].restart()
        stage.wait(0.5)
        stage.cluster.nodes[0].resume()


def split(stage: Stage) -> None:
    """Each application process reaches only nodes that the other does not, but for one."""
    with stage.fault(0, 1):
        stage.cluster.disturb(0, Refuse(), [1])
        stage.cluster.disturb(1, Refuse(), [0])
        stage.wait()


def starved(stage: Stage) -> None:
    """Go on with fewer connections than the application processes would like."""
    with stage.fault(*range(len(stage.cluster.nodes))):
        stage.wait()


_LOST_ANSWERS = "the killed process owed these answers"
_REPAIRS = ("repairs",)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("node killed, ring of 3", killed),
    Scenario("node killed, ring of 2", killed, "two"),
    Scenario("node hangs, ring of 3", hung, hangs=True),
    Scenario("node hangs, ring of 2", hung, "two", hangs=True),
    Scenario("node emptied", emptied, moves=_REPAIRS),
    Scenario("rolling restart, ring of 3", rolling, moves=_REPAIRS),
    Scenario("rolling restart, ring of 2", rolling, "two", moves=_REPAIRS),
    Scenario("flapping 20 times, ring of 3", flapping),
    Scenario("flapping 20 times, ring of 2", flapping, "two", short=False),
    Scenario("machine gone: no packet answered", disturbed(Silent), hangs=True),
    Scenario("port closed", disturbed(Refuse), short=False),
    Scenario("commands swallowed", disturbed(Swallow), hangs=True),
    Scenario("replies swallowed", disturbed(Mute), hangs=True),
    Scenario("cut off from one process, ring of 3", disturbed(Refuse, (0,))),
    Scenario("cut off from one process, ring of 2", disturbed(Refuse, (0,)), "two", short=False),
    Scenario("swallowed for one process", disturbed(Swallow, (0,)), hangs=True, short=False),
    Scenario("slow: 30 ms", disturbed(lambda: Delay(0.03)), moves=(), hangs=True, short=False),
    Scenario("slow: 300 ms", disturbed(lambda: Delay(0.3)), moves=(), hangs=True),
    Scenario("slow: 600 ms", disturbed(lambda: Delay(0.6)), hangs=True, short=False),
    Scenario("trickling, in time", disturbed(lambda: Trickle(0.0003)), moves=(), hangs=True, short=False),
    Scenario("trickling, too slow", disturbed(lambda: Trickle(0.01)), hangs=True),
    Scenario("cut in mid reply", disturbed(lambda: Cut(0.2))),
    Scenario("replies damaged", disturbed(lambda: Corrupt(0.3)), hangs=True),
    Scenario("bytes repeated", disturbed(lambda: Stutter(0.3)), hangs=True),
    Scenario("replies repeated", disturbed(lambda: Repeat(0.3))),
    Scenario("replies lost", disturbed(lambda: Drop(0.3)), hangs=True),
    Scenario("replies out of step", disturbed(Behind)),
    # New connections are answered, so the node stays up.
    Scenario("open connections forgotten", disturbed(Forget), moves=("late_copies",), hangs=True, short=False),
    Scenario("memory full, evicting", filled, "evicting", moves=_REPAIRS),
    Scenario("memory full, refusing (-M)", filled, "refusing", moves=_REPAIRS),
    Scenario("connection limit reached", crowded_out, "limited", moves=()),
    Scenario("10,000 sessions, node killed", crowd),
    Scenario("application process killed", worker_killed, allowed=("unanswered",), why=_LOST_ANSWERS, moves=()),
    Scenario("clock 5 minutes ahead, node killed", killed, "ahead"),
    Scenario("clock 5 minutes behind, node killed", killed, "behind", short=False),
    Scenario("node added", grown, "two lists"),
    Scenario("node removed", shrunk, "two lists", serving=(2, 3), moves=_REPAIRS),
    Scenario("gevent, node killed", killed, "gevent", short=False),
    Scenario("gevent, node hangs", hung, "gevent", hangs=True),
    Scenario("--preload, node killed", killed, "preload", short=False),
    Scenario("--preload, node hangs", hung, "preload", hangs=True),
    Scenario("two nodes killed at once", two_killed, promised=False),
    Scenario("one hangs, one restarts", hung_and_restarted, promised=False),
    Scenario("each process sees another node", split, promised=False),
    Scenario("memory of all nodes full, evicting", all_filled, "all evicting", promised=False, moves=_REPAIRS),
    Scenario("connection limit of all nodes reached", crowded_out, "all limited", promised=False, moves=()),
    Scenario("connection limit of all nodes too low", starved, "starved", promised=False),
)
