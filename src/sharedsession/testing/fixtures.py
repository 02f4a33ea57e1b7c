"""A pytest plugin with the fixture `shared_sessions`; in the top-level conftest.py:

pytest_plugins = ["sharedsession.testing.fixtures"]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .sessions import UseSessions, in_memory


@pytest.fixture
def shared_sessions() -> Iterator[UseSessions]:
    """Return a function: `sessions = shared_sessions(app)` is `in_memory(app)` until the test ends."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(in_memory(app))
