"""The tables that the documentation quotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .history import Latency
from .runner import Report

_COLUMNS: tuple[tuple[str, Callable[[Report], object]], ...] = (
    ("fault", lambda report: report.scenario.name),
    ("requests", lambda report: report.requests),
    ("lost sessions", lambda report: report.counts.lost_sessions),
    ("lost updates", lambda report: report.counts.lost_updates),
    ("stale", lambda report: report.counts.stale_reads),
    ("foreign", lambda report: report.counts.foreign),
    ("resurrected", lambda report: report.counts.resurrected),
    ("new ids", lambda report: report.counts.new_ids),
    ("5xx", lambda report: report.counts.errors),
    ("unanswered", lambda report: report.counts.unanswered),
    ("ms without", lambda report: _milliseconds(report.calm)),
    ("ms with", lambda report: _milliseconds(report.faulty)),
    ("over 750 ms", lambda report: report.counts.slow),
    ("late", lambda report: f"{report.late} of {report.noticed}"),
    ("late without", lambda report: f"{report.calm_late} of {report.calm.requests}"),
    ("back after s", lambda report: f"{report.back:.1f}"),
)


def _milliseconds(latency: Latency) -> str:
    return " / ".join(f"{seconds * 1000:.0f}" for seconds in (latency.median, latency.p99, latency.longest))


def table(reports: Sequence[Report]) -> str:
    """Return a Markdown table of what is promised, and one of what is only measured.

    Latencies are median / 99th percentile / maximum. Late: more than 50 ms longer than usual, after the first second.
    """
    promised = [report for report in reports if report.scenario.promised]
    measured = [report for report in reports if not report.scenario.promised]
    parts = [_table(promised)] if promised else []
    if measured:
        parts.append("Not promised:\n\n" + _table(measured))
    return "\n\n".join(parts)


def _table(reports: Sequence[Report]) -> str:
    rows = [[name for name, _ in _COLUMNS], ["---" for _ in _COLUMNS]]
    rows += [[str(value(report)) for _, value in _COLUMNS] for report in reports]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
