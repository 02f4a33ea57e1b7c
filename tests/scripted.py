"""A TCP server on loopback that sends exactly the bytes a test wants, right or wrong."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

_OPAQUE = re.compile(rb" O(\d+)")


class Dialog:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, number: int, log: list[bytes]) -> None:
        #: 1 for the first connection accepted, 2 for the second.
        self.number = number
        self.opaque = b""
        self._connection = connection
        self._file = connection.makefile("rb")
        self._log = log

    def command(self) -> bytes:
        """Return the next command as it came, with the value of an `ms`; EOFError when the client hangs up."""
        line = self._file.readline()
        if not line:
            raise EOFError
        if line.startswith(b"ms "):
            line += self._file.read(int(line.split()[2]) + 2)
        self._log.append(line)
        found = _OPAQUE.search(line.partition(b"\r\n")[0])
        self.opaque = found[1] if found else b""
        return line

    def greet(self) -> None:
        """Answer the question whether meta commands are known."""
        assert self.command() == b"mn\r\n"
        self.send(b"MN\r\n")

    def send(self, data: bytes) -> None:
        """Send bytes; `%O` stands for the opaque of the last command."""
        self._connection.sendall(data.replace(b"%O", b"O" + self.opaque))

    def hang_up(self) -> None:
        """Close the connection."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def wait_for_hang_up(self) -> None:
        """Return when the client has closed the connection."""
        while self._file.read(1):
            pass

    def close(self) -> None:
        """Give the socket back."""
        self._file.close()
        self._connection.close()


Script = Callable[[Dialog], None]


class ScriptedServer:
    """Runs a script for every connection it accepts, each in a thread of its own.

    Args:
        script: called with each connection's `Dialog`; when it returns, the connection is closed.
    """

    def __init__(self, script: Script) -> None:
        #: Every command received, in order, over all connections.
        self.log: list[bytes] = []
        #: How many connections were accepted.
        self.accepted = 0
        #: Numbers of the connections that the client has closed or that were closed for it.
        self.ended: list[int] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Close every connection and wait for the scripts to end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def has_ended(self, number: int) -> bool:
        """Say whether a connection has ended; waits for its thread to come to that, at most five seconds."""
        self._threads[number].join(5)  # the first thread accepts
        return number in self.ended

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.accepted), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        dialog = Dialog(connection, number, self.log)
        try:
            with contextlib.suppress(OSError, EOFError, ValueError):  # the client hung up
                self._script(dialog)
        finally:
            self.ended.append(number)
            dialog.close()


def answering(*replies: bytes) -> Script:
    """Return a script that greets, sends one reply for each command, then waits for the client to hang up."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        for reply in replies:
            dialog.command()
            dialog.send(reply)
        dialog.wait_for_hang_up()

    return script
