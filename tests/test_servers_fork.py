"""Processes that fork after they have used the store: plain os.fork, and gunicorn with --preload."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import SOURCE, Memcached, free_port, wait_for_port

#: Searched by the processes started here.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore::DeprecationWarning"}

FORK = """
import os, sys, threading
from sharedsession.memcached.commands import Found, Get, Put
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

transport = MemcachedTransport(
    [NodeConfig(f"n{number}", ("127.0.0.1", int(port))) for number, port in enumerate(sys.argv[1:], 1)], 1, 5
)

def asking(first, rounds):
    for number in range(rounds):
        key = f"k{first + number % 10}"
        for answer in transport.ask([("n1", Get(key, 60)), ("n2", Get(key, 60))]):
            assert isinstance(answer, Found) and answer.value.split()[0] == key.encode(), (key, answer)

for number in range(40):
    for node in ("n1", "n2"):
        transport.ask([(node, Put(f"k{number}", f"k{number} ".encode() * 500, 100, None))])
# Several connections are open, and one thread is in the middle of its asking when the process forks.
busy = threading.Thread(target=asking, args=(30, 400))
busy.start()
children = []
for first in (0, 10, 0):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asking(first, 300)
            code = 0
        finally:
            os._exit(code)
    children.append(child)
asking(20, 300)
busy.join()
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
asking(20, 10)
assert codes == [0, 0, 0], codes
print("right")
"""


def test_parent_and_children_of_a_fork_get_their_own_replies(nodes: list[Memcached]) -> None:
    """After a fork with open connections and busy threads, parent and children go on with the right answers."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, *(str(server.port) for server in nodes[:2])],
        capture_output=True,
        text=True,
        timeout=40,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "right"), done.stderr[-2000:]


FORK_CAS = """
import os, sys
from sharedsession.memcached.commands import Conflict, Found, Get, Put, Stored
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

transport = MemcachedTransport([NodeConfig("n1", ("127.0.0.1", int(sys.argv[1])))], 1, 5)
token = transport.ask([("n1", Put("k", b"0", 100, None))])[0].token
child = os.fork()
answer = transport.ask([("n1", Put("k", b"1", 100, token))])[0]
if child == 0:
    os._exit(0 if isinstance(answer, Conflict) else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(type(answer).__name__, code)
"""


def test_a_child_does_not_use_its_parents_tokens(memcached: Memcached) -> None:
    """What the parent read before the fork is written over by the parent alone; the child must read for itself."""
    done = subprocess.run(
        [sys.executable, "-c", FORK_CAS, str(memcached.port)],
        capture_output=True,
        text=True,
        timeout=20,
        env=ENVIRONMENT,
    )
    assert done.stdout.split() == ["Stored", "0"], done.stderr[-2000:]


PRELOADED = """
import json, os, sys
from werkzeug.test import Client
from sharedsession import SessionMiddleware, get_session

def plain(environ, start_response):
    session = get_session(environ)
    if environ["PATH_INFO"] == "/add":
        session["seen"] = session.get("seen", []) + [environ["QUERY_STRING"]]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "seen": session.get("seen", []), "parent": os.getppid()}).encode()]

app = SessionMiddleware(plain, secret_key="x" * 32, nodes=os.environ["TEST_NODES"], timeout=2)
# The store is used before the fork: its connections are open when the workers come into being.
for number in range(3):
    assert Client(app).get("/add?before").status_code == 200
"""


@pytest.fixture
def gunicorn_port(nodes: list[Memcached], tmp_path: Path) -> Iterator[int]:
    """Serve an application that used its sessions before gunicorn forked two workers."""
    pytest.importorskip("gunicorn")
    (tmp_path / "preloaded.py").write_text(textwrap.dedent(PRELOADED))
    port = free_port()
    options = ["--preload", "--workers", "2", "--threads", "2", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "--log-level", "warning", "preloaded:app"],
        env={**ENVIRONMENT, "TEST_NODES": " ".join(server.node for server in nodes)},
        cwd=tmp_path,
    )
    try:
        wait_for_port(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


class Browser:
    """A client with one cookie, on a new connection each time so that any worker may serve it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""
        #: Workers that served it.
        self.workers: set[int] = set()

    def get(self, path: str) -> list[str]:
        """Ask; return what the session has seen so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", path, headers={"Cookie": self._cookie} if self._cookie else {})
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        assert response.status == 200
        self._cookie = (response.getheader("Set-Cookie") or self._cookie).partition(";")[0]
        self.workers.add(body["pid"])
        seen: list[str] = body["seen"]
        return seen


def test_gunicorn_with_preload(gunicorn_port: int) -> None:
    """Two workers forked from a process that had used the store share their clients' sessions, and mix up nothing."""
    browsers = [Browser(gunicorn_port) for _ in range(6)]
    for step in range(8):
        for number, browser in enumerate(browsers):
            browser.get(f"/add?{number}.{step}")
    for number, browser in enumerate(browsers):
        assert browser.get("/") == [f"{number}.{step}" for step in range(8)]
    workers = set().union(*(browser.workers for browser in browsers))
    deadline = time.monotonic() + 10
    while len(workers) < 2 and time.monotonic() < deadline:
        browsers[0].get("/")
        workers |= browsers[0].workers
    assert len(workers) == 2
