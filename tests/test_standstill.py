"""A failed test is run again only if its machine stood still meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Fails the first time; meanwhile so much is stolen, in hundredths of a second.
FAILING_ONCE = """
import pytest
import standstill
from pathlib import Path

standstill.DELAY = 0
standstill.COUNTERS = Path("{counters}")

{marker}
def test_fails_once():
    before, standstill.COUNTERS = standstill.COUNTERS.read_text(), standstill.COUNTERS
    if before == "cpu 1 2 3 4 5 6 7 100 0 0\\n":
        standstill.COUNTERS.write_text("cpu 1 2 3 4 5 6 7 {after} 0 0\\n")
        raise AssertionError("the first time")
"""


NEVER = "@pytest.mark.flaky(reruns=0)"


@pytest.mark.parametrize(
    ("after", "marker", "status", "said"),
    [(130, "", 0, "1 passed, 1 rerun"), (101, "", 1, "1 failed"), (130, NEVER, 1, "1 failed")],
    ids=["standstill", "none", "never excused"],
)
def test_only_a_standstill_excuses_a_failure(tmp_path: Path, after: int, marker: str, status: int, said: str) -> None:
    """A test that failed while the host had the processor is run again, any other is not; both failures are shown."""
    counters = tmp_path / "stat"
    counters.write_text("cpu 1 2 3 4 5 6 7 100 0 0\n")
    (tmp_path / "test_it.py").write_text(FAILING_ONCE.format(counters=counters, after=after, marker=marker))
    command = [sys.executable, "-m", "pytest", "-p", "standstill", "--rerun-show-tracebacks", "-c", "/dev/null", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        env={"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout
    assert "AssertionError: the first time" in done.stdout
