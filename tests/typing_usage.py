"""The public API as an application uses it: never run, checked by `mypy --strict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, assert_type

from sharedsession import (
    ConfigError,
    CookieConfig,
    HeadersSentError,
    Session,
    SessionConfig,
    SessionMiddleware,
    SessionTooLargeError,
    SharedSessionError,
    StoreError,
    StoreUnavailableError,
    get_session,
    register_type,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Money:
    """A type of the application's."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A plain WSGI application."""
    session = get_session(environ)
    assert_type(session, Session)
    session["cart"] = ["tea"]
    assert_type(session["cart"], Any)
    assert_type(session.id, str | None)
    assert_type(session.is_new, bool)
    assert_type(session.available, bool)
    assert_type(session.creation_time, float)
    assert_type(session.last_accessed_time, float)
    assert_type(session.max_inactive_interval, int | None)
    session.max_inactive_interval = 60
    session.max_inactive_interval = None
    assert_type(session.ensure_id(), str)
    assert_type(session.copy(), dict[str, Any])
    assert_type(session | {"a": 1}, dict[str, Any])
    assert_type({"a": 1} | session, dict[str, Any])
    assert_type(iter(session), Iterator[str])
    session.update(a=1)
    session.modified = True
    session.change_id()
    session.commit()
    session.invalidate()
    other = get_session(environ, "OTHER")
    assert_type(other, Session)
    start_response("200 OK", [])
    return [b""]


def count(session: Session) -> int:
    """A transaction returns what its function returns."""

    def add(inside: Session) -> int:
        n: int = inside.get("n", 0) + 1
        inside["n"] = n
        return n

    result = session.transaction(add)
    assert_type(result, int)
    return result


def build(wsgi_app: WSGIApplication) -> WSGIApplication:
    """Every way to build the middleware; the result is a WSGI application."""
    SessionMiddleware(wsgi_app, secret_key=b"0123456789abcdef", nodes=["n1:10.0.0.1"], cookie=CookieConfig(max_age=60))
    SessionMiddleware(wsgi_app, SessionConfig(secret_key="0123456789abcdef", nodes=lambda: "n1:10.0.0.1"))
    middleware = SessionMiddleware(wsgi_app, SessionConfig(secret_key="0123456789abcdef", cookie=CookieConfig()))
    assert_type(middleware.stats(), dict[str, int])
    return middleware


def register() -> None:
    """Types are registered with a pair of functions."""
    register_type("money", Money, lambda money: money.cents, Money)


def handle(error: SharedSessionError) -> str:
    """Errors carry typed evidence."""
    if isinstance(error, ConfigError):
        return assert_type(error.option, str)
    if isinstance(error, StoreUnavailableError):
        return assert_type(error.reason, str) + "".join(error.causes)
    if isinstance(error, SessionTooLargeError):
        return f"{assert_type(error.size, int)} {assert_type(error.node, str)}"
    if isinstance(error, StoreError | HeadersSentError):
        return str(error)
    return ""
