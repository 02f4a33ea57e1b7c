"""One server of the demo as a child process, and the pipe to the guard that ends it should we not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Seconds a server may take until it answers.
START_TIMEOUT = 15.0


class StartError(Exception):
    """A server did not come up. The message holds the end of its log."""


class Guard:
    """The pipe to `guard.py`. Closing it ends everything started under it and removes the directory.

    Args:
        directory: where the demo keeps its files; removed at the end.
    """

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("guard.py")), str(directory)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, process_group=0)

    def tell(self, sign: str, group: int) -> None:
        """Say that a process group started ("+") or is gone ("-")."""
        assert self._child.stdin
        self._child.stdin.write(f"{sign}{group}\n")
        self._child.stdin.flush()

    def close(self) -> None:
        """End every process and wait until that is done."""
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait()


class Process:
    """A server on a loopback port that can be started, killed, and started again.

    It gets a process group of its own: Ctrl-C in the terminal reaches the supervisor only, and a kill takes the
    server's workers along, as a machine's death would.

    Args:
        name: what the page calls it.
        command: program and arguments.
        port: where it listens, on 127.0.0.1.
        log: file for its output.
        guard: who ends it if we cannot.
        env: its whole environment; None hands on ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        guard: Guard,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._log = log
        self._guard = guard
        self._env = env
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it accepts connections; do nothing if it runs."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        self._guard.tell("+", self._child.pid)
        wait_until(lambda: not self.running or accepts(self.port), START_TIMEOUT)
        if not self.running or not accepts(self.port):
            raise StartError(f"{self.name} did not start on port {self.port}:\n{self.last_words()}")

    def kill(self) -> None:
        """End it with SIGKILL: no farewell to anyone, as when a machine dies."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self.reap()
        # Its workers die a moment later; until they have, their socket takes connections that nobody will answer.
        wait_until(lambda: not accepts(self.port), START_TIMEOUT)
        self._guard.tell("-", self._child.pid)

    def reap(self) -> None:
        """Wait for its end, which somebody has brought about."""
        if self._child is not None:
            self._child.wait()

    def last_words(self, lines: int = 20) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Ask again and again until the condition holds (True) or the time is over (False)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def accepts(port: int) -> bool:
    """Return whether something accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def free_port(start: int) -> int:
    """Return the first port from `start` on that nobody listens at."""
    for port in range(start, start + 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the servers do: a port whose old connections only linger is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError(f"no free port between {start} and {start + 1000}")
