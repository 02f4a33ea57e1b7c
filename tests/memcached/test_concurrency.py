"""Many at once on one transport: threads, greenlets, forks. Every reply belongs to its request."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Memcached, connections

from sharedsession.memcached.commands import Conflict, Found, Get, Put, Stored
from sharedsession.memcached.transport import MemcachedTransport

Connect = Callable[..., MemcachedTransport]

TESTS = Path(__file__).parents[1]
THREADS = 12


def fill(transport: MemcachedTransport, keys: int) -> None:
    """Store values that carry their key and node, of very different lengths."""
    for number in range(keys):
        for node in ("n1", "n2"):
            data = f"{node} k{number} ".encode() * (1 + number * number % 700)
            assert isinstance(transport.ask([(node, Put(f"k{number}", data, 100, None))])[0], Stored)


def run_threads(work: Callable[[int], object]) -> None:
    """Run `work(number)` in several threads; fail when one of them raised."""
    problems: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    if problems:
        raise problems[0]


def test_threads_get_their_own_replies(connect: Connect, nodes: list[Memcached]) -> None:
    """Twelve threads on one transport, asking two nodes at a time: every value belongs to its key and node."""
    transport = connect(*nodes, timeout=5)
    fill(transport, 40)

    def work(number: int) -> None:
        choose = random.Random(number)
        for _ in range(150):
            asked = [("n1", f"k{choose.randrange(40)}"), ("n2", f"k{choose.randrange(40)}")]
            for (node, key), answer in zip(asked, transport.ask([(n, Get(k, 60)) for n, k in asked]), strict=True):
                assert isinstance(answer, Found), answer
                assert set(answer.value.split()[:4]) == {node.encode(), key.encode()}

    run_threads(work)


def test_threads_need_no_more_connections_than_there_are_threads(connect: Connect, memcached: Memcached) -> None:
    """Connections are used again: as many are open as were ever needed at the same time, not one for each command."""
    transport = connect(memcached, timeout=5)
    before = connections(memcached)
    run_threads(lambda _: [transport.ask([("n1", Get("k", 60))]) for _ in range(50)])
    assert connections(memcached) - before <= THREADS


def test_compare_and_swap_by_threads_loses_nothing(connect: Connect, memcached: Memcached) -> None:
    """A counter that twelve threads raise by compare-and-swap on one transport is exact."""
    transport = connect(memcached, timeout=5)
    transport.ask([("n1", Put("n", b"0", 100, None))])

    def work(_: int) -> None:
        done = 0
        while done < 20:
            found = transport.ask([("n1", Get("n", None))])[0]
            assert isinstance(found, Found)
            put = Put("n", b"%d" % (int(found.value) + 1), 100, found.token)
            answer = transport.ask([("n1", put)])[0]
            assert isinstance(answer, Stored | Conflict)
            done += isinstance(answer, Stored)

    run_threads(work)
    found = transport.ask([("n1", Get("n", None))])[0]
    assert isinstance(found, Found)
    assert int(found.value) == THREADS * 20


GEVENT = """
from gevent import monkey; monkey.patch_all()
import random, sys
import gevent
from sharedsession.memcached.commands import Found, Get, Put
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

transport = MemcachedTransport(
    [NodeConfig(f"n{number}", ("127.0.0.1", int(port))) for number, port in enumerate(sys.argv[1:], 1)], 1, 5
)
for number in range(30):
    for node in ("n1", "n2"):
        transport.ask([(node, Put(f"k{number}", f"{node} k{number} ".encode() * (1 + number ** 3 % 9000), 100, None))])
cut = 0

def work(seed):
    global cut
    choose = random.Random(seed)
    for _ in range(60):
        asked = [("n1", f"k{choose.randrange(30)}"), ("n2", f"k{choose.randrange(30)}")]
        timeout = gevent.Timeout.start_new(choose.choice([0, choose.uniform(0, 0.002), 5]))
        try:
            answers = transport.ask([(node, Get(key, 60)) for node, key in asked])
        except gevent.Timeout:
            cut += 1
            continue
        finally:
            timeout.close()
        for (node, key), answer in zip(asked, answers):
            assert isinstance(answer, Found), answer
            assert answer.value.split()[:2] == [node.encode(), key.encode()], (node, key, answer.value[:40])

jobs = [gevent.spawn(work, seed) for seed in range(20)]
gevent.joinall(jobs, raise_error=True, timeout=40)
assert all(job.successful() for job in jobs)
print("right", cut)
"""


def test_greenlets_get_their_own_replies_although_time_outs_strike_in_mid_reply(nodes: list[Memcached]) -> None:
    """Twenty greenlets, many of them torn out of `ask` by gevent.Timeout: no reply ever reaches another request."""
    pytest.importorskip("gevent")
    ports = [str(server.port) for server in nodes[:2]]
    done = subprocess.run(
        [sys.executable, "-c", GEVENT, *ports], capture_output=True, text=True, timeout=60, cwd=TESTS.parent / "src"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    verdict, cut = done.stdout.split()
    assert verdict == "right"
    assert int(cut) > 10  # or this test shows nothing
