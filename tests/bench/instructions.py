"""Counts the client's machine instructions a request, under valgrind's callgrind: nearly the same in every run.

Only requests are counted, not the start: callgrind waits until it is told to begin. What the order to serve them costs
by itself, about 2,000 instructions a request, goes when the same application without sessions is taken off.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .process import Contender

#: Requests a count.
_REQUESTS = 20


def available() -> bool:
    """Say whether there is a valgrind that can be told to begin."""
    return shutil.which("valgrind") is not None and shutil.which("vgdb") is not None


def count(
    python: str, ports: list[int], wanted: Sequence[tuple[str, str]], *, warm: bool = True
) -> dict[tuple[str, str], float]:
    """Return (contender, kind) -> instructions a request with the small session; all contenders in one process.

    Args:
        python: the interpreter.
        ports: of the memcached servers.
        wanted: contenders and kinds of requests.
        warm: serve many new sessions before; only "create" and "login" need it.
    """
    with TemporaryDirectory() as folder:
        files = (f"--callgrind-out-file={folder}/out", f"--vgdb-prefix={folder}/vgdb")
        under = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", *files)
        with Contender(python, ports, under=under) as child:
            meter = _Meter(child, Path(folder))
            for contender, kind in wanted:
                child.serve(contender, kind, "small", 3)
            for contender in dict.fromkeys(contender for contender, _ in wanted) if warm else ():
                child.warm_up(contender)
            meter.tell("instrumentation", "on")
            return {(contender, kind): meter.each(contender, kind) for contender, kind in wanted}


class _Meter:
    """Reads callgrind's counter of a running contender."""

    def __init__(self, child: Contender, folder: Path) -> None:
        self._child = child
        self._folder = folder

    def tell(self, *command: str) -> None:
        """Tell callgrind something."""
        call = ["vgdb", f"--pid={self._child.pid}", f"--vgdb-prefix={self._folder}/vgdb", *command]
        subprocess.run(call, check=True, capture_output=True, timeout=60)

    def each(self, contender: str, kind: str) -> float:
        """Return the instructions a request."""
        self._child.order("prepare", contender=contender, kind=kind, payload="small", count=_REQUESTS)
        self.tell("zero")
        self._child.order("run")
        self.tell("dump")
        newest = max(self._folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
        totals = [line for line in newest.read_text().splitlines() if line.startswith("totals:")]
        return int(totals[0].split()[1]) / _REQUESTS
