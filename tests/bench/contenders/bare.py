"""No session at all: what the others' applications cost without one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .acts import act

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


def build(ports: list[int]) -> WSGIApplication:
    """Return the application."""
    return application


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Do what the others' applications do with a request that leaves the session alone."""
    return answer(act(environ["PATH_INFO"], environ, _none, _nothing, _nothing), start_response)


def _none(environ: dict[str, Any]) -> None:
    """Stand for the session."""


def _nothing(session: object) -> None:
    """Stand for what is done with it."""


def answer(body: bytes, start_response: StartResponse) -> list[bytes]:
    """Answer with the body."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
