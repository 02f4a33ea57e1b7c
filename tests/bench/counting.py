"""Counts memcached commands and waits a request: the same in every run, however busy the machine is."""

from __future__ import annotations

from collections.abc import Sequence

from servers import Memcached

from .figures import Traffic
from .process import Contender

_REQUESTS = 20
#: Of `stats`. A meta get that prolongs counts as a touch; `mn`, which asks nothing, as none of these.
_COUNTERS = (
    "cmd_get",
    "cmd_set",
    "cmd_touch",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
)


def count(
    python: str, servers: Sequence[Memcached], wanted: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], Traffic]:
    """Return what memcached sees of a request: (contender, payload, kind) -> commands and waits."""
    found = {}
    ports = [server.port for server in servers]
    for contender in dict.fromkeys(name for name, _, _ in wanted):
        with Contender(python, ports, ("--count",)) as child:
            # The first requests connect, and leave what is left once in a process.
            child.serve(contender, "login", "small", 2)
            for name, payload, kind in wanted:
                if name == contender:
                    found[name, payload, kind] = _count(child, servers, contender, payload, kind)
    return found


def _count(child: Contender, servers: Sequence[Memcached], contender: str, payload: str, kind: str) -> Traffic:
    child.order("prepare", contender=contender, kind=kind, payload=payload, count=_REQUESTS)
    before = _commands(servers)
    waits = child.order("run")["waits"]
    return Traffic((_commands(servers) - before) / _REQUESTS, waits / _REQUESTS)


def _commands(servers: Sequence[Memcached]) -> int:
    """Return all commands so far, once those are counted whose answers nobody waits for."""
    previous = -1
    while (total := sum(server.stats()[name] for server in servers for name in _COUNTERS)) != previous:
        previous = total
    return total
