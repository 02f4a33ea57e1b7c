"""The whole demo as one object: three memcached nodes, two application nodes, nginx, and their end."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from . import balancer, control
from .process import Guard, Process, StartError, free_port

_ROOT = Path(__file__).parents[2]
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"])

NODES = ("n1", "n2", "n3")
APPS = ("web1", "web2")


class Cluster:
    """Every process of the demo. Use it as a context manager: inside it runs, after it nothing does.

    Args:
        port: where the balancer listens for the browser; the next free one if it is taken.
        first_port: from where on the other servers look for ports. Keep it below the range from which the system
            takes ports for outgoing connections (Linux: 32768), or one may sit on a dead node's port.
    """

    def __init__(self, port: int = 8080, first_port: int = 21211) -> None:
        self.secret_key = secrets.token_hex(32)
        self.control_token = secrets.token_hex(16)
        self.directory = Path(tempfile.mkdtemp(prefix="sharedsession-demo-"))
        self.directory.chmod(0o711)  # nginx's workers pass through; only we list it
        self._guard = Guard(self.directory)
        self._next_port = first_port
        self.nodes = {name: self._memcached(name) for name in NODES}
        self.apps = {name: self._application(name) for name in APPS}
        self.port = free_port(port)
        #: What comes in here is told to the application as https, as a balancer that ends TLS would.
        self.https_port = self._port()
        self.balancer = self._nginx()
        self._control = control.Server(self, self.directory / "control")

    def __enter__(self) -> Self:
        try:
            for process in (*self.nodes.values(), *self.apps.values(), self.balancer):
                process.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every file."""
        self._control.close()
        self._guard.close()
        for process in (*self.processes.values(), self.balancer):
            process.reap()

    @property
    def processes(self) -> dict[str, Process]:
        """The processes that may be killed, by name."""
        return {**self.nodes, **self.apps}

    def restart(self, name: str) -> None:
        """Start it anew, killed before or not; memcached comes back empty."""
        self.processes[name].kill()
        self.processes[name].start()

    def heal(self) -> None:
        """Start whatever does not run."""
        for process in self.processes.values():
            process.start()

    def _port(self) -> int:
        port = free_port(self._next_port)
        self._next_port = port + 1
        return port

    def _process(self, name: str, port: int, *command: str, env: dict[str, str] | None = None) -> Process:
        program = shutil.which(command[0], path=_PATH)
        if program is None:
            raise StartError(f"{command[0]} is not installed")
        log = self.directory / f"{name}.log"
        return Process(name, [program, *command[1:]], port=port, log=log, guard=self._guard, env=env)

    def _memcached(self, name: str) -> Process:
        port = self._port()
        # Started by root, memcached insists on being told whom to become.
        user = ("-u", "nobody") if os.getuid() == 0 else ()
        return self._process(name, port, "memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "32", *user)

    def _application(self, name: str) -> Process:
        port = self._port()
        options = ["--worker-class", "gthread", "--threads", "8", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
        target = f"{__package__}.app:application"
        command = [sys.executable, "-m", "gunicorn", "--chdir", str(_ROOT), *options, target]
        return self._process(name, port, *command, env=self._environment(name))

    def _environment(self, name: str) -> dict[str, str]:
        foreign = ("SHAREDSESSION_", "GUNICORN_", "FLASK_")
        return {key: value for key, value in os.environ.items() if not key.startswith(foreign)} | {
            "SHAREDSESSION_NODES": " ".join(f"{node.name}:127.0.0.1:{node.port}" for node in self.nodes.values()),
            "SHAREDSESSION_SECRET_KEY": self.secret_key,
            "SHAREDSESSION_ROUTE": name,
            "SHAREDSESSION_TRUSTED_PROXIES": "1",
            "SHAREDSESSION_TRACKING": "cookie,url,form",
            # Here a node is killed, which is refused at once, and never hangs; but this one busy machine may.
            "SHAREDSESSION_CONNECT_TIMEOUT": "5",
            "SHAREDSESSION_TIMEOUT": "5",
            **control.environment(self.directory / "control", self.control_token),
        }

    def _nginx(self) -> Process:
        listeners = {self.port: "http", self.https_port: "https"}
        text = balancer.configuration(self.directory, listeners, [app.port for app in self.apps.values()])
        file = self.directory / "nginx.conf"
        file.write_text(text)
        return self._process("nginx", self.port, "nginx", "-p", str(self.directory), "-c", str(file))
