"""`python -m fuzz [target...]`: run many fresh inputs, print a table, keep what broke a promise in the corpus."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import resource
import sys
import time
from math import inf

from .catalogue import CORPUS, TARGETS, with_corpus
from .engine import Finding, Outcome, fuzz, smaller
from .target import Target

#: Bytes of memory that the process may have: a parser that asks for more has failed.
MEMORY = 2 << 30


def main() -> int:
    """Fuzz the targets; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--cases", type=int, default=100_000, help="fresh inputs for each (default: 100,000)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="of chance (default: another one each time)"
    )
    parser.add_argument("--seconds", type=float, default=inf, help="for each at most (default: no limit)")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    with contextlib.suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print(f"seed {options.seed}\n\n| target | inputs | a second | led somewhere new | lines reached | findings |")
    print("|---|---|---|---|---|---|", flush=True)
    outcomes = [_play(name, options) for name in options.targets or TARGETS]
    return any(outcome.findings for outcome in outcomes)


def _play(name: str, options: argparse.Namespace) -> Outcome:
    target = with_corpus(name)
    began = time.process_time()
    outcome = fuzz(target, options.cases, options.seed, options.seconds)
    rate = outcome.executions / (time.process_time() - began)
    cells = [
        name,
        f"{outcome.executions:,}",
        f"{rate:,.0f}",
        f"{outcome.kept:,}",
        outcome.lines or "-",
        len(outcome.findings),
    ]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    for finding in outcome.findings.values():
        _keep(name, target, finding)
    return outcome


def _keep(name: str, target: Target, finding: Finding) -> None:
    """Put the input, made small, into the corpus; whoever mends what it broke gives it a name."""
    small = smaller(target, finding)
    path = CORPUS / name / f"finding-{hashlib.sha256(small.data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small.data)
    print(f"{name}: {small}kept as {path}\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
