"""Times requests: all contenders in turn, round after round, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from servers import Memcached

from .contenders import BASES
from .figures import SAME, SPLIT, Cell, Figures
from .process import Contender

#: Requests a measurement.
COUNTS = {"small": 100, "auth": 100, "large": 30, "huge": 6}
#: And of those that leave the session alone: a hundred are over before the process's code is back in the core's caches.
UNTOUCHED = 1000
#: Payloads that are measured on two cores too.
_SPLIT = ("small", "large")


def cores() -> dict[str, int]:
    """Return the client's core for each pinning; memcached's is that of `SAME`. One core: no `SPLIT`."""
    allowed = sorted(os.sched_getaffinity(0))
    return {SAME: allowed[0]} | ({SPLIT: allowed[1]} if len(allowed) > 1 else {})


def cells(contenders: Sequence[str], payloads: Sequence[str], kinds: Sequence[str]) -> list[Cell]:
    """Return everything that is to be measured in a round."""
    found = []
    for pinning in cores():
        bases = dict.fromkeys(BASES[contender] for contender in contenders)
        found += [Cell(base, "small", "untouched", pinning) for base in bases]
        for payload in payloads:
            if pinning == SAME or payload in _SPLIT:
                found += [Cell(name, payload, kind, pinning) for kind in kinds for name in contenders]
    return found


def measure(figures: Figures, wanted: list[Cell], python: str, rounds: int, seconds: float) -> None:
    """Measure the cells, `rounds` times each or until `seconds` are over (one round is always finished)."""
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        ports = [server.port for server in start_servers(stack, cores()[SAME])]
        names = dict.fromkeys(cell.contender for cell in wanted)
        children = {name: stack.enter_context(Contender(python, ports)) for name in names}
        for name, child in children.items():
            child.order("pin", core=cores()[SAME])
            child.warm_up(name)
        while figures.rounds < rounds and (figures.rounds == 0 or time.monotonic() < until):
            _play(figures, wanted, children)
            print(f"bench: round {figures.rounds} of {rounds}", file=sys.stderr)


def _play(figures: Figures, wanted: list[Cell], children: Mapping[str, Contender]) -> None:
    for cell in wanted:
        child = children[cell.contender]
        child.order("pin", core=cores()[cell.pinning])
        count = UNTOUCHED if cell.kind == "untouched" else COUNTS[cell.payload]
        answer = child.serve(cell.contender, cell.kind, cell.payload, count)
        figures.times.setdefault(cell, []).append(answer["cpu" if cell.pinning == SAME else "wall"])
    figures.rounds += 1


def start_servers(stack: ExitStack, core: int) -> list[Memcached]:
    """Start two memcached servers on this core that end with the stack."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # children inherit it
    try:
        servers = [Memcached(name, ("-t", "1", "-m", "256")) for name in ("n1", "n2")]
    finally:
        os.sched_setaffinity(0, before)
    for server in servers:
        stack.callback(server.kill)
    return servers
