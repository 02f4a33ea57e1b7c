"""The proxy does to connections, commands and replies what each fault says, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from servers import Memcached

from .kinds import NOTHING, Behind, Corrupt, Cut, Delay, Drop, Mute, Refuse, Repeat, Silent, Stutter, Swallow, Trickle
from .proxy import Link, Proxies

VALUE = b"VA 5 O1\r\nhello\r\n"
GET = b"mg key v O1\r\n"


@pytest.fixture
def link(memcached: Memcached) -> Iterator[Link]:
    """Return a link to a memcached that has a value."""
    memcached.command(b"ms key 5\r\nhello")
    proxies = Proxies()
    yield proxies.link(memcached.port)
    proxies.close()


@contextlib.contextmanager
def connected(link: Link) -> Iterator[socket.socket]:
    """Connect; the connection is known to work."""
    with socket.create_connection(("127.0.0.1", link.port), 5) as connection:
        yield connection


def received(connection: socket.socket, until: bytes, patience: float = 5) -> bytes:
    """Return what comes, until it ends with some bytes, the connection breaks, or nothing comes for some seconds."""
    connection.settimeout(patience)
    data = b""
    with contextlib.suppress(OSError):
        while not data.endswith(until) and (piece := connection.recv(65536)):
            data += piece
    return data


def test_nothing_wrong(link: Link) -> None:
    """Without a fault bytes go through unchanged, also when a reply is large and commands come together."""
    with connected(link) as connection:
        large = b"x" * 300_000
        connection.sendall(b"ms large %d\r\n%b\r\nmg large v\r\nmn\r\n" % (len(large), large))
        assert received(connection, b"MN\r\n") == b"HD\r\nVA %d\r\n%b\r\nMN\r\n" % (len(large), large)


def test_refused_and_back(link: Link) -> None:
    """A closed port breaks open connections and refuses new ones; afterwards it is open again."""
    with connected(link) as connection:
        link.set(Refuse())
        assert received(connection, b"\n") == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", link.port), 5)
    link.set(NOTHING)
    with connected(link) as connection:
        connection.sendall(GET)
        assert received(connection, VALUE) == VALUE


def test_silent_and_back(link: Link) -> None:
    """A machine that is gone does not even refuse; open connections stay open and say nothing."""
    with connected(link) as connection:
        link.set(Silent())
        connection.sendall(GET)
        assert received(connection, VALUE, 0.1) == b""
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", link.port), 0.2)
    link.set(NOTHING)
    with connected(link) as connection:
        connection.sendall(GET)
        assert received(connection, VALUE) == VALUE


def test_killed_behind_it(link: Link, memcached: Memcached) -> None:
    """A memcached that dies breaks the application's connections."""
    with connected(link) as connection:
        connection.sendall(GET)
        received(connection, VALUE)
        memcached.kill()
        assert received(connection, b"\n") == b""


@pytest.mark.parametrize(("fault", "stored"), [(Swallow(), b"EN\r\n"), (Mute(), b"HD\r\n")])
def test_swallowed(link: Link, memcached: Memcached, fault: Swallow | Mute, stored: bytes) -> None:
    """Swallowed commands are not executed, swallowed replies are of executed ones; neither is answered."""
    with connected(link) as connection:
        link.set(fault)
        connection.sendall(b"ms other 1\r\nx\r\n")
        assert received(connection, b"\n", 0.1) == b""
        deadline = time.monotonic() + 5
        while memcached.command(b"mg other") != stored:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("fault", [Delay(0.2), Trickle(0.2 / len(VALUE))])
def test_late(link: Link, fault: Delay | Trickle) -> None:
    """A late reply is whole, and late; one that is sent after the fault does not overtake it."""
    with connected(link) as connection:
        connection.sendall(b"mn\r\n")
        received(connection, b"MN\r\n")
        link.set(fault)
        begun = time.monotonic()
        connection.sendall(GET)
        time.sleep(0.05)
        link.set(NOTHING)
        connection.sendall(b"mn\r\n")
        assert received(connection, b"MN\r\n") == VALUE + b"MN\r\n"
        assert time.monotonic() - begun >= 0.19


def test_cut(link: Link) -> None:
    """A reply is cut somewhere, then the connection ends."""
    with connected(link) as connection:
        link.set(Cut())
        connection.sendall(GET)
        data = received(connection, VALUE)
        assert VALUE.startswith(data)
        assert len(data) < len(VALUE)


def test_damaged(link: Link) -> None:
    """Exactly one byte is another one."""
    with connected(link) as connection:
        link.set(Corrupt())
        connection.sendall(GET)
        data = received(connection, VALUE, 0.5)
        assert len(data) == len(VALUE)
        assert sum(one != other for one, other in zip(data, VALUE, strict=True)) == 1


def test_repeated_byte(link: Link) -> None:
    """Exactly one byte comes twice."""
    with connected(link) as connection:
        link.set(Stutter())
        connection.sendall(GET)
        data = received(connection, b"\r\n\r\n", 0.5)
        assert data in [VALUE[: at + 1] + VALUE[at:] for at in range(len(VALUE))]


def test_out_of_step(link: Link) -> None:
    """Whole replies come twice, not at all, or before the next one."""
    with connected(link) as connection:
        link.set(Repeat())
        connection.sendall(GET)
        assert received(connection, VALUE + VALUE) == VALUE + VALUE
        link.set(Drop())
        connection.sendall(b"mn\r\n")
        assert received(connection, b"\n", 0.1) == b""
        link.set(Behind())
        connection.sendall(GET)
        assert received(connection, b"MN\r\n" + VALUE) == b"MN\r\n" + VALUE


def test_counts(link: Link) -> None:
    """Connections and commands are counted; the question of a probe is no command."""
    with connected(link) as connection:
        for command in (b"mn\r\n", GET):
            connection.sendall(command)
            received(connection, b"\r\n")
    assert (link.accepted, link.commands) == (1, 1)
