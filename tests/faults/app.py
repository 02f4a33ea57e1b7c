"""The application under test: plain WSGI with `SessionMiddleware`. Runs in processes of its own.

Environment: SHAREDSESSION_* as always; FAULTS_CLOCK_OFFSET: seconds by which this process's clock is wrong.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

_real_time = time.time
_offset = float(os.environ.get("FAULTS_CLOCK_OFFSET", "0"))
if _offset:
    # Before sharedsession is imported: it takes the function as a default argument.
    time.time = lambda: _real_time() + _offset

from sharedsession import Session, SessionMiddleware, get_session  # noqa: E402

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

Query = dict[str, str]


class _Monotonic(logging.Formatter):
    """Log lines with the time that all processes of the machine share, whatever clock this one has."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{time.monotonic():.3f} {record.getMessage()}"


_handler = logging.StreamHandler()
_handler.setFormatter(_Monotonic())
logging.getLogger("sharedsession").addHandler(_handler)

SECRET = "a secret that every process knows"


def _login(session: Session, query: Query) -> None:
    session.change_id()
    session["user"] = query["user"]


def _put(session: Session, query: Query) -> None:
    session[query["name"]] = query["value"]


def _count(session: Session, query: Query) -> int:
    def increment(session: Session) -> int:
        session["n"] = session.get("n", 0) + 1
        return int(session["n"])

    return session.transaction(increment)


def _read(session: Session, query: Query) -> dict[str, Any]:
    return dict(session)


def _relogin(session: Session, query: Query) -> None:
    session.change_id()


def _logout(session: Session, query: Query) -> None:
    session.invalidate()


#: Views that need a session with a user in it.
VIEWS: dict[str, Callable[[Session, Query], object]] = {
    "/put": _put,
    "/count": _count,
    "/read": _read,
    "/relogin": _relogin,
    "/logout": _logout,
}


def _view(environ: dict[str, Any]) -> dict[str, Any]:
    session, query = get_session(environ), dict(parse_qsl(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/login":
        _login(session, query)
        return {"user": query["user"]}
    user = session.get("user")
    return {"user": user, "result": VIEWS[environ["PATH_INFO"]](session, query) if user else None}


def _pages(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = json.dumps(_view(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


middleware = SessionMiddleware(_pages, secret_key=SECRET)


def _process() -> dict[str, int]:
    """Return what this process holds."""
    return {
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


OPERATOR: dict[str, Callable[[], object]] = {
    "/-/stats": middleware.stats,
    "/-/health": lambda: {node.name: node.up for node in middleware.health()},
    "/-/process": _process,
}


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Serve the operator's pages beside the middleware; tell with every other response how long it took in here."""
    operator = OPERATOR.get(environ["PATH_INFO"])
    if operator is not None:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(operator()).encode()]
    begun = time.monotonic()

    def timed(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        headers.append(("X-Took", f"{time.monotonic() - begun:.6f}"))
        return start_response(status, headers, exc_info)

    return middleware(environ, timed)
