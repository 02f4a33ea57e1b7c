"""memcached's side of a connection, in the hands of somebody else: what it sends is the input.

The first line says what is asked, how the stream ends and in which pieces it comes; the rest is what the server sends.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any
from unittest import mock

from pymemcache.client.base import Client

from sharedsession.memcached import protocol
from sharedsession.memcached import wire as module
from sharedsession.memcached.commands import Answer, Command, Delete, Found, Get, Ping, Put, Stored, Token, Touch
from sharedsession.memcached.connection import FAULTS, Connection
from sharedsession.memcached.dump import _sort
from sharedsession.memcached.patience import Deadline

from .target import Target

KEY = "sharedsession:" + "a" * 64
_COMMANDS: dict[int, Command] = {
    ord("g"): Get(KEY, 1800),
    ord("r"): Get(KEY, None),
    ord("p"): Put(KEY, b"value", 1800, Token(7, 1)),
    ord("a"): Put(KEY, b"value", 1800, None),
    ord("b"): Put(KEY, b"v" * 70_000, 1800, None),  # is measured against the server's limit first
    ord("t"): Touch(KEY, 1800),
    ord("d"): Delete(KEY),
    ord("m"): Ping(),
}
_LONGEST_LINE = 2048
_RECEIVE = 65536
_PIECE = 1000
#: Seconds within which a reply must be there; and those that a piece of an endless one takes, and that it may last.
_DEADLINE, _STEP, _PATIENCE = 1.0, 0.25, 5.0
protocol.LARGEST_VALUE = 128 << 20
_HUGE = re.compile(rb"MN\r\nVA 0*(\d+)(?: (?:(?!\r\n).)*)?\r\n", re.DOTALL)
_VALUE = re.compile(rb"VA \s*(\d+)((?:(?!\r\n).)*)\r\n", re.DOTALL)


class EndlessError(Exception):
    """The client never gives up."""


class Wire:
    """The server's end of a connection, in place of a socket.

    Args:
        stream: all that the server sends.
        ending: what comes then: "e", the end of the connection; "s", silence; "x", the last line for ever.
        piece: bytes that come at once.
    """

    def __init__(self, stream: bytes, ending: str, piece: int) -> None:
        self._stream = stream
        self._ending = ending
        self._piece = piece
        self._at = 0
        #: All that was sent so far.
        self.sent: bytes = b""
        #: Seconds since the connection began.
        self.now: float = 0.0

    def settimeout(self, seconds: float) -> None:
        """Take the time-out; nothing here takes any time."""

    def send(self, data: bytes) -> int:
        """Take what the client says, all of it at once."""
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Take what the client says."""

    def setsockopt(self, *_: object) -> None:
        """Take an option."""

    def close(self) -> None:
        """Hang up."""

    def recv(self, size: int) -> bytes:
        """Return the next piece."""
        piece = self._stream[self._at : self._at + min(size, self._piece)]
        self._at += len(piece)
        piece = piece or self._end(size)
        self.sent += piece
        return piece

    def _end(self, size: int) -> bytes:
        if self._ending == "s":
            raise TimeoutError("timed out")
        if self._ending == "e" or not self._stream:
            return b""
        self.now += _STEP
        if self.now > _PATIENCE:
            raise EndlessError("goes on reading an endless reply long after its deadline")
        last = self._stream[self._stream.rfind(b"\n", 0, -1) + 1 :]
        return (last * (_PIECE // len(last) + 1))[:size]

    def monotonic(self) -> float:
        """Return the time, in place of the module time."""
        return self.now

    def time(self) -> float:
        """Return the time of day, in place of the module time."""
        return 1_700_000_000 + self.now


class _Until(Deadline):
    """The deadline of what is asked before a large value is sent."""

    def __init__(self) -> None:
        self.at = _DEADLINE

    def half(self) -> float:
        """Return all of it."""
        return self.at


def _connection(wire: Wire) -> Connection:
    def connect(client: Any) -> None:
        client.sock = wire

    with mock.patch.object(Client, "_connect", connect):
        return Connection(("127.0.0.1", 11211), 1.0)


def _parts(data: bytes) -> tuple[Command, str, int, bytes]:
    head, _, stream = data.partition(b"\n")
    head = head.ljust(3)[:3]
    ending = chr(head[1]) if head[1:2] in (b"s", b"x") else "e"
    return _COMMANDS.get(head[0], _COMMANDS[ord("g")]), ending, 1 + head[2] % 32, stream


class Replies:
    """Replies to commands: an answer or one of the known faults, the same in whatever pieces they come."""

    def __call__(self, data: bytes) -> Hashable:
        """Ask up to three times on one connection, of a stream in pieces and of the same in one piece."""
        command, ending, piece, stream = _parts(data)
        whole = self._ask(command, Wire(stream, ending, _RECEIVE))
        huge = _HUGE.match(stream)
        if huge and isinstance(command, Get) and (len(huge[1]) > 18 or int(huge[1]) > protocol.LARGEST_VALUE):
            assert whole == [("ProtocolError",)], "waits for a value that no memory holds"
        if not any(len(line) > _LONGEST_LINE for line in stream.split(b"\r\n")):
            pieces = self._ask(command, Wire(stream, ending, piece))
            # In one piece, what follows the reply is seen at once and the connection given up; in small ones later.
            assert pieces[: len(whole)] == whole[: len(pieces)], (whole, pieces)
        self._check_short_way(command, stream, whole)
        return tuple(answer[0] for answer in whole)

    @staticmethod
    def _check_short_way(command: Command, stream: bytes, whole: list[tuple[object, ...]]) -> None:
        """What is taken for a usual reply is what the long way reads in it."""
        if not stream.startswith(b"MN\r\n"):
            return
        quick = protocol.usual(command, "O1", stream.removeprefix(b"MN\r\n"), 1)
        assert quick is None or whole[:1] == [_told(quick)], quick

    def _ask(self, command: Command, wire: Wire) -> list[tuple[object, ...]]:
        answers: list[tuple[object, ...]] = []
        connection = _connection(wire)
        try:
            with mock.patch.object(module, "time", wire), mock.patch.object(protocol, "time", wire):
                self._converse(connection, command, wire, answers)
        except FAULTS as error:
            answers.append((type(error).__name__,))
        return answers

    def _converse(
        self, connection: Connection, command: Command, wire: Wire, answers: list[tuple[object, ...]]
    ) -> None:
        for number in (1, 2, 3):
            if isinstance(command, Put) and not connection.fits(command, _Until()):
                answers.append(("does not fit",))
                return
            connection.send(command, _DEADLINE)
            answer = connection.receive(command, _DEADLINE, 1)
            self._check(answer, command, number, wire.sent)
            answers.append(_told(answer))
            if not connection.reusable():
                return

    @staticmethod
    def _check(answer: Answer, command: Command, number: int, stream: bytes) -> None:
        """An answer that carries something is one that the server gave to this very command."""
        if isinstance(answer, Found):
            assert isinstance(command, Get)
            assert any(
                b"O%d" % number in match[2].split() and stream[match.end() :].startswith(answer.value + b"\r\n")
                for match in _VALUE.finditer(stream)
                if int(match[1][:9]) == len(answer.value)
            ), f"a value that is no reply to command {number}"
        elif isinstance(answer, Stored) and isinstance(command, Put):
            assert re.search(rb"HD\b(?:(?!\r\n).)*\bO%d\b" % number, stream, re.DOTALL), "stored, which nobody said"


def _told(answer: Answer) -> tuple[object, ...]:
    """Return an answer as what can be compared."""
    if isinstance(answer, Found):
        return "Found", answer.value, answer.token.cas, answer.remaining
    return ("Stored", answer.token.cas) if isinstance(answer, Stored) else (type(answer).__name__, *answer)


def replies() -> Target:
    """Replies of a memcached node."""
    seeds = (
        b"geA\nMN\r\nVA 5 c12 t1800 O1\r\nvalue\r\nVA 3 c13 t1800 O2\r\nabc\r\nEN O3\r\n",
        b"gs\x01\nMN\r\nVA 7 c12 t-1 O1\r\nva\r\nlue\r\n",
        b"ge\x02\nMN\r\nEN O1\r\n",
        b"ge\x02\nMN\r\nEN\r\n",
        b"peB\nMN\r\nHD c13 O1\r\nNS O2\r\nEX O3\r\n",
        b"aeC\nMN\r\nNS O1\r\nSERVER_ERROR out of memory storing object\r\n",
        b"ae\x00\nMN\r\nSERVER_ERROR object too large for cache\r\n",
        b"teD\nMN\r\nHD O1\r\nNF O2\r\n",
        b"beE\nMN\r\nSTAT item_size_max 1048576\r\nSTAT x y\r\nEND\r\nHD c1 O1\r\n",
        b"mxF\nMN\r\nMN\r\nMN\r\n",
        b"ge\x00\nERROR Too many open connections\r\n",
        b"ge\x00\nERROR\r\n",
        b"gxA\nMN\r\nVA 100 c1 t1 O1\r\nendless\r\n",
        b"gxA\nMN\r\nendless line",
    )
    words = (
        b"MN\r\n",
        b"VA ",
        b"EN",
        b"HD",
        b"NS",
        b"EX",
        b"NF",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"O1",
        b"O2",
        b"O3",
        b"c1",
    )
    more = (
        b"t-1",
        b"t1800",
        b"SERVER_ERROR ",
        b"CLIENT_ERROR ",
        b"ERROR",
        b"STAT item_size_max ",
        b"END\r\n",
        b"ge\x01\n",
    )
    sizes = (
        b"134217728",
        b"134217729",
        b"-1",
        b"1_0",
        b"\xd9\xa1",
        b"0",
        b"5",
        b"value",
        b"k" + KEY.encode(),
        b"W",
        b"Z",
    )
    return Target(Replies(), seeds, (*words, *more, *sizes), longest=700)


class Dumps:
    """Lines of a key dump: keys or one of the known faults, and the same in whatever pieces they come."""

    def __call__(self, data: bytes) -> Hashable:
        """Read a dump in pieces and the same in one piece."""
        _, ending, piece, stream = _parts(data)
        if ending == "x":
            ending = "s"  # without an end a dump is as long as the server likes: `list_keys` says so
        whole = self._list(Wire(stream, ending, _RECEIVE))
        if not any(len(line) > _LONGEST_LINE for line in stream.split(b"\n")):
            assert self._list(Wire(stream, ending, piece)) == whole
        if isinstance(whole, str):
            return whole
        keys, others = whole
        lines = stream.split(b"\n")
        assert len(keys) + others <= len(lines)
        assert all(key.startswith("t:") for key in keys)
        return len(keys), min(others, 5)

    @staticmethod
    def _list(wire: Wire) -> Any:
        try:
            found: Iterable[str] = _connection(wire).keys("hash", 60)
            return tuple(_sort(found, "t:"))
        except FAULTS as error:
            return type(error).__name__


def dumps() -> Target:
    """Key dumps of a memcached node."""
    line = b"key=t%3Aabc exp=1700000000 la=1700000000 cas=5 fetch=yes cls=1 size=63 flags=0\n"
    seeds = (
        b" eA\nMN\r\n" + line * 3 + b"END\r\n",
        b" s\x01\nMN\r\nkey=other exp=-1\n" + line + b"END\r\n",
        b" eB\nMN\r\nBUSY currently processing crawler request\r\n",
        b" eB\nMN\r\nBADCLASS invalid class id\r\n",
        b" eB\nMN\r\nERROR\r\n",
        b" e\x1f\nMN\r\n" + line + b"key=t:" + b"x" * 5000 + b"\n",
    )
    words = (
        b"MN\r\n",
        b"key=",
        b"t:",
        b"t%3A",
        b"%",
        b"%ff",
        b"%00",
        b" ",
        b"\n",
        b"\r\n",
        b"END\r\n",
        b"exp=-1",
        b"BUSY",
        line,
    )
    return Target(Dumps(), seeds, words, longest=700)
