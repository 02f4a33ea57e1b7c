"""Views for the project of these tests, a browser for it, and a look at what is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from wsgiref.validate import validator

import webclient
from django.contrib import auth
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from servers import Memcached

from sharedsession.django import SessionStore

View = Callable[[HttpRequest], Any]

PASSWORD = "a password of these tests"


def urls(views: Mapping[str, View], *more: Any) -> type:
    """Return a ROOT_URLCONF: each view under its name; what is no response is shown as text."""
    patterns = [path(name, _view(view)) for name, view in views.items()]
    return type("Urls", (), {"urlpatterns": [*patterns, *more]})


def _view(view: View) -> View:
    def shown(request: HttpRequest) -> HttpResponseBase:
        result = view(request)
        return result if isinstance(result, HttpResponseBase) else HttpResponse(str(result), content_type="text/plain")

    return shown


def put(name: str, value: object) -> View:
    """Return a view that sets an attribute."""
    return lambda request: request.session.update({name: value})


def show(request: HttpRequest) -> object:
    """Show all attributes, in the order of their names."""
    return dict(sorted(request.session.items()))


def nothing(request: HttpRequest) -> object:
    """Leave the session alone."""
    return "nothing"


def log_in(request: HttpRequest) -> None:
    """Log mia in."""
    user = auth.authenticate(request, username="mia", password=PASSWORD)
    assert user is not None
    auth.login(request, user)


#: Views that many tests have.
VIEWS: dict[str, View] = {
    "put": put("a", 1),
    "show": show,
    "nothing": nothing,
    "key": lambda request: request.session.session_key,
    "flush": lambda request: request.session.flush(),
    "cycle": lambda request: request.session.cycle_key(),
}


class Browser(webclient.Client):
    """A browser that asks Django by WSGI, with a validator in between.

    Args:
        cookies: what its jar holds at first.
        defaults: environ keys of every request.
    """

    def __init__(self, cookies: dict[str, str] | None = None, app: Any = None, **defaults: Any) -> None:
        super().__init__(validator(app or WSGIHandler()), cookies, **defaults)

    @property
    def id(self) -> str:
        """The session id that it holds."""
        return self.cookies["sessionid"]

    def _keep(self, header: str) -> None:
        super()._keep(header.strip())


def key_of(session_id: str) -> str:
    """Return the key under which memcached has a session."""
    return f"sharedsession:{hashlib.sha256(session_id[:32].encode()).hexdigest()}"


def remaining(server: Memcached, session_id: str) -> int:
    """Return for how many seconds more memcached keeps a session; -1 if it has none."""
    answer = server.command(b"mg %b t" % key_of(session_id).encode()).decode().split()
    return int(answer[1].removeprefix("t")) if answer[0] == "HD" else -1


def stored(session_id: str) -> dict[str, Any] | None:
    """Return the attributes that a session has now, None if there is none; prolongs nothing."""
    store = SessionStore(session_id)
    return dict(store.items()) if store.exists(session_id) else None


def seconds(cookie: str | None) -> int | None:
    """Return a cookie's Max-Age."""
    found = [part for part in (cookie or "").split("; ") if part.startswith("Max-Age=")]
    return int(found[0].removeprefix("Max-Age=")) if found else None
