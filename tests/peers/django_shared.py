"""Test module for Django's own test runner: what its `sessions_tests` expect of engine and middleware, of ours.

Where Django's suite runs with shared sessions, this is one more label; see `test_django_suite`.
"""

from __future__ import annotations

import importlib
from typing import Any

from django.test import SimpleTestCase

from sharedsession.django import SessionStore, SharedSessionMiddleware

# Part of Django's source package only.
tests: Any = importlib.import_module("sessions_tests.tests")
# Its tests of the middleware name the class.
tests.SessionMiddleware = SharedSessionMiddleware


class SharedSessionTests(tests.SessionTestsMixin, SimpleTestCase):  # type: ignore[misc]
    """Every test of Django's that is for any engine."""

    backend = SessionStore
