"""Outlives the demo by a moment: when its input ends, however that came about, it kills what was left running.

Input: a line `+<process group>` for each one started, `-<process group>` for each one gone. A pipe closes even when its
owner is killed with SIGKILL, so nothing the demo started survives it; unlike PR_SET_PDEATHSIG, on any system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main(directory: str) -> None:
    """Wait for the end of the input, then kill the groups and remove the demo's directory."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    alive: set[int] = set()
    for line in sys.stdin:
        (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
    for group in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
