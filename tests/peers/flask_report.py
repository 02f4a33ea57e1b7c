"""Plugin for Flask's own tests: writes what became of each one to the file that FLASK_REPORT names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import _pytest.monkeypatch
import pytest

if not hasattr(_pytest.monkeypatch, "notset"):
    # Flask 3.1's conftest asks for this private name, which pytest 9.1 has given another.
    _pytest.monkeypatch.notset = _pytest.monkeypatch.NOTSET  # type: ignore[attr-defined]

OUTCOMES: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome: of set-up, call and tear-down the worst."""
    if OUTCOMES.get(report.nodeid, "passed") == "passed":
        OUTCOMES[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the outcomes."""
    Path(os.environ["FLASK_REPORT"]).write_text(json.dumps(OUTCOMES))
