"""The lock over real servers: plain increments through several processes are exact, whatever dies meanwhile."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from appnodes import running
from servers import Memcached, free_port

CLIENTS = 20
EACH = 50
#: Seconds that anything may take on a machine that is busy.
LONG = 120

APP = """
import os, time
from pathlib import Path
from sharedsession import SessionMiddleware, get_session

def wait_for(name):
    deadline = time.monotonic() + 60
    while not Path(name).exists() and time.monotonic() < deadline:
        time.sleep(0.02)

def app(environ, start_response):
    session = get_session(environ)
    path = environ["PATH_INFO"]
    n = session.get("n", 0)
    if path == "/hold":
        # In one step, so that whoever sees the file can read it.
        Path("pid.new").write_text(str(os.getpid()))
        os.replace("pid.new", "pid")
        wait_for("go")
    if environ["REQUEST_METHOD"] == "POST":
        session["n"] = n + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(session.get("n")).encode()]

application = SessionMiddleware(app, locking="writes", lock_timeout=30)
"""


class Answer(NamedTuple):
    """What a client got."""

    status: int
    text: str
    retry_after: str | None
    cookie: str


def ask(port: int, method: str, path: str = "/", cookie: str = "") -> Answer:
    """Ask on a connection of its own, so that any worker serves."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    try:
        connection.request(method, path, headers={"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        set_cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
        return Answer(response.status, response.read().decode(), response.getheader("Retry-After"), set_cookie)
    finally:
        connection.close()


GUNICORN = [sys.executable, "-m", "gunicorn", "--timeout=120", "--log-level=critical"]
THREADS = [*GUNICORN, "--worker-class=gthread", f"--threads={CLIENTS}"]


@contextmanager
def serving(folder: Path, nodes: list[Memcached], command: list[str]) -> Iterator[list[int]]:
    """Run the application on two ports until the block ends."""
    (folder / "counter.py").write_text(APP)
    ports = [free_port(), free_port()]
    with running(
        {port: [*command, f"--bind=127.0.0.1:{port}", "counter:application"] for port in ports}, folder, nodes
    ):
        yield ports


@pytest.fixture
def ports(tmp_path: Path, nodes: list[Memcached]) -> Iterator[list[int]]:
    """Return the ports of two gunicorn processes with threads, over three memcached nodes."""
    with serving(tmp_path, nodes, THREADS) as found:
        yield found


def count_up(ports: list[int], each: int, half_way: Callable[[], None] = lambda: None) -> str:
    """Let all clients add to one session's number, as often as they are told 200; return its cookie."""
    cookie = ask(ports[0], "POST").cookie
    start, done = threading.Barrier(CLIENTS), [0] * CLIENTS

    def add(number: int) -> None:
        start.wait(LONG)
        deadline = time.monotonic() + LONG
        while done[number] < each and time.monotonic() < deadline:
            answer = ask(ports[(number + done[number]) % 2], "POST", cookie=cookie)
            assert answer.status in (200, 503), answer
            assert answer.status == 200 or answer.retry_after is not None
            done[number] += answer.status == 200
            if number == 0 and done[number] == each // 2:
                half_way()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(add, range(CLIENTS)))
    assert done == [each] * CLIENTS
    return cookie


def numbers(ports: list[int], cookie: str) -> list[int]:
    """Return the number as each process sees it."""
    return [int(ask(port, "GET", cookie=cookie).text) for port in ports]


def test_a_thousand_plain_increments_count_to_a_thousand(ports: list[int]) -> None:
    """Twenty clients with fifty plain increments each, through two processes, count to exactly 1,000."""
    cookie = count_up(ports, EACH)
    assert numbers(ports, cookie) == [1 + CLIENTS * EACH] * 2


def test_none_is_lost_when_a_node_dies_half_way(ports: list[int], nodes: list[Memcached]) -> None:
    """The same when a node that holds the session is killed half way, and does not come back."""

    def kill_one() -> None:
        if all(node.running for node in nodes):
            max(nodes, key=lambda node: node.stats()["cmd_set"]).kill()

    cookie = count_up(ports, EACH, kill_one)
    assert [node.running for node in nodes].count(False) == 1
    assert numbers(ports, cookie) == [1 + CLIENTS * EACH] * 2


@pytest.mark.parametrize(
    "command",
    [
        [*GUNICORN, "--worker-class=gevent"],
        [*GUNICORN, "--worker-class=gthread", "--threads=5", "--workers=2", "--preload"],
    ],
    ids=["gevent", "preload"],
)
def test_increments_are_exact_on_other_workers(tmp_path: Path, nodes: list[Memcached], command: list[str]) -> None:
    """Greenlets in place of threads, and workers forked from a loaded application, wait for each other as well."""
    with serving(tmp_path, nodes, command) as ports:
        cookie = count_up(ports, 5)
        assert numbers(ports, cookie) == [1 + CLIENTS * 5] * 2


def start_holding(ports: list[int], folder: Path, pool: ThreadPoolExecutor) -> tuple[str, int, Future[Answer]]:
    """Begin a request that has the lock and waits; return the cookie, the worker's process id, and the answer to be."""
    cookie = ask(ports[0], "POST").cookie
    held = pool.submit(ask, ports[0], "POST", "/hold", cookie)
    deadline = time.monotonic() + LONG
    while not (folder / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return cookie, int((folder / "pid").read_text()), held


def test_only_writers_wait(ports: list[int], tmp_path: Path) -> None:
    """While a POST has the session, a GET of another process is served at once, and a POST when the first is done."""
    with ThreadPoolExecutor(2) as pool:
        cookie, _, held = start_holding(ports, tmp_path, pool)
        assert ask(ports[1], "GET", cookie=cookie).text == "1"
        second = pool.submit(ask, ports[1], "POST", "/", cookie)
        assert ask(ports[1], "GET", cookie=cookie).text == "1"
        assert not second.done()
        (tmp_path / "go").touch()
        assert (held.result(LONG).text, second.result(LONG).text) == ("2", "3")


def test_a_killed_holder_frees_the_session(ports: list[int], tmp_path: Path) -> None:
    """When the process of a request that has the lock is killed (SIGKILL), the next request gets it."""
    with ThreadPoolExecutor(1) as pool:
        cookie, pid, held = start_holding(ports, tmp_path, pool)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            held.result(LONG)
        assert ask(ports[1], "POST", cookie=cookie)[:2] == (200, "2")


def test_a_holder_that_was_stopped_has_lost_it(ports: list[int], tmp_path: Path) -> None:
    """A process that gets no time (SIGSTOP) for longer than the lease loses the lock: what it had read is not saved."""
    with ThreadPoolExecutor(1) as pool:
        cookie, pid, held = start_holding(ports, tmp_path, pool)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert ask(ports[1], "POST", cookie=cookie)[:2] == (200, "2")
        finally:
            (tmp_path / "go").touch()
            os.kill(pid, signal.SIGCONT)
        lost = held.result(LONG)
        assert (lost.status, lost.retry_after) == (503, "2")
        assert numbers(ports, cookie) == [2, 2]
        assert ask(ports[0], "POST", cookie=cookie)[:2] == (200, "3")
