"""Fault cycles in this process: a node breaks in every way there is and heals again; what is left behind?"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple
from unittest import mock

from servers import Memcached
from webclient import Client, bare, page

from sharedsession import Session, SessionMiddleware
from sharedsession.memcached import health

from .kinds import NOTHING, Corrupt, Cut, Drop, Fault, Mute, Refuse, Repeat, Silent, Stutter, Swallow
from .proxy import Link, Proxies

_WAYS: tuple[Callable[[], Fault], ...] = (Refuse, Swallow, Mute, Cut, Corrupt, Stutter, Repeat, Drop, Silent)
#: Cycles after which caches are filled and counters exist.
_WARM = 2 * len(_WAYS)
#: The middleware's time-outs, in seconds: short, since every other cycle waits for one.
_TIMEOUT = 0.03
_PATIENCE = 20.0


class Held(NamedTuple):
    """What this process holds."""

    threads: int
    descriptors: int
    #: Python objects that the garbage collector knows.
    objects: int
    #: Resident memory.
    kilobytes: int

    def since(self, before: Held) -> Held:
        """Return by how much it has grown."""
        return Held(*(now - then for now, then in zip(self, before, strict=True)))


def held() -> Held:
    """Count, after garbage has been collected."""
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return Held(
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        len(gc.get_objects()),
        pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    )


def growth(cycles: int) -> Held:
    """Let one of two nodes fail and heal `cycles` times while a client goes on; return what has grown meanwhile."""
    with ExitStack() as stack:
        servers = [Memcached("n1"), Memcached("n2")]
        for server in servers:
            stack.callback(server.kill)
        links = [stack.enter_context(closing(Proxies())).link(server.port) for server in servers]
        stack.enter_context(mock.patch.object(health, "PROBE_INTERVAL", 0.002))
        middleware = stack.enter_context(closing(_middleware(links)))
        client = Client(middleware)
        _run(_WARM, middleware, client, links[0])
        middleware.parts.transport.close()
        before = held()
        _run(cycles, middleware, client, links[0])
        middleware.parts.transport.close()
        return _settled(before).since(before)


def _settled(before: Held) -> Held:
    """Count once the proxies have closed what the middleware has closed, or when they still have not after a second."""
    deadline = time.monotonic() + 1
    while (now := held()).descriptors > before.descriptors and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def _middleware(links: list[Link]) -> SessionMiddleware:
    nodes = [f"n{number}:127.0.0.1:{link.port}" for number, link in enumerate(links)]
    return bare(page(_count), nodes=nodes, timeout=_TIMEOUT, connect_timeout=_TIMEOUT)


def _count(session: Session) -> int:
    session["plain"] = True
    return int(session.transaction(lambda session: session.setdefault("n", 0)))


def _run(cycles: int, middleware: SessionMiddleware, client: Client, link: Link) -> None:
    for number in range(cycles):
        link.set(_WAYS[number % len(_WAYS)]())
        for _ in range(2):
            client.get()
        link.set(NOTHING)
        _wait_until_up(middleware)
        client.get()
        client.cookies.clear()


def _wait_until_up(middleware: SessionMiddleware) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not all(node.up for node in middleware.health()):
        if time.monotonic() > deadline:
            raise TimeoutError("the node is still marked down")
        time.sleep(0.001)
    while any(thread.name == "sharedsession-probe" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            raise TimeoutError("the probe goes on although nothing is marked down")
        time.sleep(0.001)
