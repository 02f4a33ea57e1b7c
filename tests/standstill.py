"""Runs a failed test again if the machine did not run meanwhile.

Time-outs of these tests are fractions of a second, and a virtual machine can stand still for longer: its host gives the
processor to somebody else, and to Linux that time is "stolen". A failure during which that happened says nothing of the
code. It is shown all the same, with its traceback; without stolen time a failure is final.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: Where Linux counts the time of its processors; elsewhere there is none, and no failure is excused.
COUNTERS = Path("/proc/stat")
#: Seconds, of all processors together, that a test must be without before its failure is excused.
EXCUSED = 0.1
#: How often a test is run again, and how many seconds later: such a phase may last.
RERUNS = 3
DELAY = 2

_begun = 0.0


def stolen() -> float:
    """Return the seconds that the host has ever taken from the processors; man 5 proc, "steal"."""
    if not COUNTERS.exists():
        return 0.0
    _, *jiffies = COUNTERS.read_text().partition("\n")[0].split()
    return int(jiffies[7]) / os.sysconf("SC_CLK_TCK")


def stood_still() -> bool:
    """Say whether so much was taken since the test began that its failure means nothing."""
    return stolen() - _begun >= EXCUSED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pytest-rerunfailures ask about every test, but for those that say themselves what it is to do."""
    for item in items:
        if item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS, reruns_delay=DELAY, condition=stood_still))


def pytest_runtest_logstart() -> None:
    """A test begins, or begins again."""
    global _begun
    _begun = stolen()
