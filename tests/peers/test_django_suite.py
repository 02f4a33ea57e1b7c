"""Django's own tests of sessions and of what lives in them, over our engine, our middleware and real memcached."""

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
SUITE_TIMEOUT = 500

#: Packages of Django's tests that are run, each whole but for the modules below; `django_shared` adds our engine.
PACKAGES = ["sessions_tests", "messages_tests", "auth_tests", "csrf_tests", "test_client", "test_client_regress"]
#: Modules of these that are not run, and why.
WITHOUT_SESSIONS = {
    "auth_tests.test_hashers": "hashes passwords, half a minute long: there is neither a request nor a session in it",
}
#: Single modules of other packages.
MODULES = ["async.test_async_auth"]

#: Tests that cannot apply, and why.
CANNOT_APPLY = {
    "sessions_tests.tests.SessionMiddlewareTests.test_empty_session_saved": "looks for the session in Django's own "
    "database table; that an emptied session goes on is tested in tests/djangoface",
}
_COOKIE_TESTS = "sessions_tests.tests.CookieSessionTests.test_"
#: Tests that do not pass with Django's own sessions either, and why.
NOT_OURS = {
    f"{_COOKIE_TESTS}{name}": f"{what}: is about the engine that keeps sessions in the cookie"
    for name, what in {
        "actual_expiry": "is expected to fail",
        "session_load_does_not_create_record": "skips itself",
        "session_load_does_not_create_record_async": "skips itself",
        "session_save_does_not_resurrect_session_logged_out_in_other_context": "skips itself",
        "session_asave_does_not_resurrect_session_logged_out_in_other_context": "skips itself",
    }.items()
}
if sys.version_info < (3, 14):
    NOT_OURS["auth_tests.test_auth_backends.AuthenticateTests.test_backend_uses_deferred_annotations"] = (
        "skips itself: needs Python 3.14"
    )


def labels(source: Path) -> list[str]:
    """Return what Django's runner is told to run."""
    auth = sorted(f"auth_tests.{path.stem}" for path in (source / "tests" / "auth_tests").glob("test_*.py"))
    assert set(auth) > set(WITHOUT_SESSIONS)
    others = [package for package in PACKAGES if package != "auth_tests"]
    return [*others, *(module for module in auth if module not in WITHOUT_SESSIONS), *MODULES, "django_shared"]


def run(report: Path, tests: Iterable[str], memcacheds: Iterable[Memcached] = ()) -> dict[str, str]:
    """Run tests of Django's, over shared sessions if memcacheds are given; return what became of each."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SHAREDSESSION")}
    nodes = " ".join(server.node for server in memcacheds)
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "src")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHAREDSESSION_NODES": nodes,
        # Generous: a slow machine is no fault of a node.
        "SHAREDSESSION_TIMEOUT": "10",
        "SHAREDSESSION_CONNECT_TIMEOUT": "10",
    }
    command = [sys.executable, str(HERE / "django_report.py"), str(source_of("Django")), str(report)]
    command += ["yes" if nodes else "no", *tests]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SUITE_TIMEOUT, check=False)
    print(done.stdout[-5000:] + done.stderr[-20000:])
    assert report.exists()
    outcomes: dict[str, str] = json.loads(report.read_text())
    return outcomes


def test_djangos_tests_pass(tmp_path: Path, nodes: list[Memcached]) -> None:
    """Every test of Django's passes over shared sessions, but for those that are listed here with a reason."""
    outcomes = run(tmp_path / "report", labels(source_of("Django")), nodes)
    assert {test for test, outcome in outcomes.items() if outcome != "passed"} == {*CANNOT_APPLY, *NOT_OURS}
    assert "django_shared.SharedSessionTests.test_cycle_async" in outcomes
    assert "sessions_tests.tests.SessionMiddlewareTests.test_session_update_error_redirect" in outcomes
    assert len(outcomes) > 1500
    # The sessions were there, and nowhere else.
    assert sum(server.stats()["cmd_set"] for server in nodes) > 500


def test_what_is_not_ours(tmp_path: Path) -> None:
    """A test is listed as not ours only if it does not pass with Django's own sessions either."""
    outcomes = run(tmp_path / "report", NOT_OURS)
    assert outcomes.keys() == NOT_OURS.keys()
    assert "passed" not in outcomes.values()
