"""Fixtures: scripted servers, and transports that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from scripted import Script, ScriptedServer

from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

Serve = Callable[[Script], ScriptedServer]
Connect = Callable[..., MemcachedTransport]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a scripted server, stopped when the test ends."""
    running: list[ScriptedServer] = []

    def start(script: Script) -> ScriptedServer:
        running.append(ScriptedServer(script))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function `connect(*servers or ports, timeout=0.3)`: a transport whose nodes are named n1, n2, ..."""
    opened: list[MemcachedTransport] = []

    def to(*servers: object, timeout: float = 0.3) -> MemcachedTransport:
        ports = [server if isinstance(server, int) else server.port for server in servers]  # type: ignore[attr-defined]
        configs = [NodeConfig(f"n{number}", ("127.0.0.1", port)) for number, port in enumerate(ports, 1)]
        opened.append(MemcachedTransport(configs, 0.25, timeout))
        return opened[-1]

    yield to
    for transport in opened:
        transport.close()
