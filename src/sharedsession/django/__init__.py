"""Django: sessions shared by every node, by three settings.

    INSTALLED_APPS += ["sharedsession.django"]
    MIDDLEWARE = [..., "sharedsession.django.SharedSessionMiddleware", ...]   # in place of Django's own
    SESSION_ENGINE = "sharedsession.django"

`SHAREDSESSION = {"nodes": "n1:10.0.0.1:11211 n2:10.0.0.2"}` holds the options. As SESSION_ENGINE alone it works behind
Django's own session middleware.
"""

from __future__ import annotations

from .middleware import SharedSessionMiddleware, encode_url, get_session, hidden_field
from .options import Project, project
from .session import SessionStore

__all__ = ["Project", "SessionStore", "SharedSessionMiddleware", "encode_url", "get_session", "hidden_field", "project"]
