"""`python -m faults [words...]`: play all scenarios in full, or those with one of the words in their name."""

from __future__ import annotations

import argparse
import sys
import traceback

from .cluster import Cluster
from .leaks import growth
from .report import table
from .runner import Report, Scenario, play_fairly
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
    reports, failed = [], []
    for scenario in SCENARIOS:
        if not options.words or any(word in scenario.name for word in options.words):
            try:
                reports.append(_play(scenario, options.seconds, full=not options.brief))
                _progress(reports[-1], stats=options.stats)
            except Exception:  # the others are to be played all the same
                failed.append(scenario.name)
                traceback.print_exc()
    print(table(reports))
    if failed:
        print(f"\nCould not be played: {', '.join(failed)}.")
    if not options.words:
        print(f"\n{CYCLES} fault cycles in one process: {growth(CYCLES)} more than before.")
    return bool(failed) or any(report.broken() for report in reports if report.scenario.promised)


def _play(scenario: Scenario, seconds: float, *, full: bool) -> Report:
    with Cluster(LAYOUTS[scenario.layout]) as cluster:
        return play_fairly(scenario, cluster, seconds, calm=2 * seconds, full=full)


def _progress(report: Report, *, stats: bool) -> None:
    outcome = report.broken() or report.unmoved() or "whole"
    print(f"{report.scenario.name}: {report.requests} requests, {outcome}", file=sys.stderr, flush=True)
    if stats or report.broken() or report.bystanders:
        print(report, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
