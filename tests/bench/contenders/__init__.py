"""The contenders: WSGI applications that do the same with their sessions, each with its library as documented."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Name -> (module here, copies).
_MODULES = {
    "bare": ("bare", 0),
    "floor-1": ("floor", 1),
    "floor-2": ("floor", 2),
    "sharedsession-1": ("ours", 1),
    "sharedsession-2": ("ours", 2),
    "compiled-1": ("compiled", 1),
    "compiled-2": ("compiled", 2),
    "flask": ("flask_app", 0),
    "flask-session": ("flask_app", 1),
    "django": ("django_app", 0),
    "django-sliding": ("django_app", 1),
    "beaker": ("beaker_app", 1),
}
#: Contender -> the same application without sessions, whose cost is taken off.
BASES = {
    "floor-1": "bare",
    "floor-2": "bare",
    "sharedsession-1": "bare",
    "sharedsession-2": "bare",
    "compiled-1": "bare",
    "compiled-2": "bare",
    "flask-session": "flask",
    "django-sliding": "django",
    "beaker": "bare",
}
CONTENDERS = tuple(_MODULES)
PEERS = ("flask-session", "django-sliding", "beaker")
TITLES = {
    "floor-1": "floor, bare socket, 1 copy",
    "floor-2": "floor, bare socket, 2 copies",
    "sharedsession-1": "sharedsession, interpreted, copies=1",
    "sharedsession-2": "sharedsession, interpreted, copies=2",
    "compiled-1": "**sharedsession, compiled, copies=1**",
    "compiled-2": "**sharedsession, compiled, copies=2**",
    "flask-session": "Flask-Session",
    "django-sliding": "Django, sliding expiry",
    "beaker": "Beaker",
}


def build(name: str, ports: list[int]) -> WSGIApplication:
    """Return the contender's application.

    Args:
        name: one of `CONTENDERS`.
        ports: of memcached servers on 127.0.0.1, one a copy.
    """
    module, copies = _MODULES[name]
    application: WSGIApplication = importlib.import_module(f"{__name__}.{module}").build(ports[:copies])
    return application
