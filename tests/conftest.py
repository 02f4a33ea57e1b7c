"""Fixtures: real memcached processes. Hypothesis: the same examples in every run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from servers import SOURCE, Memcached, StartMemcached

from sharedsession import life
from sharedsession.memcached.agreement import Agreement
from sharedsession.memcached.node import Node

#: Watches what is logged during every test; runs one again that failed while the machine stood still.
pytest_plugins = ["logwatch", "standstill"]

# Derandomized: a failure in CI is the failure here. No deadline: the machine may be busy.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("reproducible")


def pytest_report_header() -> str:
    """Say what is tested: the source, or what ./run compile makes of it."""
    compiled = not str(life.__file__).endswith(".py")
    assert compiled == ("compiled" in SOURCE.parts), f"{life.__file__} in {SOURCE}"
    return f"sharedsession: {'compiled' if compiled else 'interpreted'}, {SOURCE}"


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


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Return the path of a unix socket to be; a short one, for there is room for 107 bytes (man 7 unix)."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "memcached.sock"


@pytest.fixture(autouse=True)
def close_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what middlewares opened in a test: nobody does when an application is just dropped."""
    opened: list[Node] = []
    original = Node.__init__

    def opening(self: Node, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        opened.append(self)

    monkeypatch.setattr(Node, "__init__", opening)
    yield
    for node in opened:
        node.close()


@pytest.fixture(autouse=True)
def nothing_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no check value of the secret in memcached: tests count commands."""
    monkeypatch.setattr(Agreement, "_begin", lambda self, work: None)
