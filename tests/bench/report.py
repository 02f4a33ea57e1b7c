"""The tables of the benchmark, in Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator

from . import reach
from .contenders import BASES, PEERS, TITLES
from .figures import SAME, SPLIT, Cell, Figures
from .payloads import KINDS

_PINNINGS = {
    SAME: "Client and memcached on one core: microseconds of the client's CPU",
    SPLIT: "Client and memcached on a core each: microseconds on the wall, waits included",
}


def tables(figures: Figures) -> str:
    """Return everything that was measured."""
    return "\n".join([*_reached(figures), *_traffic(figures), *_times(figures), *_instructions(figures)])


def machine(python: str) -> str:
    """Return on what it was measured.

    Args:
        python: the contenders' interpreter.
    """
    model = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"]
    packages = subprocess.run(pip, check=True, capture_output=True, text=True).stdout.split()
    version = subprocess.run(["memcached", "-V"], check=True, capture_output=True, text=True).stdout.strip()
    return (
        f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release().split('-')[0]}; {platform.python_implementation()} {platform.python_version()}, {version}"
        f"; {', '.join(packages)}. Load (1, 5, 15 minutes): "
        f"{', '.join(f'{load:.1f}' for load in os.getloadavg())}."
    )


def _cpuinfo() -> list[str]:
    try:
        with open("/proc/cpuinfo") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _reached(figures: Figures) -> Iterator[str]:
    yield from [
        "## To reach",
        "",
        "| request and figure | at most | measured | by instructions | |",
        "|---|---|---:|---:|---|",
    ]
    yield from reach.rows(figures)
    yield ""


def _traffic(figures: Figures) -> Iterator[str]:
    for payload in dict.fromkeys(payload for _, payload, _ in figures.traffic):
        yield from [f"## memcached commands / waits a request: {payload}", ""]
        yield from _table(lambda name, kind, payload=payload: figures.traffic.get((name, payload, kind)))  # type: ignore[misc]


def _times(figures: Figures) -> Iterator[str]:
    for pinning, title in _PINNINGS.items():
        for payload in figures.measured(pinning):
            yield from [f"## Time that a session adds to a request: {payload}", ""]
            yield from [f"{title}; median and quartiles of {figures.rounds} rounds.", ""]
            yield from _table(_added(figures, payload, pinning))
            yield from _ratios(_time_ratio(figures, payload, pinning))


def _added(figures: Figures, payload: str, pinning: str) -> Callable[[str, str], object]:
    return lambda name, kind: figures.added(Cell(name, payload, kind, pinning))


def _time_ratio(figures: Figures, payload: str, pinning: str) -> Callable[[str, str, str], float | None]:
    return lambda ours, other, kind: figures.ratio(Cell(ours, payload, kind, pinning), other)


def _ratios(ratio: Callable[[str, str, str], float | None]) -> Iterator[str]:
    """Yield what sharedsession adds as a ratio to what the others do; `ratio` has ours, theirs, kind."""
    rows = []
    for ours in ("compiled-1", "compiled-2", "sharedsession-1", "sharedsession-2"):
        for other in (f"floor-{ours[-1]}", *PEERS):
            ratios = [ratio(ours, other, kind) for kind in KINDS]
            rows.append((f"{ours} to {other}", [None if found is None else f"{found:.2f}" for found in ratios]))
    yield from _lines(rows)


def _instructions(figures: Figures) -> Iterator[str]:
    if figures.instructions:
        yield from ["## Thousands of instructions that a session adds to a request: small", ""]
        yield from _table(lambda name, kind: _thousands(figures.added_instructions(name, kind)))
        yield from _ratios(figures.instruction_ratio)


def _thousands(count: float | None) -> str | None:
    return None if count is None else f"{count / 1000:.0f}"


def _table(cell: Callable[[str, str], object]) -> Iterator[str]:
    """Yield a table: a row for each contender, a column for each kind of request."""
    return _lines((TITLES[name], [cell(name, kind) for kind in KINDS]) for name in BASES)


def _lines(rows: Iterable[tuple[str, list[object]]] | list[tuple[str, list[str | None]]]) -> Iterator[str]:
    yield f"| | {' | '.join(KINDS)} |"
    yield "|---|" + "---:|" * len(KINDS)
    for title, cells in rows:
        if any(cell is not None for cell in cells):
            yield f"| {title} | {' | '.join('' if cell is None else str(cell) for cell in cells)} |"
    yield ""
