"""The page docs/explanation/growth.md: measures what is asked for, shows it, and with `write` renews the page."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from .. import report
from ..process import ROOT, contenders_python
from . import attribute, memory, ring, sessions, sizes, threads, worker

PARTS: dict[str, Callable[[], list[str]]] = {
    "ring": ring.measure,
    "memory": memory.measure,
    "threads": threads.measure,
    "sizes": sizes.measure,
    "sessions": sessions.measure,
    "attribute": attribute.measure,
    "worker": worker.measure,
}
_PAGE = ROOT / "docs" / "explanation" / "growth.md"
#: Everything above this line of the page is written by hand and kept.
_MARK = "<!-- Below: written by ./run bench --growth --write -->"


def run(words: Sequence[str], *, write: bool) -> int:
    """Measure the parts named, all without a name; return the exit status.

    Args:
        words: names of parts.
        write: renew the page, which takes all parts.
    """
    unknown = set(words) - set(PARTS)
    if unknown or (words and write):
        problem = f"unknown: {', '.join(sorted(unknown))}" if unknown else "--write needs all parts"
        print(f"bench: {problem}; parts of --growth are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    lines = [report.machine(contenders_python()), ""]
    for name in words or PARTS:
        lines += _measured(name)
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if write:
        kept = _PAGE.read_text().partition(_MARK)[0] if _PAGE.exists() else "# How it grows\n\n"
        _PAGE.write_text(f"{kept}{_MARK}\n\nMade by `./run bench --growth --write`.\n\n{text}")
    return 0


def _measured(name: str) -> list[str]:
    start = time.monotonic()
    lines = PARTS[name]()
    print(f"bench: {name}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return lines
