"""Fixtures: real memcached processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from servers import Memcached

StartMemcached = Callable[..., Memcached]


@pytest.fixture
def start_memcached() -> Iterator[StartMemcached]:
    """Return a function `start(name="n1", options=())` that starts a memcached, stopped when the test ends."""
    running: list[Memcached] = []

    def start(name: str = "n1", options: tuple[str, ...] = ()) -> Memcached:
        server = Memcached(name, options)
        running.append(server)
        return server

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def memcached(start_memcached: StartMemcached) -> Memcached:
    """Return a running memcached, node n1."""
    return start_memcached("n1")


@pytest.fixture
def nodes(start_memcached: StartMemcached) -> list[Memcached]:
    """Return three running memcached nodes, n1 to n3."""
    return [start_memcached(f"n{number}") for number in (1, 2, 3)]
