"""`python -m faults [words...]`: play all scenarios in full, or those with one of the words in their name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from .cluster import Cluster
from .leaks import growth
from .report import table
from .runner import Report, play_fairly
from .scenarios import LAYOUTS, SCENARIOS

#: Fault cycles after which nothing may be left behind.
CYCLES = 1000


def main() -> int:
    """Play, print the tables; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("words", nargs="*", help="play only scenarios with one of these in their name")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each fault lasts (default: 5)")
    parser.add_argument("--brief", action="store_true", help="strike one node only, with few sessions")
    parser.add_argument("--stats", action="store_true", help="print the middleware's counters too")
    options = parser.parse_args()
    reports = []
    for report in _play(options.words, options.seconds, full=not options.brief):
        reports.append(report)
        _progress(report, stats=options.stats)
    print(table(reports))
    if not options.words:
        print(f"\n{CYCLES} fault cycles in one process: {growth(CYCLES)} more than before.")
    return any(report.broken() for report in reports if report.scenario.promised)


def _play(words: list[str], seconds: float, *, full: bool) -> Iterable[Report]:
    for scenario in SCENARIOS:
        if not words or any(word in scenario.name for word in words):
            with Cluster(LAYOUTS[scenario.layout]) as cluster:
                yield play_fairly(scenario, cluster, seconds, calm=2 * seconds, full=full)


def _progress(report: Report, *, stats: bool) -> None:
    outcome = report.broken() or report.unmoved() or "whole"
    print(f"{report.scenario.name}: {report.requests} requests, {outcome}", file=sys.stderr, flush=True)
    if stats or report.broken() or report.bystanders:
        print(report, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
