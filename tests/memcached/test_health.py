"""Marking nodes down and bringing them back, with real servers that hang, die and return."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from servers import Memcached, free_port
from storage import Rig, changes, loaded, memcached_rig, probe_by

from sharedsession.memcached.commands import Failed, Get, Stored
from sharedsession.memcached.health import ProbedHealth
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.stats import Stats

Connect = Callable[..., MemcachedTransport]
Watch = Callable[[MemcachedTransport], ProbedHealth]

#: Python 3.12 warns of every fork of a process with threads; pre-forking servers do just that.
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def stats() -> Stats:
    """Return counters."""
    return Stats()


@pytest.fixture
def watch(stats: Stats) -> Iterator[Watch]:
    """Return a function that gives a transport's nodes a health, whose probe ends with the test."""
    started: list[ProbedHealth] = []

    def start(transport: MemcachedTransport) -> ProbedHealth:
        started.append(ProbedHealth(probe_by(transport), stats))
        return started[-1]

    yield start
    for health in started:
        health.close()


def seconds_until(condition: Callable[[], bool], limit: float = 5.0) -> float:
    """Return how long it took in seconds; fails at the limit."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, "it did not happen"
        time.sleep(0.01)
    return time.monotonic() - start


def test_a_node_is_up_until_it_is_marked_down(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """Nodes are asked until one fails, and the mark says nothing of the others."""
    memcached.hang()
    health = watch(connect(memcached, memcached))
    assert "n1" not in health.down
    health.mark_down("n1", "it hangs")
    assert "n1" in health.down
    assert "n2" not in health.down
    memcached.resume()


@pytest.mark.parametrize("fault", ["hang", "kill"])
def test_the_probe_brings_a_node_back_within_2_seconds(
    connect: Connect, memcached: Memcached, watch: Watch, fault: str
) -> None:
    """A node that answers again is asked again within 2 seconds, and not before."""
    health = watch(connect(memcached))
    memcached.hang() if fault == "hang" else memcached.kill()
    health.mark_down("n1", fault)
    time.sleep(0.7)
    assert "n1" in health.down
    memcached.resume() if fault == "hang" else memcached.start()
    assert seconds_until(lambda: "n1" not in health.down) < 2


def test_one_log_line_and_one_count_for_each_change(
    connect: Connect, memcached: Memcached, watch: Watch, stats: Stats, caplog: pytest.LogCaptureFixture
) -> None:
    """However many requests meet a dead node, the log says once that it went, why, and once that it came back."""
    caplog.set_level(logging.INFO, "sharedsession")
    memcached.hang()
    health = watch(connect(memcached))
    threads = [threading.Thread(target=health.mark_down, args=("n1", "it hangs")) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memcached.resume()
    seconds_until(lambda: "n1" not in health.down)
    health.mark_up("n1")
    assert [record.getMessage() for record in caplog.records] == [
        "memcached node n1 marked down: it hangs (1 so far)",
        "memcached node n1 answers again (1 so far)",
    ]
    assert stats.snapshot() == {"node_down": 1, "node_up": 1}


def test_a_flapping_node_does_not_flood_the_log(watch: Watch, connect: Connect, stats: Stats) -> None:
    """A node that comes and goes is counted each time, and named in the log once in ten seconds, each way."""
    health = watch(connect(free_port()))
    for _ in range(50):
        health.mark_down("n1", "gone")
        health.mark_up("n1")
    assert stats.snapshot() == {"node_down": 50, "node_up": 50}


def test_a_health_that_is_dropped_probes_no_more(connect: Connect, stats: Stats) -> None:
    """A program that drops a middleware while a node is away keeps no thread of it."""
    health = ProbedHealth(probe_by(connect(free_port())), stats)
    health.mark_down("n1", "gone")
    prober = health._prober
    assert prober is not None
    del health
    assert seconds_until(lambda: not prober.is_alive()) < 3


def test_a_suspect_that_answers_stays_up(connect: Connect, memcached: Memcached, watch: Watch, stats: Stats) -> None:
    """A node that was slow once is asked whether it answers, and if it does nothing changes."""
    health = watch(connect(memcached))
    health.suspect("n1")
    assert seconds_until(lambda: health._prober is None) < 2
    assert "n1" not in health.down
    assert stats.snapshot() == {}


def test_a_suspect_that_hangs_is_marked_down(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """A node that holds back an answer nobody waits for any more is found out within the time-out."""
    memcached.hang()
    health = watch(connect(memcached))
    health.suspect("n1")
    assert seconds_until(lambda: "n1" in health.down) < 2
    memcached.resume()
    assert seconds_until(lambda: "n1" not in health.down) < 2


def test_a_node_can_go_down_again_and_again(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """The probe that ended with the first recovery is there again for the next fault."""
    health = watch(connect(memcached))
    for _ in range(3):
        health.mark_down("n1", "a passing fault")
        assert seconds_until(lambda: "n1" not in health.down) < 2


def test_a_thread_that_cannot_start_does_not_leave_the_node_down(
    connect: Connect, memcached: Memcached, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the machine has no thread left for the probe, the next failure starts it: no node stays down for ever."""

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    health = watch(connect(memcached, memcached))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        health.mark_down("n1", "a fault")
    health.mark_down("n2", "another fault")
    assert seconds_until(lambda: "n1" not in health.down and "n2" not in health.down) < 3


def test_a_probe_that_raises_is_not_the_last(stats: Stats) -> None:
    """An unforeseen error in one probe does not end the probing."""
    raised: list[str] = []

    def probe(node: str) -> str:
        if len(raised) < 2:
            raised.append(node)
            raise RuntimeError("unforeseen")
        return ""

    health = ProbedHealth(probe, stats)
    errors: list[object] = []
    previous, threading.excepthook = threading.excepthook, errors.append
    try:
        health.mark_down("n1", "a fault")
        assert seconds_until(lambda: "n1" not in health.down, 3) < 3
    finally:
        threading.excepthook = previous
        health.close()


def test_marking_down_does_not_wait_for_the_probe(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """The probe runs off the request path: a request that meets a hung node is not held up by it."""
    memcached.hang()
    health = watch(connect(memcached, timeout=5))
    start = time.monotonic()
    health.mark_down("n1", "it hangs")
    assert "n1" in health.down
    assert time.monotonic() - start < 1
    memcached.resume()


@FORKS
def test_a_forked_child_probes_by_itself(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """The child of a process whose probe was running brings nodes back by a probe of its own."""
    memcached.hang()
    health = watch(connect(memcached))
    health.mark_down("n1", "it hangs")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            health.mark_down("n1", "it hangs here too")
            code = 0 if "n1" in health.down and seconds_until(lambda: "n1" not in health.down) < 3 else 2
        finally:
            os._exit(code)
    memcached.resume()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seconds_until(lambda: "n1" not in health.down)


@FORKS
def test_a_fork_while_locks_are_held_does_not_hang_the_child(
    connect: Connect, memcached: Memcached, watch: Watch, stats: Stats
) -> None:
    """A child forked while another thread was counting or marking can count and mark."""
    health = watch(connect(memcached))
    with stats._lock, health._lock:
        child = os.fork()
        if child == 0:
            threading.Timer(5, os._exit, (3,)).start()
            health.mark_down("n1", "a fault")
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- in the store ------------------------------------------------------------------------------------------------------


@pytest.fixture
def rig(nodes: list[Memcached]) -> Iterator[Rig]:
    """Return a store over three real nodes, two copies."""
    rig = memcached_rig(nodes)
    yield rig
    rig.close()


def test_nothing_waits_for_a_node_known_to_be_down(rig: Rig) -> None:
    """Requests pay at most a moment until a hung node is found out; from then on all go on as fast as ever."""
    keys = [rig.key(("n1", "n2")) for _ in range(10)]
    for key in keys:
        rig.store.create(key, changes(a=b"1"), 1000)
    rig.servers["n1"].hang()
    assert seconds_until(lambda: bool(rig.store.load(keys[0])) and "n1" in rig.health.down) < 2
    start = time.monotonic()
    for key in keys:
        rig.store.commit(loaded(rig.store.load(key)), changes(b=b"2"))
    assert time.monotonic() - start < 2  # 20 trips; each would take 0.3 s
    rig.servers["n1"].resume()


def test_a_returned_node_is_asked_again_and_repaired(rig: Rig) -> None:
    """After the probe found it well, the node takes part again and the next load gives it its copy back."""
    key = rig.key(("n1", "n2"))
    rig.store.create(key, changes(a=b"1"), 1000)
    rig.servers["n1"].kill()
    loaded(rig.store.load(key))
    rig.servers["n1"].start()
    assert seconds_until(lambda: "n1" not in rig.health.down) < 2
    loaded(rig.store.load(key))
    assert {"n1", "n2"} <= set(rig.remaining(key))


def test_an_answer_brings_a_node_back_before_the_probe_does(rig: Rig) -> None:
    """A node that is marked down, asked as the last resort and answers is up from then on."""
    key = rig.key(("n1", "n2"))
    rig.store.create(key, changes(a=b"1"), 1000)
    for name in ("n1", "n2"):
        rig.health.mark_down(name, "it failed a moment ago")
    assert loaded(rig.store.load(key)).record.live == {"a": b"1"}
    assert "n1" not in rig.health.down


def test_refusals_and_unreadable_values_mark_nobody_down(rig: Rig) -> None:
    """A node that answers is well, whatever it answers."""
    key = rig.key(("n1", "n2"))
    session = rig.store.create(key, changes(a=b"1"), 1000)
    rig.servers["n1"].command(f"ms {key} 7\r\ngarbage".encode())
    with pytest.raises(Exception, match="larger -I"):
        rig.store.commit(session, changes(a=bytes(os.urandom(1_200_000))))
    assert all(name not in rig.health.down for name in rig.servers)
    assert "node_down" not in rig.stats.snapshot()


def test_the_probe_connection_is_good_for_requests(connect: Connect, memcached: Memcached, watch: Watch) -> None:
    """The connection that the probe opened serves requests, or is replaced without a failure when it has idled."""
    transport = connect(memcached)
    health = watch(transport)
    health.mark_down("n1", "a passing fault")
    seconds_until(lambda: "n1" not in health.down)
    memcached.restart()
    answer = transport.ask([("n1", Get("k", 60))])[0]
    assert not isinstance(answer, Failed | Stored)
