"""Django's cache sessions over pymemcache, prolonged by every request; without a port, Django without sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from .acts import act

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def build(ports: list[int]) -> WSGIApplication:
    """Return the application; once in a process, as Django's settings are the process's own."""
    settings.configure(
        SECRET_KEY="s" * 32,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        LOGGING_CONFIG=None,
        USE_TZ=True,
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SESSION_SAVE_EVERY_REQUEST=True,
        SESSION_COOKIE_AGE=1800,
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"] if ports else [],
        CACHES={"default": _cache(ports[0])} if ports else {},
    )
    django.setup()
    application: WSGIApplication = get_wsgi_application()
    return application


def _cache(port: int) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": f"127.0.0.1:{port}",
        "OPTIONS": {"no_delay": True, "timeout": 10},
    }


def _view(request: HttpRequest, kind: str, payload: str) -> HttpResponse:
    body = act(
        request.path,
        request,
        lambda request: request.session,
        lambda session: session.cycle_key(),
        lambda session: session.flush(),
    )
    return HttpResponse(body, content_type="text/plain")


urlpatterns = [path("<kind>/<payload>", _view)]
