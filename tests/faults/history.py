"""What is recorded of a run: every request of every client, with what it was told."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple


class Op(Enum):
    """What a request does to its session."""

    #: Log in with the user's name, under a new id: begins a lineage.
    LOGIN = "login"
    #: Write the attribute `name`, which only one tab writes, with rising numbers.
    SET = "set"
    #: Write the attribute `name` that nobody ever wrote before.
    ADD = "add"
    #: Add 1 to the attribute "n" in a transaction.
    COUNT = "count"
    #: Read everything.
    READ = "read"
    #: Change the id.
    RELOGIN = "relogin"
    #: End the session.
    LOGOUT = "logout"


class Cookie(NamedTuple):
    """One id of a session."""

    #: The session, from its log-in to its end: "<user>.<number of the log-in>".
    lineage: str
    #: 0 for the id of the log-in, 1 after the first `change_id`.
    number: int
    #: The id as the client shows it.
    text: str


class Event(NamedTuple):
    """One request. Times are seconds of time.monotonic."""

    start: float
    end: float
    #: The application process that was asked.
    app: int
    #: The session meant, and the number of the id that was shown.
    lineage: str
    number: int
    op: Op
    #: HTTP status; 0: the connection broke before an answer came.
    status: int
    #: Whose session the application saw; None: none.
    user: str | None = None
    #: The attribute written, and the value.
    name: str = ""
    value: int = 0
    #: What the application returned: everything (READ), the new number (COUNT).
    seen: Any = None
    #: The response brought a session cookie with another value.
    new_id: bool = False
    #: Seconds that the request spent in the middleware; 0.0: unknown.
    took: float = 0.0

    @property
    def owner(self) -> str:
        """The user who asked."""
        return self.lineage.partition(".")[0]

    @property
    def done(self) -> bool:
        """It was acknowledged: the application saw the user's session and the answer was 200."""
        return self.status == 200 and self.user == self.owner

    @property
    def latency(self) -> float:
        """Seconds from the client's point of view."""
        return self.end - self.start


class Span(NamedTuple):
    """A stretch of time, in seconds of time.monotonic."""

    start: float
    end: float

    def covers(self, event: Event) -> bool:
        """Say whether the event began in it."""
        return self.start <= event.start < self.end


class Latency(NamedTuple):
    """Latencies of many requests, in seconds."""

    requests: int
    median: float
    p99: float
    longest: float


def latency(events: Iterable[Event]) -> Latency:
    """Return median, 99th percentile and maximum."""
    times = sorted(event.latency for event in events)
    if not times:
        return Latency(0, 0.0, 0.0, 0.0)
    return Latency(len(times), times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
