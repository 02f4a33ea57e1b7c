"""Django: `manage.py sharedsession` shows how the memcached nodes answer."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from servers import Memcached

from djangoface.conftest import Settings


def run() -> str:
    """Return what the command prints."""
    out = io.StringIO()
    call_command("sharedsession", stdout=out)
    return out.getvalue()


def test_all_up(change: Settings, nodes: list[Memcached]) -> None:
    """Every node has a line: its name, its address and how fast it answered."""
    change(SHAREDSESSION={"nodes": [server.node for server in nodes], "timeout": 10.0, "connect_timeout": 10.0})
    lines = run().splitlines()
    assert [line.split()[:4] for line in lines] == [
        [server.name, f"127.0.0.1:{server.port}", "answers", "in"] for server in nodes
    ]


def test_one_down(change: Settings, nodes: list[Memcached]) -> None:
    """A node that does not answer is named with the reason, and the command fails; the others are shown too."""
    change(SHAREDSESSION={"nodes": [server.node for server in nodes]})
    nodes[1].kill()
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 of 3 nodes do not answer: n2"):
        call_command("sharedsession", stdout=out)
    first, second, third = out.getvalue().splitlines()
    assert "answers in" in first
    assert "DOWN: ConnectionRefusedError" in second
    assert "answers in" in third


def test_no_nodes(change: Settings) -> None:
    """Without nodes it says where sessions are kept."""
    assert run() == "no memcached nodes are configured: sessions are kept in each process\n"


def test_wrong_settings(change: Settings) -> None:
    """Wrong settings are named; nothing is asked."""
    change(SHAREDSESSION={"copies": 0})
    with pytest.raises(CommandError, match="the settings are wrong: copies: 0 is not"):
        run()
    change(SHAREDSESSION={})
