"""Measures CPU time and memory."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from ..figures import Spread

Action = Callable[[], object]


def spread(times: list[float]) -> Spread:
    """Return the median and the quartiles."""
    return Spread(*quantiles(times, n=4, method="inclusive"))


def cpu(action: Action, count: int) -> float:
    """Do something `count` times; return the microseconds of this process's CPU that each took."""
    gc.collect()
    start = time.process_time()
    for _ in range(count):
        action()
    return (time.process_time() - start) * 1e6 / count


def in_turn(actions: Mapping[str, tuple[Action, int]], rounds: int, each: int = 1) -> dict[str, Spread]:
    """Measure actions, each `count` times a round, all in turn: what disturbs the machine disturbs all.

    Args:
        actions: name -> action and count.
        rounds: how often.
        each: things that one action does; the result is for one of them.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, (action, count) in actions.items():
            times[name].append(cpu(action, count) / each)
    return {name: spread(found) for name, found in times.items()}


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def own_memory(pid: int | str = "self") -> float:
    """Return the KiB of memory that are this process's alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def kernel_memory() -> float:
    """Return the KiB that the kernel holds for itself: sockets and open files among them."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("SUnreclaim"))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return a Markdown table: the first column is text, the others are figures."""
    columns = list(columns)
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]
