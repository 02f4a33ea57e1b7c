"""Beaker over python-memcached, the client that its memcached back end takes first."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .acts import act
from .bare import answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


#: Kinds of requests after which the application has to say that there is something to save.
_SAVED = ("change", "create", "login")
_LOCKS = tempfile.TemporaryDirectory(prefix="bench-beaker-")


def build(ports: list[int]) -> WSGIApplication:
    """Return the application."""
    options = {
        "session.type": "ext:memcached",
        "session.url": f"127.0.0.1:{ports[0]}",
        "session.memcache_module": "memcache",
        "session.lock_dir": _LOCKS.name,
        "session.timeout": 1800,
    }
    middleware: WSGIApplication = importlib.import_module("beaker.middleware").SessionMiddleware(_application, options)
    return middleware


def _application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = act(
        environ["PATH_INFO"],
        environ,
        lambda environ: environ["beaker.session"],
        lambda session: session.regenerate_id(),
        lambda session: session.delete(),
    )
    if environ["PATH_INFO"].split("/")[1] in _SAVED:
        environ["beaker.session"].save()
    return answer(body, start_response)
