"""System checks: every mistake in the settings by name, before the first request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..config import SessionConfig
from ..errors import ConfigError
from ..middleware import SessionMiddleware as WsgiMiddleware
from .middleware import SharedSessionMiddleware
from .options import SETTING, read_config, setting_of
from .session import SessionStore

ENGINE = "sharedsession.django"
MIDDLEWARE = "sharedsession.django.SharedSessionMiddleware"

#: Middleware that uses the session, so that ours must come before it.
_NEEDS_SESSION = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
#: Django's settings that mean nothing here -> why.
_WITHOUT_EFFECT = {
    "SESSION_SERIALIZER": "values keep their types by sharedsession's own codec; register_type() adds types",
    "SESSION_CACHE_ALIAS": "sessions are not kept in Django's cache; name memcached nodes in SHAREDSESSION['nodes']",
    "SESSION_FILE_PATH": "sessions are not kept in files",
}


def check_settings(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings."""
    return [*_check_options(), *_check_engine(), *_check_middleware(), *_check_without_effect()]


def check_deployment(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return what is not fit for production (`manage.py check --deploy`)."""
    with suppress(ConfigError, ImproperlyConfigured):  # said by `check_settings`
        if read_config().nodes is None:
            return [
                checks.Warning(
                    "No memcached nodes are configured: sessions are kept in one process and end with it.",
                    hint=f"Write {SETTING} = {{'nodes': 'n1:10.0.0.1:11211 n2:10.0.0.2:11211'}}.",
                    id="sharedsession.W001",
                )
            ]
    return []


def _check_options() -> Iterator[CheckMessage]:
    try:
        config = read_config()
    except ConfigError as error:
        yield Error(f"{error}.", hint=f"Correct it in the setting {setting_of(error.option)}.", id="sharedsession.E001")
        return
    except ImproperlyConfigured as error:  # no SECRET_KEY
        yield Error(str(error), hint="Write SECRET_KEY = ..., the same on every node.", id="sharedsession.E001")
        return
    if "form" in config.tracking and not _is_wrapped():
        yield checks.Warning(
            "Form tracking needs sharedsession.SessionMiddleware around the WSGI application as well: the body of a "
            "request is bound before MIDDLEWARE runs.",
            hint="In wsgi.py, which WSGI_APPLICATION names: application = SessionMiddleware(get_wsgi_application())",
            id="sharedsession.W002",
        )
    if config.rewrite_html and not _is_wrapped():
        yield checks.Warning(
            "rewrite_html needs sharedsession.SessionMiddleware around the WSGI application as well.",
            hint="In wsgi.py, which WSGI_APPLICATION names: application = SessionMiddleware(get_wsgi_application())",
            id="sharedsession.W005",
        )
    yield from _check_cookie_age(config)


def _check_cookie_age(config: SessionConfig) -> Iterator[CheckMessage]:
    if config.max_inactive_interval != settings.SESSION_COOKIE_AGE and settings.is_overridden("SESSION_COOKIE_AGE"):
        yield checks.Warning(
            f"SESSION_COOKIE_AGE = {settings.SESSION_COOKIE_AGE!r} has no effect: max_inactive_interval = "
            f"{config.max_inactive_interval!r} is set in {SETTING} or the environment.",
            hint="Keep one of them.",
            id="sharedsession.W003",
        )


def _is_wrapped() -> bool:
    path: str = getattr(settings, "WSGI_APPLICATION", None) or ""
    try:
        return "." in path and isinstance(import_string(path), WsgiMiddleware)
    except ImportError:
        return False


def _check_engine() -> Iterator[CheckMessage]:
    try:
        engine = import_module(settings.SESSION_ENGINE).SessionStore
    except (ImportError, AttributeError):
        engine = None
    if not (isinstance(engine, type) and issubclass(engine, SessionStore)):
        yield Error(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, so sessions would not be kept here, or client.session, "
            "force_login and commands would use other sessions than requests do.",
            hint=f"Write SESSION_ENGINE = {ENGINE!r}.",
            id="sharedsession.E002",
        )


def _check_middleware() -> Iterator[CheckMessage]:
    names = list(settings.MIDDLEWARE)
    ours = [name for name in names if _is_ours(name)]
    djangos = [name for name in names if _is_session_middleware(name) and name not in ours]
    if not ours and not djangos:
        yield Error(
            "MIDDLEWARE has no session middleware, so requests have no session.",
            hint=f"Put {MIDDLEWARE!r} where Django's SessionMiddleware was.",
            id="sharedsession.E003",
        )
    if len(ours) + len(djangos) > 1:
        yield Error(
            f"MIDDLEWARE has several session middlewares: {', '.join(ours + djangos)}.",
            hint=f"Keep {MIDDLEWARE!r} alone; it takes the place of Django's.",
            id="sharedsession.E004",
        )
    yield from _check_order(names, ours)


def _check_order(names: list[str], ours: list[str]) -> Iterator[CheckMessage]:
    needing = [*_NEEDS_SESSION, *(["django.middleware.csrf.CsrfViewMiddleware"] if settings.CSRF_USE_SESSIONS else [])]
    for name in needing:
        if ours and name in names and names.index(name) < names.index(ours[0]):
            yield Error(
                f"MIDDLEWARE has {name} before {ours[0]}, so it finds no session.",
                hint="Move sharedsession's middleware up.",
                id="sharedsession.E005",
            )


def _is_ours(name: str) -> bool:
    return _is_session_middleware(name, SharedSessionMiddleware)


def _is_session_middleware(name: str, wanted: type = SessionMiddleware) -> bool:
    try:
        cls = import_string(name)
    except ImportError:
        return False  # Django says so itself
    return isinstance(cls, type) and issubclass(cls, wanted)


def _check_without_effect() -> Iterator[CheckMessage]:
    for name, why in _WITHOUT_EFFECT.items():
        if settings.is_overridden(name):
            yield checks.Warning(f"{name} has no effect: {why}.", hint="Remove it.", id="sharedsession.W004")
