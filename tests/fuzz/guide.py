"""Sees which lines of the library ran for the first time. Needs sys.monitoring (Python 3.12, PEP 669)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import sharedsession

_OURS = str(Path(sharedsession.__file__).parent)


class Lines:
    """Counts the lines of the library that have run."""

    def __init__(self) -> None:
        self._ran = 0
        self._seen = 0

    def new(self) -> bool:
        """Say whether a line has run, since this was last asked, that had never run before."""
        new, self._seen = self._ran > self._seen, self._ran
        return new

    @property
    def count(self) -> int:
        """How many lines have run so far; 0 where nobody counts them."""
        return self._ran

    if sys.version_info >= (3, 12):

        @contextmanager
        def counting(self) -> Iterator[None]:
            """Count while the block runs."""
            monitoring = sys.monitoring
            tool = monitoring.COVERAGE_ID
            if monitoring.get_tool(tool) is not None:  # somebody measures coverage: nothing is counted here
                yield
                return
            monitoring.use_tool_id(tool, "fuzz")
            monitoring.register_callback(tool, monitoring.events.LINE, self._line)
            monitoring.set_events(tool, monitoring.events.LINE)
            monitoring.restart_events()
            try:
                yield
            finally:
                monitoring.set_events(tool, 0)
                monitoring.free_tool_id(tool)

        def _line(self, code: CodeType, line: int) -> object:
            self._ran += code.co_filename.startswith(_OURS)
            return sys.monitoring.DISABLE  # this line is known now, and costs nothing any more

    else:

        @contextmanager
        def counting(self) -> Iterator[None]:
            """Count nothing: this Python could only trace."""
            yield
