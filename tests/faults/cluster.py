"""The processes of a test: application processes, memcached nodes, and a proxy between each two of them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers import SOURCE, Memcached, free_port, wait_for_port

from .kinds import NOTHING, Fault, Refuse
from .proxy import Link, Proxies

#: Threads of each application process.
THREADS = 24
#: Seconds until a node that answers again must be in use; generous, for a busy machine. What it took is reported.
PATIENCE = 20.0
_TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Layout:
    """What a cluster consists of."""

    #: Number of memcached nodes.
    nodes: int = 3
    #: Number of application processes.
    apps: int = 2
    #: memcached's options, for all nodes.
    options: tuple[str, ...] = ()
    #: Node name -> options of that node.
    own_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Application process -> environment variables.
    environ: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    #: Application process -> numbers (from 0) of the nodes on its list; the others have all.
    lists: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    #: The middleware waits long for an answer: a busy machine must not look like a second fault.
    patient: bool = False
    #: gunicorn's worker class.
    worker: str = "gthread"
    #: Further options of gunicorn.
    gunicorn: tuple[str, ...] = ()


class App:
    """One application process: gunicorn with one worker.

    Args:
        number: its number, from 0.
        links: the ways to the nodes on its list: node name -> link.
        layout: how it is served.
    """

    def __init__(self, number: int, links: dict[str, Link], layout: Layout) -> None:
        self.number = number
        self.port = free_port()
        #: Its ways to the nodes.
        self.links = links
        command = [sys.executable, "-m", "gunicorn", f"--worker-class={layout.worker}", f"--threads={THREADS}"]
        command += [f"--bind=127.0.0.1:{self.port}", "--log-level=critical", "--no-control-socket", "--keep-alive=60"]
        command += [*layout.gunicorn, "faults.app:application"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by wait()
        self._process = subprocess.Popen(command, env=self._environ(layout), stderr=self._log)

    def _environ(self, layout: Layout) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(_TESTS)]),
            "SHAREDSESSION_NODES": " ".join(f"{name}:127.0.0.1:{link.port}" for name, link in self.links.items()),
            **({"SHAREDSESSION_TIMEOUT": "5", "SHAREDSESSION_CONNECT_TIMEOUT": "5"} if layout.patient else {}),
            **layout.environ.get(self.number, {}),
        }

    def ask(self, path: str) -> Any:
        """Return what one of the operator's pages says; asks again when a worker was killed that had the question."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise

    def _ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/-/{path}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def kill_worker(self) -> None:
        """End the worker at once (SIGKILL); gunicorn starts another."""
        os.kill(self.ask("process")["pid"], signal.SIGKILL)

    def log(self) -> list[str]:
        """Return the lines it has logged so far."""
        return os.pread(self._log.fileno(), 10_000_000, 0).decode(errors="replace").splitlines()

    def stop(self) -> None:
        """Tell it to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Cluster:
    """Everything that runs; use it in a `with` statement."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._proxies = Proxies()
        self.nodes: list[Memcached] = []
        self.apps: list[App] = []
        #: Nothing is broken: False while a scenario plays, and after one that failed half way.
        self.whole = True
        #: The application processes that a client may be sent to.
        self.serving: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        layout = self.layout
        for number in range(layout.nodes):
            name = f"n{number + 1}"
            self.nodes.append(Memcached(name, (*layout.options, *layout.own_options.get(name, ()))))
        for number in range(layout.apps):
            listed = [self.nodes[index] for index in layout.lists.get(number, range(layout.nodes))]
            links = {node.name: self._proxies.link(node.port) for node in listed}
            self.apps.append(App(number, links, layout))
        for app in self.apps:
            wait_for_port(app.port, 30)
        self.serving = tuple(range(layout.apps))

    def close(self) -> None:
        """End every process and proxy."""
        for app in self.apps:
            app.stop()
        for app in self.apps:
            app.wait()
        for node in self.nodes:
            node.kill()
        self._proxies.close()

    # -- faults ----------------------------------------------------------------------------------------------------

    def links(self, node: int, apps: Iterable[int] | None = None) -> list[Link]:
        """Return the ways to a node, from some of the application processes or all."""
        name = self.nodes[node].name
        chosen = self.apps if apps is None else [self.apps[number] for number in apps]
        return [app.links[name] for app in chosen if name in app.links]

    def disturb(self, node: int, fault: Fault, apps: Sequence[int] | None = None) -> None:
        """Let the ways to a node misbehave."""
        for link in self.links(node, apps):
            link.set(fault)

    def kill(self, node: int) -> None:
        """Kill a node (SIGKILL): its connections break, new ones are refused, its data is gone."""
        self.nodes[node].kill()
        self.disturb(node, Refuse())

    def start(self, node: int) -> None:
        """Start a node that was killed; it is empty."""
        self.nodes[node].start()
        self.disturb(node, NOTHING)

    def heal(self) -> None:
        """End every fault of a way."""
        for app in self.apps:
            for link in app.links.values():
                if link.fault is not NOTHING:
                    link.set(NOTHING)

    # -- what is known of it ---------------------------------------------------------------------------------------

    def down(self) -> list[str]:
        """Return "process: node" for every node that a process marks down."""
        return [f"{app.number}: {name}" for app in self.apps for name, up in app.ask("health").items() if not up]

    def log(self) -> list[str]:
        """Return what all processes have logged so far, each line with the number of its process."""
        return [f"{app.number}: {line}" for app in self.apps for line in app.log()]

    def wait_until_up(self) -> float:
        """Wait until no process marks a node down; return the seconds that took."""
        begun = time.monotonic()
        while marked := self.down():
            if time.monotonic() - begun > PATIENCE:
                raise TimeoutError(f"still marked down: {marked}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def wait_until_down(self, node: int) -> None:
        """Wait until every process that serves clients marks the node down."""
        wanted = {f"{number}: {self.nodes[node].name}" for number in self.serving}
        begun = time.monotonic()
        while not wanted <= set(self.down()):
            if time.monotonic() - begun > PATIENCE:
                raise TimeoutError("not marked down by all")
            time.sleep(0.02)

    def stats(self) -> dict[str, int]:
        """Return the counters of all processes together."""
        total: dict[str, int] = {}
        for app in self.apps:
            for name, count in app.ask("stats").items():
                total[name] = total.get(name, 0) + count
        return total
