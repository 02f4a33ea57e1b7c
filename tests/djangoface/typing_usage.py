"""The Django face as a project uses it: never run, checked by `mypy --strict` with django-stubs."""

from __future__ import annotations

from typing import Any, assert_type

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from sharedsession import Session
from sharedsession.diagnostics import NodeHealth
from sharedsession.django import SessionStore, encode_url, get_session, hidden_field, project
from sharedsession.testing import in_memory


def djangos_own(request: HttpRequest) -> HttpResponse:
    """`request.session` stays what django-stubs say that it is."""
    assert_type(request.session, SessionBase)
    request.session["cart"] = ["tea"]
    request.session.set_expiry(300)
    request.session.modified = True
    request.session.cycle_key()
    request.session.flush()
    return HttpResponse(request.session.get("cart"))


def count(session: Session) -> int:
    """A transaction returns what its function returns."""
    n: int = session.get("n", 0) + 1
    session["n"] = n
    return n


async def ours(request: HttpRequest) -> None:
    """`get_session` gives the full type."""
    session = get_session(request)
    assert_type(session, SessionStore)
    base: SessionBase = session
    assert_type(base["cart"], Any)
    assert_type(session.session_key, str | None)
    assert_type(session.transaction(count), int)
    assert_type(session.ensure_id(), str)
    assert_type(session.is_new, bool)
    assert_type(session.source, str | None)
    assert_type(session.available, bool)
    assert_type(session.creation_time, float)
    assert_type(session.last_accessed_time, float)
    assert_type(session.shared, Session)
    assert_type(session.modified, bool)
    assert_type(session.exists(session.session_key), bool)
    assert_type(session.load(), dict[str, Any])
    await session.acycle_key()
    await session.aflush()
    assert_type(encode_url(request, "/cart"), str)
    assert_type(hidden_field(request), SafeString)


def operate() -> None:
    """`project` has what an operator asks, and is what tests are given."""
    assert_type(project.stats(), dict[str, int])
    assert_type(project.health(), tuple[NodeHealth, ...])
    with in_memory(project) as sessions:
        assert_type(sessions.create({}), str)
