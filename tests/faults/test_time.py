"""What a fault costs: nothing waits on a node known to be down, probes are few, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .cluster import Cluster, Layout
from .kinds import NOTHING, Fault, Mute, Silent, Swallow
from .leaks import growth
from .proxy import Link
from .users import Load

#: Fault cycles here; `python -m faults` runs 1,000.
CYCLES = 90


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Return a cluster of three nodes."""
    with Cluster(Layout(3)) as running:
        yield running


@pytest.mark.parametrize("fault", [Swallow(), Mute(), Silent()], ids=lambda fault: type(fault).__name__)
def test_nothing_waits_on_a_node_known_to_be_down(cluster: Cluster, fault: Fault) -> None:
    """A node that is marked down gets no command but the probe's, which asks one question at a time."""
    links = cluster.links(0)
    with Load([app.port for app in cluster.apps], lambda: cluster.serving, users=3) as load:
        cluster.disturb(0, fault)
        cluster.wait_until_down(0)
        load.settle()
        before = [(link.commands, link.accepted) for link in links]
        at_once = most_probes(links, 1.2)
        after = [(link.commands, link.accepted) for link in links]
        cluster.disturb(0, NOTHING)
        cluster.wait_until_up()
    assert [commands for commands, _ in after] == [commands for commands, _ in before]
    assert all(0 <= now - then <= 3 for (_, now), (_, then) in zip(after, before, strict=True))
    assert at_once <= 1


def most_probes(links: list[Link], seconds: float) -> int:
    """Return how many connections opened from now on were open at once on one link, at most."""
    first = [link.accepted for link in links]
    most = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for link, number in zip(links, first, strict=True):
            most = max(most, sum(way.number > number for way in list(link.ways)))
        time.sleep(0.01)
    return most


def test_no_leaks() -> None:
    """After many faults of every kind no thread, no socket and no object is left behind."""
    grown = growth(CYCLES)
    assert grown.threads == 0
    assert grown.descriptors <= 0
    assert grown.objects < 5 * CYCLES
