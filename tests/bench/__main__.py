"""`python -m bench [words...]`: measure, print tables; with --write, renew docs/explanation/speed.md and its plot."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from . import counting, instructions, plot, recorded, report, timing
from .contenders import BASES
from .figures import SAME, Figures
from .growth import page
from .payloads import KINDS, PAYLOADS
from .process import ROOT, contenders_python

PARTS = ("time", "counts", "instructions")
_PAGE = ROOT / "docs" / "explanation" / "speed.md"
#: Everything above this line of the page is written by hand and kept.
_MARK = "<!-- Below: written by ./run bench --write -->"


def main() -> int:
    """Measure what is asked for."""
    # So that the servers are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _options()
    if options.record:
        recorded.record()
        return 0
    if options.growth:
        return page.run(options.words, write=options.write)
    words = options.words
    contenders, payloads = _chosen(words, list(BASES)), _chosen(words, list(PAYLOADS))
    kinds, parts = _chosen(words, KINDS), _chosen(words, PARTS)
    unknown = set(words) - {*BASES, *PAYLOADS, *KINDS, *PARTS}
    if unknown:
        print(f"bench: unknown: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    python = contenders_python()
    figures = Figures()
    if "counts" in parts:
        _count(
            figures, python, [(name, payload, kind) for name in contenders for payload in payloads for kind in kinds]
        )
    if "instructions" in parts and "small" in payloads:
        _instructions(figures, python, contenders, kinds)
    if "time" in parts:
        wanted = timing.cells(contenders, payloads, kinds)
        timing.measure(figures, wanted, python, options.rounds, options.seconds)
    _show(figures, python, write=options.write)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "words",
        nargs="*",
        help=f"measure only these: {', '.join([*BASES, *PAYLOADS])}; "
        f"requests {', '.join(KINDS)}; parts {', '.join(PARTS)}",
    )
    parser.add_argument("--rounds", type=int, default=15, help="measure every time this often (default: 15)")
    parser.add_argument("--seconds", type=float, default=900, help="begin no round after this (default: 900)")
    parser.add_argument("--write", action="store_true", help="renew docs/explanation/speed.md and speed.svg")
    parser.add_argument(
        "--growth",
        action="store_true",
        help=f"how it grows: words are then of {', '.join(page.PARTS)}; --write renews growth.md",
    )
    parser.add_argument("--record", action="store_true", help="renew figures.txt, which test_gate compares with")
    return parser.parse_args()


def _chosen(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names among the words; all, when there is none."""
    return [name for name in names if name in words] or list(names)


def _count(figures: Figures, python: str, wanted: list[tuple[str, str, str]]) -> None:
    with ExitStack() as stack:
        servers = timing.start_servers(stack, timing.cores()[SAME])
        figures.traffic = counting.count(python, servers, wanted)


def _instructions(figures: Figures, python: str, contenders: list[str], kinds: list[str]) -> None:
    if not instructions.available():
        print("bench: no valgrind, so instructions are not counted", file=sys.stderr)
        return
    bases = dict.fromkeys(BASES[name] for name in contenders)
    jobs = [(name, ["untouched"]) for name in bases] + [(name, kinds) for name in contenders]
    with ExitStack() as stack:
        ports = [server.port for server in timing.start_servers(stack, timing.cores()[SAME])]
        for name, wanted in jobs:
            print(f"bench: instructions of {name}", file=sys.stderr)
            figures.instructions |= instructions.count(python, ports, [(name, kind) for kind in wanted])


def _show(figures: Figures, python: str, *, write: bool) -> None:
    text = "\n".join([report.machine(python), "", report.tables(figures)])
    print(text)
    if write:
        kept = _PAGE.read_text().partition(_MARK)[0] if _PAGE.exists() else "# How fast it is\n\n![](speed.svg)\n\n"
        command = " ".join(["./run bench", *sys.argv[1:]])
        _PAGE.write_text(f"{kept}{_MARK}\n\nMade by `{command}`.\n\n{text}")
        _PAGE.with_name("speed.svg").write_text(plot.svg(figures))


if __name__ == "__main__":
    raise SystemExit(main())
