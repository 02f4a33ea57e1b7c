"""The short form of the fault suite: each scenario for a second or two. `python -m faults` plays all of it in full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from .cluster import Cluster
from .runner import Scenario, play_fairly
from .scenarios import LAYOUTS, SCENARIOS

#: How long a fault lasts: longer than the time-out, or a node that hangs is not noticed.
SECONDS = 0.7
SHORT = sorted(
    (scenario for scenario in SCENARIOS if scenario.short and scenario.promised), key=lambda s: (s.layout, s.hangs)
)


Running = dict[tuple[str, bool], Cluster]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Return a dict of the cluster in use: (layout, hangs) -> cluster. A new one takes its place."""
    clusters: Running = {}
    yield clusters
    for cluster in clusters.values():
        cluster.close()


@pytest.fixture
def cluster(running: Running, scenario: Scenario) -> Cluster:
    """Return a whole cluster for the scenario; it may have served others before."""
    key = scenario.layout, scenario.hangs
    if key not in running or not running[key].whole:
        for former in running.values():
            former.close()
        running.clear()
        running[key] = Cluster(replace(LAYOUTS[scenario.layout], patient=not scenario.hangs)).__enter__()
    return running[key]


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_one_fault_at_a_time(cluster: Cluster, scenario: Scenario) -> None:
    """Through one fault nothing is lost, stale, foreign or back from the dead, and nobody gets an error."""
    report = play_fairly(scenario, cluster, SECONDS, calm=0, users=4)
    assert report.broken() == {}, str(report)
    assert report.unmoved() == [], "the fault was none"
    assert report.requests > 50
