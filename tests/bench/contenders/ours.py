"""sharedsession around a bare WSGI application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sharedsession import Session, SessionMiddleware, get_session

from .acts import act
from .bare import answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


def build(ports: list[int]) -> WSGIApplication:
    """Return the application, with one memcached node a copy."""
    nodes = " ".join(f"n{number}:127.0.0.1:{port}" for number, port in enumerate(ports, 1))
    return SessionMiddleware(_application, secret_key="s" * 32, nodes=nodes, copies=len(ports), timeout=10.0)


def _application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    return answer(act(environ["PATH_INFO"], environ, get_session, _login, _logout), start_response)


def _login(session: Session) -> None:
    session.change_id()


def _logout(session: Session) -> None:
    session.invalidate()
