"""Thousands of random histories under one fault at a time, checked against the promises.

SIMULATION_HISTORIES (how many) and SIMULATION_SEED (the first seed) change what is run; a failing history prints its
seed and its trace, and is replayed with SIMULATION_SEED=<seed> SIMULATION_HISTORIES=1.
"""

from __future__ import annotations

import os

import pytest

from .faults import FAULTS
from .history import THEMES, History, Verdict

HISTORIES = int(os.environ.get("SIMULATION_HISTORIES", "1000"))
FIRST_SEED = int(os.environ.get("SIMULATION_SEED", "0"))
#: Histories in one test.
PART = 100
#: Lines of a trace that are shown.
SHOWN = 400


def replay(seed: int) -> str:
    """Run a history once more, with a trace."""
    verdict = History(seed, tracing=True).run()
    return str(Verdict(seed, verdict.violations, verdict.requests, verdict.failed, verdict.trace[:SHOWN]))


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + HISTORIES, PART))
def test_promises_hold_under_one_fault_at_a_time(first: int) -> None:
    """Whatever the order of events and whichever single fault strikes, promises 1 to 6 hold."""
    last = min(first + PART, FIRST_SEED + HISTORIES)
    for seed in range(first, last):
        assert not History(seed).run().violations, replay(seed)


@pytest.mark.parametrize("seed", [73702, 5002083, 5006587, 5008707])
def test_a_history_that_was_broken(seed: int) -> None:
    """What histories have found broken stays mended: a mark over another's answered write, a lease that came late."""
    assert not History(seed).run().violations, replay(seed)


@pytest.mark.parametrize("fault", FAULTS)
def test_service_goes_on_under_each_fault(fault: str) -> None:
    """While one node fails, requests are served: fewer than one in a hundred gets a 503."""
    verdicts = [History(seed, faults=[fault]).run() for seed in range(20)]
    assert [verdict.seed for verdict in verdicts if verdict.violations] == []
    assert sum(verdict.failed for verdict in verdicts) * 100 < sum(verdict.requests for verdict in verdicts)


@pytest.mark.parametrize("theme", THEMES)
def test_a_seed_is_a_history(theme: str) -> None:
    """One seed gives one history, event by event: what was found can be found again."""
    assert History(5, theme, tracing=True).run().trace == History(5, theme, tracing=True).run().trace
