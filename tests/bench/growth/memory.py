"""Memory of an idle process, of a large ring and of connections."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from servers import Memcached

from ..process import ROOT
from .idle import CONNECTIONS, LOOK_UPS, NODES
from .meter import own_memory, table


def measure() -> list[str]:
    """Return the section."""
    servers = [Memcached(name, ("-t", "1", "-c", "4096")) for name in ("n1", "n2")]
    try:
        return _section(_step("serving", servers), _step("ring", servers), _connections(servers))
    finally:
        for server in servers:
            server.kill()


def _start(step: str, servers: Sequence[Memcached]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.growth.idle", step, *(str(server.port) for server in servers)]
    environ = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT)


def _step(step: str, servers: Sequence[Memcached]) -> dict[str, float]:
    output, _ = _start(step, servers).communicate(timeout=120)
    found: dict[str, float] = json.loads(output)
    return found


def _connections(servers: Sequence[Memcached]) -> dict[str, float]:
    before = own_memory(servers[0].pid)
    with _start("connections", servers) as process:
        assert process.stdout is not None
        found: dict[str, float] = json.loads(process.stdout.readline())
        found["memcached"] = own_memory(servers[0].pid) - before
        process.communicate(timeout=60)
    return {name: size / CONNECTIONS for name, size in found.items()}


def _section(serving: dict[str, float], ring: dict[str, float], connection: dict[str, float]) -> list[str]:
    rows = [(f"a process: {name}", f"{size / 1024:.1f} MiB") for name, size in serving.items()]
    rows += [
        (f"a ring of {NODES:,} nodes, built", f"{ring['built'] / 1024:.1f} MiB"),
        (f"the same after {LOOK_UPS:,} look-ups", f"{ring['used'] / 1024:.1f} MiB"),
        ("a connection to a node: in the process", f"{connection['process']:.1f} KiB"),
        ("a connection to a node: in memcached", f"{connection['memcached']:.1f} KiB"),
        ("a connection to a node: in the kernel, both ends together", f"{connection['kernel']:.1f} KiB"),
    ]
    return [
        "## Memory of an idle process",
        "",
        "Memory that is the process's alone (Linux: Private_Clean + Private_Dirty); what workers share after a fork is",
        f"shared by them. Of {CONNECTIONS} connections to one node, opened by one process and used once.",
        "",
        *table(("", "memory"), rows),
    ]
