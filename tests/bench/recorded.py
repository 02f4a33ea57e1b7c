"""The figures without noise that a change must not worsen: `python -m bench --record` records them anew.

Commands and waits hold everywhere. Instructions depend on the interpreter's build and on the packages: they are
compared only where those are the recorded ones.
"""

from __future__ import annotations

import platform
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from . import counting, instructions, timing
from .figures import SAME
from .payloads import KINDS
from .process import ROOT

PATH = Path(__file__).with_name("figures.txt")
COPIES = ("sharedsession-1", "sharedsession-2")
#: (contender, kind) of which instructions are counted.
COUNTED = [(COPIES[0], "untouched"), (COPIES[0], "read"), (COPIES[1], "read"), (COPIES[1], "change")]
#: The same of what `./run test` compiles.
COMPILED = [("compiled-1", "untouched"), ("compiled-1", "read"), ("compiled-2", "read"), ("compiled-2", "change")]
_PACKAGES = ("itsdangerous", "msgpack", "pymemcache", "werkzeug")


def environment() -> str:
    """Return what instructions depend on, but for our own code."""
    packages = " ".join(f"{name}-{version(name)}" for name in _PACKAGES)
    return f"{platform.machine()} {' '.join(sys.version.split())} {packages}"


def count_traffic() -> dict[str, str]:
    """Return "contender kind" -> "commands / waits", counted now."""
    wanted = [(contender, "small", kind) for contender in COPIES for kind in KINDS]
    with ExitStack() as stack:
        servers = timing.start_servers(stack, timing.cores()[SAME])
        found = counting.count(sys.executable, servers, wanted)
    return {f"{contender} {kind}": str(traffic) for (contender, _, kind), traffic in found.items()}


def count_instructions(wanted: list[tuple[str, str]]) -> dict[str, int]:
    """Return "contender kind" -> instructions a request, counted now: of `COUNTED` or of `COMPILED`."""
    with ExitStack() as stack:
        ports = [server.port for server in timing.start_servers(stack, timing.cores()[SAME])]
        found = instructions.count(sys.executable, ports, wanted, warm=False)
    return {f"{contender} {kind}": round(number) for (contender, kind), number in found.items()}


def compiled() -> bool:
    """Say whether that was compiled as `./run test` does: quickly."""
    stamp = ROOT / "build" / "compiled" / "stamp"
    return stamp.exists() and stamp.read_text().startswith("1 ")


def read() -> tuple[str, dict[str, str], dict[str, int]]:
    """Return the recorded environment, traffic and instructions."""
    lines = [line.partition(": ") for line in PATH.read_text().splitlines() if line and not line.startswith("#")]
    fields = {name: value for name, _, value in lines}
    traffic = {name.removeprefix("traffic "): text for name, text in fields.items() if name.startswith("traffic ")}
    counts = {name.removeprefix("instructions "): int(n) for name, n in fields.items() if name.startswith("instr")}
    return fields["environment"], traffic, counts


def record() -> None:
    """Count, and write the file; what is compiled must be as `./run test` makes it."""
    if not compiled():
        raise RuntimeError("first: SHAREDSESSION_OPT_LEVEL=1 .venv/bin/python tools/compile.py")
    lines = ["# Recorded by: ./run bench --record", f"environment: {environment()}"]
    lines += [f"traffic {name}: {text}" for name, text in count_traffic().items()]
    counts = count_instructions(COUNTED) | count_instructions(COMPILED)
    lines += [f"instructions {name}: {number}" for name, number in counts.items()]
    PATH.write_text("\n".join([*lines, ""]))
