"""Flask's own test suite, the whole of it, over our session interface and real memcached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from peers.sources import ROOT, source_of
from servers import Memcached

HERE = Path(__file__).parent
#: Seconds that the suite may take, on a machine that is busy.
SUITE_TIMEOUT = 400

#: Tests that cannot apply, and why.
CANNOT_APPLY = {
    "tests/test_basic.py::test_session_using_samesite_attribute": "without a setting the cookie is SameSite=Lax here, "
    "in Flask it has no such attribute",
    "tests/test_basic.py::test_missing_session": "an app without a secret key is refused at its first request, not at "
    "its first use of the session; here it is lent one",
    "tests/test_testing.py::test_session_transactions_no_null_sessions": "as above: every app is lent a secret key",
    "tests/test_basic.py::test_session_cookie_setting": "SESSION_REFRESH_EACH_REQUEST=False has no effect: whenever a "
    "permanent session is prolonged, so is its cookie, or it would die under an active user",
    "tests/test_basic.py::test_session_refresh_vary": "a request that leaves the session alone prolongs no cookie, so "
    "its response does not vary with it",
    "tests/test_basic.py::test_app_freed_on_zero_refcount": "the app and its extension know each other: that cycle is "
    "freed by the garbage collector",
    "tests/test_reqctx.py::test_session_dynamic_cookie_name": "is about a session interface of its own, in place of "
    "which ours is put; our cookie has one name for all URLs",
}
#: Tests that do not pass with Flask's own sessions either, in this environment, and why.
NOT_OURS = {
    "tests/test_reqctx.py::test_bad_environ_raises_bad_request": "the installed Werkzeug takes the host that is meant "
    "to be bad",
    "tests/test_cli.py::test_load_dotenv": "skips itself: needs python-dotenv",
    "tests/test_cli.py::test_dotenv_path": "skips itself: needs python-dotenv",
    "tests/test_cli.py::test_disable_dotenv_from_env": "skips itself: needs python-dotenv",
}


def run(report: Path, plugins: Iterable[str], tests: Iterable[str], nodes: str = "") -> dict[str, str]:
    """Run tests of Flask's with plugins of ours; return what became of each."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SHAREDSESSION"))}
    environ |= {
        "FLASK_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "src")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if nodes:
        environ["SHAREDSESSION_NODES"] = nodes
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += [*(word for plugin in plugins for word in ("-p", plugin)), *tests]
    done = subprocess.run(
        command, cwd=source_of("Flask"), env=environ, capture_output=True, text=True, timeout=SUITE_TIMEOUT, check=False
    )
    assert report.exists(), done.stdout[-5000:] + done.stderr[-5000:]
    outcomes: dict[str, str] = json.loads(report.read_text())
    print(done.stdout[-20000:])
    return outcomes


def test_flasks_tests_pass(tmp_path: Path, nodes: list[Memcached]) -> None:
    """Every test of Flask's passes over shared sessions, but for those that are listed here with a reason."""
    listed = " ".join(server.node for server in nodes)
    outcomes = run(tmp_path / "report", ["flask_report", "flask_shared"], ["tests"], listed)
    assert {test for test, outcome in outcomes.items() if outcome != "passed"} == {*CANNOT_APPLY, *NOT_OURS}
    assert "tests/test_basic.py::test_session_special_types" in outcomes
    assert len(outcomes) > 450
    # The sessions were there, and nowhere else.
    assert sum(server.stats()["cmd_set"] for server in nodes) > 50


def test_what_is_not_ours(tmp_path: Path) -> None:
    """A test is listed as not ours only if it does not pass with Flask's own sessions either."""
    outcomes = run(tmp_path / "report", ["flask_report"], NOT_OURS)
    assert outcomes.keys() == NOT_OURS.keys()
    assert "passed" not in outcomes.values()
