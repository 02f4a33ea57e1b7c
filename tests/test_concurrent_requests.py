"""Many clients at once, on one session, through two gunicorn processes over real memcached: nothing is lost."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import SOURCE, Memcached, free_port, wait_for_port

#: There is time enough for everything: what is lost is lost (see `standstill`).
pytestmark = pytest.mark.flaky(reruns=0)

CLIENTS = 20
EACH = 50

APP = """
import flask
from sharedsession.flask import SharedSession

app = flask.Flask("counter")
app.secret_key = "a secret that both servers know"
SharedSession(app)

def count(session):
    session["n"] = session.get("n", 0) + 1
    return session["n"]

@app.post("/count")
def transaction():
    return {"n": flask.session.transaction(count)}

@app.post("/set/<name>")
def put(name):
    flask.session[name] = name
    return {}

@app.get("/")
def show():
    return dict(flask.session)
"""


@pytest.fixture
def ports(tmp_path: Path, nodes: list[Memcached]) -> Iterator[list[int]]:
    """Return the ports of two gunicorn processes, each with threads, over three memcached nodes."""
    (tmp_path / "counter.py").write_text(APP)
    found = [free_port(), free_port()]
    running = [serve(port, tmp_path, nodes) for port in found]
    try:
        for port in found:
            wait_for_port(port)
        yield found
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def serve(port: int, folder: Path, nodes: list[Memcached]) -> subprocess.Popen[bytes]:
    """Start an application process."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--worker-class=gthread",
        f"--threads={CLIENTS}",
        "--log-level=critical",
    ]
    command += [f"--bind=127.0.0.1:{port}", "--no-control-socket", "counter:app"]
    environ = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "SHAREDSESSION_NODES": " ".join(node.node for node in nodes),
        # Nodes are killed here, which needs no time-out; two that are slow at the same time would be two faults.
        "SHAREDSESSION_CONNECT_TIMEOUT": "30",
        "SHAREDSESSION_TIMEOUT": "30",
    }
    return subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.DEVNULL)


class Client:
    """One client of the session, asking both processes in turn over connections of its own."""

    def __init__(self, ports: list[int], cookie: str, first: int = 0) -> None:
        self._ports = ports
        self._cookie = cookie
        self._turn = first

    def ask(self, method: str, path: str) -> tuple[int, bytes, str]:
        """Return status, body and Set-Cookie of one request."""
        self._turn += 1
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[self._turn % 2], timeout=120)
        try:
            connection.request(method, path, headers={"Cookie": self._cookie})
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("Set-Cookie") or ""
        finally:
            connection.close()


def new_session(ports: list[int]) -> str:
    """Return the cookie of a new session."""
    return Client(ports, "").ask("POST", "/set/first")[2].partition(";")[0]


def at_once(work: Callable[[int], None]) -> None:
    """Run `work(number)` for every client at the same time."""
    start = threading.Barrier(CLIENTS)

    def run(number: int) -> None:
        start.wait(30)
        work(number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))


def stored(ports: list[int], cookie: str) -> dict[str, object]:
    """Return the session as both processes see it."""
    seen = [json.loads(Client(ports, cookie, first).ask("GET", "/")[1]) for first in (0, 1)]
    assert seen[0] == seen[1]
    attributes: dict[str, object] = seen[0]
    return attributes


def test_a_thousand_transactions_count_to_a_thousand(ports: list[int]) -> None:
    """Twenty clients with fifty increments each, through both processes, count to exactly 1,000."""
    cookie = new_session(ports)

    def count(number: int) -> None:
        client = Client(ports, cookie, number)
        for _ in range(EACH):
            assert client.ask("POST", "/count")[0] == 200

    at_once(count)
    assert stored(ports, cookie) == {"first": "first", "n": CLIENTS * EACH}


def test_a_thousand_writers_of_their_own_key_are_all_there(ports: list[int]) -> None:
    """A thousand plain writes of distinct keys, twenty at a time through both processes, all survive."""
    cookie = new_session(ports)

    def write(number: int) -> None:
        client = Client(ports, cookie, number)
        for index in range(EACH):
            assert client.ask("POST", f"/set/k{number}-{index}")[0] == 200

    at_once(write)
    names = {f"k{number}-{index}" for number in range(CLIENTS) for index in range(EACH)}
    assert stored(ports, cookie).keys() == {"first", *names}


def test_counting_goes_on_exactly_while_a_node_dies_and_returns_empty(ports: list[int], nodes: list[Memcached]) -> None:
    """Every acknowledged increment counts exactly once while a node is killed and comes back empty."""
    cookie = new_session(ports)
    acknowledged: list[int] = []
    failed: list[int] = []

    def count(number: int) -> None:
        client = Client(ports, cookie, number)
        for index in range(EACH):
            if number == 0 and index in (10, 30):
                nodes[0].kill()
                time.sleep(0.3)
                nodes[0].start()
            status = client.ask("POST", "/count")[0]
            (acknowledged if status == 200 else failed).append(status)

    at_once(count)
    assert failed == []
    assert stored(ports, cookie)["n"] == len(acknowledged) == CLIENTS * EACH
