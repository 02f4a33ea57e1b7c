"""Program: runs tests of Django's own suite as its runtests.py does, and writes what became of each one.

    python django_report.py <Django's source package> <report> <with shared sessions: yes or no> <label>...

The report is a JSON object: name of the test -> "passed", "failed", "skipped" or "expected failure".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

# ruff: noqa: N802  # names are unittest's

OUTCOMES: dict[str, str] = {}


class Recorder(unittest.TextTestResult):
    """Remembers what became of each test; the first that is not "passed" counts."""

    def stopTest(self, test: unittest.TestCase) -> None:
        """Nothing was said of it: it has passed."""
        super().stopTest(test)
        OUTCOMES.setdefault(test.id(), "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Note a failure, also of a class or a module as a whole."""
        super().addFailure(test, err)
        OUTCOMES.setdefault(test.id(), "failed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Note an error."""
        super().addError(test, err)
        OUTCOMES.setdefault(test.id(), "failed")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Note the failure of a part."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            OUTCOMES.setdefault(test.id(), "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Note that it skips itself."""
        super().addSkip(test, reason)
        OUTCOMES.setdefault(test.id(), "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Note that it fails, as it says itself."""
        super().addExpectedFailure(test, err)
        OUTCOMES.setdefault(test.id(), "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """Note that it passes although it says that it fails."""
        super().addUnexpectedSuccess(test)
        OUTCOMES.setdefault(test.id(), "failed")


def share_sessions(runtests: Any) -> None:
    """Give Django's suite the three settings of docs/django.md; the nodes are in the environment."""
    settings = importlib.import_module("django.conf").settings
    runtests.ALWAYS_INSTALLED_APPS.append("sharedsession.django")
    place = runtests.ALWAYS_MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware")
    runtests.ALWAYS_MIDDLEWARE[place] = "sharedsession.django.SharedSessionMiddleware"
    settings.SESSION_ENGINE = "sharedsession.django"


def main(source: str, report: str, shared: str, *labels: str) -> None:
    """Run the tests."""
    os.chdir(Path(source) / "tests")
    sys.path.insert(0, str(Path(source) / "tests"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "test_sqlite"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        runtests = importlib.import_module("runtests")
        runner = importlib.import_module("django.test.runner").DiscoverRunner
        runner.get_resultclass = lambda self: Recorder
        if shared == "yes":
            share_sessions(runtests)
        given = dict.fromkeys(runtests.django_tests.__code__.co_varnames[: runtests.django_tests.__code__.co_argcount])
        given |= {"verbosity": 1, "test_labels": list(labels), "parallel": 1, "shuffle": False}
        runtests.django_tests(**given)
    Path(report).write_text(json.dumps(OUTCOMES))


if __name__ == "__main__":
    main(*sys.argv[1:])
