"""How the page kills and restarts processes: it asks the supervisor over a Unix socket, with the token of this run."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import socketserver
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import Cluster

_SOCKET, _TOKEN = "DEMO_CONTROL_SOCKET", "DEMO_CONTROL_TOKEN"
#: Seconds an application node lives on after its death was asked for, so that its answer to the browser gets out.
_REPRIEVE = 0.2


class ControlError(Exception):
    """The supervisor refused or cannot be reached."""


def environment(path: Path, token: str) -> dict[str, str]:
    """Return the variables by which an application node finds its supervisor."""
    return {_SOCKET: str(path), _TOKEN: token}


class Supervisor:
    """The application's end of the socket."""

    def __init__(self) -> None:
        self._path = os.environ.get(_SOCKET, "")
        self.token = os.environ.get(_TOKEN, "")

    def running(self) -> dict[str, bool]:
        """Return which processes run, after whatever was asked for before has happened."""
        return {name: bool(runs) for name, runs in self._ask("status").items()}

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        self._ask("kill", name)

    def restart(self, name: str) -> None:
        """Start a process anew."""
        self._ask("restart", name)

    def _ask(self, action: str, name: str = "") -> dict[str, Any]:
        line = json.dumps({"token": self.token, "action": action, "name": name}) + "\n"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                connection.connect(self._path)
                connection.sendall(line.encode())
                answer = json.loads(connection.makefile().readline())
        except (OSError, ValueError) as error:
            raise ControlError("the demo's supervisor does not answer") from error
        if "error" in answer:
            raise ControlError(answer["error"])
        return dict(answer)


class Server:
    """The supervisor's end: a thread that listens, and one that acts, in the order asked.

    Args:
        cluster: what it may kill.
        path: where the Unix socket is made, in a directory of our own.
    """

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self._cluster = cluster
        self._hands = ThreadPoolExecutor(1)
        self._socket = _SocketServer(str(path), self.answer)
        threading.Thread(target=self._socket.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and finish what was begun."""
        self._socket.shutdown()
        self._socket.server_close()
        self._hands.shutdown(cancel_futures=True)

    def answer(self, request: dict[str, str]) -> dict[str, Any]:
        """Do what a request asks, or say why not."""
        if not hmac.compare_digest(request.get("token", ""), self._cluster.control_token):
            return {"error": "wrong token"}
        name, action = request.get("name", ""), request.get("action", "")
        if action == "status":
            return self._hands.submit(self._status).result()
        if name not in self._cluster.processes or action not in ("kill", "restart"):
            return {"error": f"no such thing: {action} {name}"}
        done = self._hands.submit(self._act, action, name)
        return self._promise(done, name)

    def _promise(self, done: Future[None], name: str) -> dict[str, Any]:
        # An application node that asks for its own death cannot wait for it. `status` can, and does: one thread acts.
        if name not in self._cluster.apps:
            done.result()
        return {}

    def _status(self) -> dict[str, bool]:
        return {name: process.running for name, process in self._cluster.processes.items()}

    def _act(self, action: str, name: str) -> None:
        if name in self._cluster.apps:
            time.sleep(_REPRIEVE)
        if action == "kill":
            self._cluster.processes[name].kill()
        else:
            self._cluster.restart(name)


class _SocketServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, answer: Any) -> None:
        self.answer = answer
        super().__init__(path, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a killed application node hangs up in the middle."""


class _Handler(socketserver.StreamRequestHandler):
    server: _SocketServer

    def handle(self) -> None:
        """Read one line, answer with one."""
        request = json.loads(self.rfile.readline(4096))
        answer = self.server.answer(request)
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")
