"""Real servers for tests: started on free loopback ports, stopped by their own process id."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sharedsession

START_TIMEOUT = 10.0
#: What processes of the tests import this library from: what the tests do.
SOURCE = Path(sharedsession.__file__).parents[1]


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on.

    It is none that the kernel gives to connections (32768 and above on Linux): a server that is killed must find its
    port free when it starts again, and nobody who tries to reach it meanwhile may be connected with himself.
    """
    while True:
        port = 10000 + secrets.randbelow(22000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, timeout: float = START_TIMEOUT) -> None:
    """Return once somebody accepts connections on the port."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def on_unix_socket(path: Path, options: tuple[str, ...] = ()) -> Iterator[None]:
    """Run a memcached on a unix socket."""
    path.unlink(missing_ok=True)
    user = ("-u", "root") if os.geteuid() == 0 else ()
    process = subprocess.Popen(["memcached", "-s", path, "-a", "700", *user, *options], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT
    try:
        while not accepts(path):
            assert time.monotonic() < deadline, "memcached does not listen on its unix socket"
            time.sleep(0.005)
        yield
    finally:
        process.kill()
        process.wait()


def accepts(path: Path) -> bool:
    """Say whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def speaks_tls() -> bool:
    """Say whether this memcached was built with TLS."""
    return b"--enable-ssl" in subprocess.run(["memcached", "-h"], capture_output=True, check=False).stdout


def tls_options(certificate: str, key: str, client_ca: str = "") -> tuple[str, ...]:
    """Return the options of a memcached that speaks TLS.

    Args:
        certificate: PEM file.
        key: PEM file.
        client_ca: PEM file of the authority that must have signed a client's certificate; "": a client needs none.
    """
    options = f"ssl_chain_cert={certificate},ssl_key={key}"
    return ("-Z", "-o", options + (f",ssl_ca_cert={client_ca},ssl_verify_mode=2" if client_ca else ""))


def connections(server: Memcached) -> int:
    """Return how many connections the server has ever had, but for the questions of tests, once it has counted all.

    A worker thread of memcached counts a connection when it comes to run, perhaps after the answer to a later one: the
    listening socket and the one connection of `wait_for_port` are always among them.
    """
    previous = 0
    while (total := server.stats()["total_connections"] - server.questions) != previous or total < 2:
        previous = total
    return total


class Memcached:
    """One memcached process.

    Args:
        name: the node's name on the ring.
        options: further command line options, such as "-m", "8".
    """

    def __init__(self, name: str, options: Iterable[str] = ()) -> None:
        self.name = name
        self.port = free_port()
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None
        #: How often a test has asked it by hand, each time on a connection of its own, since it was started.
        self.questions = 0
        self.start()

    @property
    def node(self) -> str:
        """The node as a node list names it."""
        return f"{self.name}:127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "memcached is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and not killed."""
        return self._process is not None

    def start(self) -> None:
        """Start it, empty, on the same port as before."""
        command = ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", *self._options]
        if os.geteuid() == 0 and "-u" not in self._options:
            command += ["-u", "nobody"]
        self.questions = 0
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """End it at once (SIGKILL); it loses everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, empty."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """Make it accept connections and answer nothing (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)
        # Its threads run on for a moment after the signal; this returns once the last of them stands still.
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """End `hang`; what was sent meanwhile is executed now."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, text: bytes) -> bytes:
        """Send one command on a connection of its own; return what comes back within a moment."""
        self.questions += 1
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(text + b"\r\nmn\r\n")
            reply = b""
            while not reply.endswith(b"MN\r\n"):
                piece = connection.recv(65536)
                if not piece:
                    break
                reply += piece
            return reply.removesuffix(b"MN\r\n")

    def stats(self) -> dict[str, int]:
        """Return the server's numeric statistics."""
        fields = [line.split() for line in self.command(b"stats").decode().splitlines()]
        return {field[1]: int(field[2]) for field in fields if len(field) == 3 and field[2].isdigit()}


#: The fixture `start_memcached`: start(name="n1", options=()) returns a running server.
StartMemcached = Callable[..., Memcached]
