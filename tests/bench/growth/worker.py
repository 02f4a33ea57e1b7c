"""CPU of a gunicorn worker for each request: the server, the application and its sessions."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers import Memcached, free_port, wait_for_port

from ..contenders import BASES, TITLES
from ..figures import SAME, SPLIT, Spread
from ..payloads import WITH_COOKIE
from ..process import ROOT, contenders_python
from ..timing import cores, start_servers
from .meter import pinned, spread, table

CONTENDERS = ("sharedsession-1", "sharedsession-2", "flask-session", "django-sliding")
KINDS = ("untouched", "read", "change")
_REQUESTS = 600
_ROUNDS = 5
_TICK = 1e6 / os.sysconf("SC_CLK_TCK")


def measure() -> list[str]:
    """Return the section."""
    names = (*dict.fromkeys(BASES[name] for name in CONTENDERS), *CONTENDERS)
    with ExitStack() as stack:
        servers = start_servers(stack, cores()[SAME])
        workers = {name: stack.enter_context(Worker(name, servers).running()) for name in names}
        stack.enter_context(pinned(cores().get(SPLIT, cores()[SAME])))
        found = _rounds(workers)
    return _section(found)


def _rounds(workers: Mapping[str, Worker]) -> dict[tuple[str, str], Spread]:
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(_ROUNDS):
        for kind in KINDS:
            for name, worker in workers.items():
                if kind == "untouched" or name in BASES:
                    times.setdefault((name, kind), []).append(worker.serve(kind))
    return {cell: spread(each) for cell, each in times.items()}


def _section(found: dict[tuple[str, str], Spread]) -> list[str]:
    rows = []
    for name in CONTENDERS:
        base = found[BASES[name], "untouched"].middle
        rows.append((TITLES[name], f"{base:.0f}", *(_cell(found[name, kind], base) for kind in KINDS)))
    columns = ("", "its application without sessions", *KINDS)
    return [
        "## Behind a server",
        "",
        "Microseconds of a gunicorn worker's CPU a request, user and system (`/proc/<pid>/stat`): one worker with one",
        "thread (`gthread`, as the `sync` kind closes every connection), pinned to memcached's core; the client, which",
        f"keeps its connection, is on the other. Median and quartiles of {_ROUNDS} rounds of {_REQUESTS} requests, all",
        "in turn; after +: what the session adds, the system's part of talking with memcached included.",
        "",
        *table(columns, rows),
    ]


def _cell(found: Spread, base: float) -> str:
    return f"{found.middle:.0f} ({found.low:.0f} to {found.high:.0f}), +{found.middle - base:.0f}"


class Worker:
    """A gunicorn with one worker that runs a contender, and a client with one connection.

    Args:
        name: the contender.
        servers: memcached nodes.
    """

    def __init__(self, name: str, servers: Sequence[Memcached]) -> None:
        self._name = name
        self._ports = [server.port for server in servers]
        self._port = free_port()
        self._pid = 0
        #: Sent by all, so that the server parses the same.
        self._cookie = f"JSESSIONID={'0' * 64}"
        self._client: http.client.HTTPConnection

    @contextmanager
    def running(self) -> Iterator[Worker]:
        """Run it, pinned to the client's core of one-core measurements."""
        with pinned(cores()[SAME]):
            process = self._start()
        try:
            wait_for_port(self._port, 30)
            self._pid = _child_of(process.pid)
            self._client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            if self._name in BASES:
                self._cookie = self._ask("create").partition(";")[0]
            self.serve("untouched")
            yield self
        finally:
            process.terminate()
            process.wait(30)

    def _start(self) -> subprocess.Popen[bytes]:
        application = f"bench.contenders:build({self._name!r}, {self._ports})"
        options = ["-k", "gthread", "--threads", "1", "--keep-alive", "60", "-b", f"127.0.0.1:{self._port}"]
        environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
        command = [contenders_python(), "-m", "gunicorn", *options, "--log-level", "error", application]
        return subprocess.Popen(command, env=environ, cwd=ROOT, stdout=sys.stderr)

    def serve(self, kind: str) -> float:
        """Make many requests; return the worker's microseconds of CPU for each."""
        before = self._ticks()
        for _ in range(_REQUESTS):
            self._ask(kind)
        return (self._ticks() - before) * _TICK / _REQUESTS

    def _ask(self, kind: str) -> str:
        headers = {"Cookie": self._cookie} if kind in WITH_COOKIE else {}
        self._client.request("GET", f"/{kind}/small", headers=headers)
        response = self._client.getresponse()
        body = response.read()
        if response.status != 200 or body == b"None":
            raise RuntimeError(f"{self._name} answers {response.status} {body[:50]!r} to {kind}")
        return response.headers.get("Set-Cookie", "")

    def _ticks(self) -> int:
        # After the name, which may hold spaces: utime and stime are fields 14 and 15 (proc(5)).
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def _child_of(pid: int) -> int:
    """Return the worker of a gunicorn."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.05)
    raise RuntimeError("gunicorn has started no worker")
