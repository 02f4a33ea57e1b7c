"""What a request does with its session, the same for all contenders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bench.payloads import PAYLOADS

R = TypeVar("R")

#: Takes the session: gives it another id, or ends it.
Step = Callable[[Any], object]


def act(path: str, request: R, session: Callable[[R], Any], login: Step, logout: Step) -> bytes:
    """Do what `/<kind>/<payload>` asks; return the body, what "count" was then.

    Args:
        path: PATH_INFO.
        request: what the session is found by.
        session: returns the request's session; not called where it is not touched.
        login: gives the session another id.
        logout: ends it.
    """
    _, kind, payload = path.split("/")
    if kind == "untouched":
        return b"untouched"
    return _acted(session(request), kind, payload, login, logout).encode()


def _acted(session: Any, kind: str, payload: str, login: Step, logout: Step) -> str:
    if kind == "readall":
        for name in list(session.keys()):
            session[name]
    elif kind == "change":
        session["count"] = session["count"] + 1
    elif kind == "create":
        for name, value in PAYLOADS[payload].items():
            session[name] = value
    elif kind == "login":
        login(session)
        session["user"] = "bob@example.org"
    elif kind == "logout":
        logout(session)
        return "None"
    return str(session.get("count"))
