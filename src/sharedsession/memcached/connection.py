"""One connection to one memcached server, speaking its meta protocol.

The meta commands are spoken here, because pymemcache, which opens the socket, has none and its raw_command loses data;
TLS and authentication are in `access`. Protocol: memcached's doc/protocol.txt, "Meta Commands", memcached 1.6.
Every command carries an opaque number that the reply must echo: a connection that is one reply out of step would
serve other users' sessions, so whoever gets an exception from here closes the connection.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from . import protocol
from .access import Access
from .commands import NO_TOKEN, Answer, Command, Delete, Ping, Put, Stored
from .opening import open_socket
from .patience import Deadline
from .protocol import ProtocolError
from .wire import Wire

#: What a connection raises when the server or the network fails it.
FAULTS: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)

_LONGEST_LINE = 2048
#: Values above this many bytes are measured against the server's item limit before they are sent.
_MEASURED_ABOVE = 65536
#: Room an item needs besides key and value: memcached's item header, CAS and slab chunk headers.
_ITEM_OVERHEAD = 512


class CrowdedError(ProtocolError):
    """The server has no connection to spare (its -c option); those that are open work as ever."""


class DumpRefusedError(ProtocolError):
    """The server does not tell its keys: another dump is under way, or its crawler is switched off.

    Args:
        reply: what it says instead.
    """

    def __init__(self, reply: str) -> None:
        super().__init__(f"it does not tell its keys: {reply}")
        #: What it says instead; BUSY, BADCLASS and CLIENT_ERROR are words of the protocol.
        self.reply = reply


class Connection:
    """One open connection, used by one thread at a time.

    Args:
        address: (host, port) or the path of a unix socket.
        connect_timeout: seconds to wait for the connection.

    Raises:
        OSError, ValueError, EOFError: the server is away, or is no memcached 1.6.
    """

    def __init__(self, address: tuple[str, int] | str, connect_timeout: float) -> None:
        #: Its place in the order in which connections to this server came into being.
        self.number: int = 0
        #: Has been idle: a failure may only mean that the server closed it while it was idle.
        self.used: bool = False
        self._buffer = b""
        # What the reply must echo: `O` and the number of commands sent so far.
        self._sent = 0
        self._opaque = ""
        self._reusable = True
        self._limit: int | None = None
        # Sent with the first command and answered before it: a new connection costs no round trip of its own.
        self._greeting = b"mn\r\n"
        self._greeted = False
        self._authenticates = False
        self._closed = False
        self._wire = Wire(open_socket(address, connect_timeout))

    def enter(self, access: Access, until: float) -> None:
        """Begin TLS, and say with the first command who this is; to be called before that, at most once.

        Args:
            access: what the server asks for.
            until: when the TLS handshake must be done (time.monotonic).

        Raises:
            OSError, ValueError: there is no TLS with this server; the connection is closed.
        """
        self._wire = Wire(access.secure(self._wire.sock, until))
        self._authenticates = access.greeting != b""
        self._greeting = access.greeting + self._greeting

    def _write(self, data: bytes, deadline: float) -> None:
        if self._closed:
            raise OSError("the connection is closed")
        try:
            self._wire.send(self._greeting + data if self._greeting else data, deadline)
        except (ConnectionError, ssl.SSLError) as error:
            self._fail(error)
        self._greeting = b""

    def _reply(self, deadline: float) -> bytes:
        self._greet(deadline)
        return self._line(deadline)

    def _greet(self, deadline: float) -> None:
        if not self._greeted:
            answer = self._line(deadline)
            if answer.startswith(b"ERROR Too many open connections"):
                raise CrowdedError("it is at its connection limit; start it with a larger -c")
            _check_greeting(self._admitted(answer, deadline))
            self._greeted = True

    def _admitted(self, answer: bytes, deadline: float) -> bytes:
        """Look at the answer to user name and password, if they were sent; return the one to `mn`."""
        if not self._authenticates:
            return answer
        if answer != b"STORED":
            # Not what it says: a server that echoes would have the password logged.
            raise ProtocolError("it refused the user name or password, or takes none")
        return self._line(deadline)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise the error, with what it may mean when the server has not answered anything yet."""
        if self._greeted:
            raise error
        secured = isinstance(self._wire.sock, ssl.SSLSocket)
        hint = "does it accept this client's certificate?" if secured else "does it want TLS?"
        raise ConnectionError(f"{error}, before its first answer; {hint}") from error

    def fits(self, command: Put, deadline: Deadline) -> bool:
        """Say whether the server can take the value.

        Asked before a large value is sent: a memcached that refuses one has already thrown the old item away
        (proto_text.c: "Avoid stale data persisting in cache because we failed alloc").
        """
        if len(command.value) <= _MEASURED_ABOVE:
            return True
        if self._limit is None:
            self._limit = self._ask_limit(deadline.half())
        return len(command.value) + len(command.key) + _ITEM_OVERHEAD <= self._limit

    def _ask_limit(self, deadline: float) -> int:
        """Return the server's item limit in bytes (its -I option); a proxy that does not tell is not measured."""
        limit = protocol.LARGEST_VALUE
        self._write(b"stats settings\r\n", deadline)
        while (line := self._reply(deadline)).startswith(b"STAT "):
            if line.startswith(b"STAT item_size_max "):
                limit = int(line.removeprefix(b"STAT item_size_max "))
        return limit

    def send(self, command: Command, deadline: float) -> None:
        """Send a command without waiting for its reply."""
        self._sent += 1
        self._opaque = f"O{self._sent}"
        self._write(protocol.encode(command, self._opaque), deadline)

    def prompt(self, command: Command, newest: int) -> Answer | None:
        """Return the reply to a command just sent if it comes in a moment (`wire.TURN`), whole and of a usual form.

        None: all others are for `ready` and `receive`; same errors as these.
        """
        if type(command) is Delete:
            return Stored(NO_TOKEN)
        try:
            received = self._wire.prompt()
        except (ConnectionError, ssl.SSLError) as error:
            self._fail(error)
        if received and self._greeted:
            answer = protocol.usual(command, self._opaque, received, newest)
            if answer is not None:
                return answer
        self._buffer = self._taken(received)
        return None

    def ready(self, deadline: float) -> bool:
        """Wait for the beginning of a reply, at the latest until `deadline` (time.monotonic); say whether it is there.

        Raises:
            OSError, EOFError: the server closed the connection.
        """
        if not self._buffer:
            try:
                self._buffer = self._taken(self._wire.wait(deadline))
            except (ConnectionError, ssl.SSLError) as error:
                self._fail(error)
        return self._buffer != b""

    def receive(self, command: Command, deadline: float, newest: int) -> Answer:
        """Read the reply to `command`, at the latest by `deadline` (time.monotonic).

        `newest` is the number of the newest connection when the command was sent: see `Token`.
        """
        if isinstance(command, Delete):
            return Stored(NO_TOKEN)
        reply = self._reply(deadline)
        if isinstance(command, Ping):
            return Stored(NO_TOKEN)
        status, _, rest = reply.partition(b" ")
        if status == b"SERVER_ERROR":
            self._reusable = False  # it echoes no opaque, so nothing proves that it answers this command
            return protocol.refusal(command, rest.decode("ascii", "replace"))
        flags = rest.split()
        value = self._data(protocol.size(flags), deadline) if status == b"VA" else b""
        if self._opaque.encode() not in flags:
            raise ProtocolError(f"reply out of step: {status[:20].decode('ascii', 'replace')!r}")
        return protocol.answer(command, status, flags, value, newest)

    def keys(self, walk: str, patience: float) -> Iterator[str]:
        """Yield the keys of all values (protocol.txt, "LRU Crawler": metadump); the connection is of no use after it.

        Args:
            walk: along what: "hash" misses none that move meanwhile; "all" (the LRUs) is older than memcached 1.6.9.
            patience: seconds to wait for each piece.

        Raises:
            DumpRefusedError: the server does not tell.
            OSError, ValueError, EOFError: the server or the network failed.
        """
        self._write(f"lru_crawler metadump {walk}\r\n".encode(), time.monotonic() + patience)
        self._greet(time.monotonic() + patience)
        for line in self._dump_lines(patience):
            if line == b"END":
                return
            if not line.startswith(b"key="):
                raise DumpRefusedError(line[:60].decode("ascii", "replace"))
            yield unquote_to_bytes(line.removeprefix(b"key=").partition(b" ")[0]).decode("latin-1")

    def _dump_lines(self, patience: float) -> Iterator[bytes]:
        """Yield lines as they come. Those of a dump end with LF alone (crawler.c), all others with CR LF."""
        while True:
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                yield line.rstrip(b"\r")
            if len(self._buffer) > _LONGEST_LINE:
                raise ProtocolError("endless reply line")
            self._buffer += self._more(time.monotonic() + patience)

    def close(self) -> None:
        """Close it; may be called again."""
        self._closed = True
        self._wire.sock.close()

    def reusable(self) -> bool:
        """Say whether the next command may use this connection: everything received has been read."""
        return self._reusable and not self._closed and not self._buffer

    def _line(self, deadline: float) -> bytes:
        while True:
            line, end, rest = self._buffer.partition(b"\r\n")
            if end:
                self._buffer = rest
                return line
            if len(self._buffer) > _LONGEST_LINE:
                raise ProtocolError("endless reply line")
            self._buffer += self._more(deadline)

    def _data(self, size: int, deadline: float) -> bytes:
        wanted = size + 2
        chunks, have = [self._buffer], len(self._buffer)
        while have < wanted:
            chunks.append(self._more(deadline))
            have += len(chunks[-1])
        data = b"".join(chunks)
        self._buffer = data[wanted:]
        if data[size:wanted] != b"\r\n":
            raise ProtocolError("a value of another length than announced")
        return data[:size]

    def _more(self, deadline: float) -> bytes:
        try:
            return self._taken(self._wire.more(deadline))
        except (ConnectionError, ssl.SSLError) as error:
            self._fail(error)

    def _taken(self, received: bytes | None) -> bytes:
        if received == b"":
            self._fail(EOFError("connection closed by the server"))
        return received or b""


def _check_greeting(answer: bytes) -> None:
    if answer == b"CLIENT_ERROR unauthenticated":
        raise ProtocolError("it wants a user name and password (memcached_username, memcached_password)")
    if answer != b"MN":
        raise ProtocolError(
            f"it answers {answer[:60].decode('ascii', 'replace')!r} to mn: memcached 1.6 or newer is needed "
            "for its meta commands"
        )
