"""A TCP proxy between one application process and one memcached node, which misbehaves on demand.

All proxies of a test run in one thread. Replies are cut into frames as the meta protocol has them (a line; a `VA` line
with its data), so that a reply can be dropped, repeated or damaged as a whole, and a connection gets out of step.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .kinds import NOTHING, Fault

T = TypeVar("T")


class _Loop:
    """The thread in which all proxies run."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it in the thread; return what it returns."""
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result(10)

    def close(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Way(asyncio.Protocol):
    """One connection of the application and the one to memcached that belongs to it."""

    def __init__(self, link: Link) -> None:
        #: The last reply of memcached, and whether it was sent twice.
        self.last = b""
        self.behind = False
        #: When it was opened (time.monotonic), and as which of its link.
        self.opened: float = time.monotonic()
        self.number: int = link.accepted
        self._link = link
        self._near: asyncio.Transport
        self._far: asyncio.Transport | None = None
        self._waiting = b""
        self._replies = b""
        # Not before this time of the loop may the next bytes be delivered: they stay in order.
        self._free_at = 0.0
        self._closed = False

    # -- the application's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the application's connection."""
        assert isinstance(transport, asyncio.Transport)
        self._near = transport
        self._link.ways.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the application."""
        self._link.count(data)
        self._link.fault.command(data, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The application has hung up, or was hung up on."""
        self._closed = True
        self._link.ways.discard(self)
        if self._far is not None:
            self._far.close()  # what was sent is still executed, as on a connection without a proxy

    # -- memcached's side --

    def reached(self, far: asyncio.Transport) -> None:
        """Take the connection to memcached."""
        self._far = far
        if self._closed:
            far.close()
        elif self._waiting:
            far.write(self._waiting)

    def replied(self, data: bytes) -> None:
        """Take bytes from memcached."""
        self._replies += data
        while frame := self._next_frame():
            self.last = frame
            self._link.fault.reply(frame, self)

    def _next_frame(self) -> bytes:
        line, end, _ = self._replies.partition(b"\r\n")
        if not end:
            return b""
        size = len(line) + 2
        if line.startswith(b"VA "):
            size += int(line.split()[1]) + 2
        frame, rest = self._replies[:size], self._replies[size:]
        if len(frame) < size:
            return b""
        self._replies = rest
        return frame

    # -- what faults do --

    def forward(self, data: bytes) -> None:
        """Send bytes to memcached."""
        if self._far is None:
            self._waiting += data
        else:
            self._far.write(data)

    def deliver(self, data: bytes, seconds: float = 0.0, *, one_after_the_other: bool = False) -> None:
        """Send bytes to the application, after some seconds, never before what was delivered earlier."""
        loop = asyncio.get_running_loop()
        start = max(self._free_at, loop.time()) if one_after_the_other else loop.time()
        at = max(start + seconds, self._free_at)
        if at <= loop.time():
            self._near.write(data)
            return
        self._free_at = at + 1e-6
        loop.call_at(at, self._write, data)

    def _write(self, data: bytes) -> None:
        if not self._closed:
            self._near.write(data)

    def hang_up(self) -> None:
        """Close the application's connection."""
        self._near.close()

    def abort(self) -> None:
        """Break both connections at once."""
        self._near.abort()
        if self._far is not None:
            self._far.abort()


class _Far(asyncio.Protocol):
    """Memcached's end of a way."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so."""
        assert isinstance(transport, asyncio.Transport)
        self._way.reached(transport)

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        self._way.replied(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hang up on the application too."""
        self._way.hang_up()


class Link:
    """The way from one application process to one memcached node.

    Args:
        loop: where it runs.
        target: memcached's port on 127.0.0.1.
    """

    def __init__(self, loop: _Loop, target: int) -> None:
        #: What it does at present.
        self.fault: Fault = NOTHING
        #: Connections that are open.
        self.ways: set[Way] = set()
        #: Connections accepted so far.
        self.accepted = 0
        #: Pieces of commands received so far, but for the mere question of a probe.
        self.commands = 0
        self._loop = loop
        self._target = target
        self._listener = _bound(0)
        #: Where the application connects to.
        self.port: int = self._listener.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        self._filler: list[socket.socket] = []
        loop.call(self._listen)

    def set(self, fault: Fault) -> None:
        """Misbehave like this from now on, on open connections too; returns when that is in force."""
        self._loop.call(lambda: self._set(fault))

    def close(self) -> None:
        """End it."""
        self._loop.call(self._shut)
        self._listener.close()

    def count(self, data: bytes) -> None:
        """Note what was received."""
        self.commands += data not in (b"mn\r\nmn\r\n", b"mn\r\n")

    async def _set(self, fault: Fault) -> None:
        former, self.fault = self.fault, fault
        if former.refuses or former.silent or fault.refuses or fault.silent:
            await self._shut()
            if not fault.refuses:
                await (self._fill() if fault.silent else self._listen())

    async def _listen(self) -> None:
        self._listener.listen(512)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _fill(self) -> None:
        """Listen without ever accepting, with a queue that is full: the kernel drops what asks for a connection."""
        self._listener.listen(0)
        self._filler = [socket.create_connection(("127.0.0.1", self.port), 1)]

    async def _shut(self) -> None:
        """Close the port but keep it, and break all connections (when silent, the application is not told)."""
        asyncio.get_running_loop().remove_reader(self._listener)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.fault.silent:
            for way in list(self.ways):
                way.abort()
        for connection in (*self._filler, self._listener):
            connection.close()
        self._filler = []
        for _ in range(4):  # the far end is closed after the near one, each in a turn of the loop after the next
            await asyncio.sleep(0)
        self._listener = _bound(self.port)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        way = Way(self)
        await loop.connect_accepted_socket(lambda: way, connection)
        try:
            await loop.create_connection(lambda: _Far(way), "127.0.0.1", self._target)
        except OSError:
            way.abort()


class Proxies:
    """The proxies of one test."""

    def __init__(self) -> None:
        self._loop = _Loop()
        self._links: list[Link] = []

    def link(self, target: int) -> Link:
        """Return a new link to a memcached on this port."""
        self._links.append(Link(self._loop, target))
        return self._links[-1]

    def close(self) -> None:
        """End all links."""
        for link in self._links:
            link.close()
        self._loop.close()


def _bound(port: int) -> socket.socket:
    """Return a socket that holds the port without listening: who connects is refused, nobody else can take it."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    return holder
