"""Django's settings as our options; the parts that middleware, engine and commands of one process share."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from ..assembly import Parts, assemble, way_of
from ..config import SessionConfig
from ..diagnostics import Diagnostics
from ..errors import ConfigError
from ..session import Session
from ..settings import SETTING_PREFIX, build_config, read_environment
from .expiry import cookie_age

#: The setting that holds our options, as a dict with lower-case keys.
SETTING = "SHAREDSESSION"

#: Our option -> Django's setting, which Django's own code computes with: it holds whether the project sets it or not.
_SHARED_SETTINGS = {
    "secret_key": "SECRET_KEY",
    "secret_key_fallbacks": "SECRET_KEY_FALLBACKS",
    "cookie_name": "SESSION_COOKIE_NAME",
    "max_inactive_interval": "SESSION_COOKIE_AGE",
    "slide_always": "SESSION_SAVE_EVERY_REQUEST",
}
#: Our option -> Django's setting, which counts if the project sets it; our defaults are stricter, or cleverer.
_OWN_SETTINGS = {
    "cookie_domain": "SESSION_COOKIE_DOMAIN",
    "cookie_path": "SESSION_COOKIE_PATH",
    "cookie_secure": "SESSION_COOKIE_SECURE",
    "cookie_httponly": "SESSION_COOKIE_HTTPONLY",
    "cookie_samesite": "SESSION_COOKIE_SAMESITE",
}
#: Option that has no effect here -> Django's setting in its place, which the rest of Django goes by too.
_DJANGOS_ONLY = {"cookie_name": "SESSION_COOKIE_NAME", "cookie_max_age": "SESSION_COOKIE_AGE"}


def read_config() -> SessionConfig:
    """Return the options as settings and environment have them now.

    Order: the dict `SHAREDSESSION`, the environment variables `SHAREDSESSION_<NAME>`, Django's own settings, defaults.

    Raises:
        ConfigError: an option is wrong or unknown, or belongs in a setting of Django's.
    """
    own = getattr(settings, SETTING, {})
    if not isinstance(own, Mapping):
        raise ConfigError(SETTING, f"expected a dict of options, not {type(own).__name__}")
    config = build_config(own, read_environment(os.environ), _django_settings())
    if config.cookie.name != settings.SESSION_COOKIE_NAME or config.cookie.max_age is not None:
        option = "cookie_max_age" if config.cookie.max_age is not None else "cookie_name"
        name = _DJANGOS_ONLY[option]
        raise ConfigError(option, f"belongs in Django's setting {name}, which other code of Django goes by")
    return config


def setting_of(option: str) -> str:
    """Return the name of the setting in which an option's value is found, or belongs."""
    own = getattr(settings, SETTING, {})
    if not isinstance(own, Mapping) or option in own or (option.startswith("cookie_") and "cookie" in own):
        return SETTING
    return (_SHARED_SETTINGS | _OWN_SETTINGS).get(option, SETTING)


def _django_settings() -> dict[str, Any]:
    options = {option: getattr(settings, name) for option, name in _SHARED_SETTINGS.items()}
    options |= {option: getattr(settings, name) for option, name in _OWN_SETTINGS.items() if _is_set(name)}
    # As in Django: what an error page leaves behind is not saved.
    options["save_on_5xx"] = False
    # Django takes False for "no attribute", and any case.
    samesite = options.get("cookie_samesite")
    if "cookie_samesite" in options:
        options["cookie_samesite"] = samesite.capitalize() if isinstance(samesite, str) else samesite or None
    return options


def _is_set(name: str) -> bool:
    return bool(settings.is_overridden(name))


class DjangoSession(Session):
    """The library's session, under Django's."""

    __slots__ = ()

    def tell_again(self) -> None:
        """Send the client its id once more with the response: for how long it is to keep that has changed."""
        self._life.tell_again()


class Project(Diagnostics):
    """The sessions of this Django project in this process: what `stats()`, `health()` and the like tell of them.

    It is what `sharedsession.testing.in_memory` is given; a change of settings during such a block counts after it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        #: What the settings ask for, as they were when that was built.
        self._built: Parts | None = None
        self._outdated = True
        #: What is served in its place.
        self._instead: Parts | None = None
        self._users: list[weakref.WeakMethod[Callable[[Parts], None]]] = []

    @property
    def parts(self) -> Parts:
        """What the sessions are made of, as the settings say now; connects to nothing.

        Raises:
            ConfigError: a setting is wrong; `manage.py check` names it too.
        """
        if self._instead is not None:
            return self._instead
        return self._build() if self._built is None or self._outdated else self._built

    def serve_with(self, parts: Parts) -> None:
        """Serve with other parts from now on, until it is called with those that the settings asked for."""
        with self._lock:
            self._instead = None if parts is self._built else parts
            self._tell()

    def reread(self) -> None:
        """Build the parts anew at their next use: the settings have changed. A mistake in them is told there."""
        with self._lock, suppress(ConfigError, ImproperlyConfigured):
            self._outdated = True
            self._tell()

    def lend(self, use: Callable[[Parts], None]) -> None:
        """Call `use` with the parts now, and whenever they change; see `sharedsession.middleware.LENDERS`."""
        with self._lock:
            self._users.append(weakref.WeakMethod(use))
        use(self.parts)

    def _tell(self) -> None:
        self._users = [user for user in self._users if user() is not None]
        for use in [user() for user in self._users]:
            if use is not None:
                use(self.parts)

    def _build(self) -> Parts:
        with self._lock:
            former = self._built
            if former is None or self._outdated:
                config = read_config()
                # The same nodes: their connections, or the sessions kept in this process, stay.
                kept = former is not None and way_of(former.config) == way_of(config)
                if former is not None:
                    former.stop_polling() if kept else former.close()
                reach = former.reach if former and kept else None
                self._built = assemble(config, reach=reach, session_class=DjangoSession, max_age=cookie_age)
                self._outdated = False
                return self._built
            return former


#: The sessions of this project.
project: Project = Project()


def current_parts() -> Parts:
    """Return what the sessions of this process are made of; see `Project.parts`."""
    return project.parts


def _on_setting_changed(*, setting: str, **_: object) -> None:
    """Notice a change of settings (`override_settings` in tests sends this signal)."""
    if setting.startswith((SETTING_PREFIX.rstrip("_"), "SESSION_", "SECRET_KEY")):
        project.reread()


setting_changed.connect(_on_setting_changed, dispatch_uid="sharedsession.django")
