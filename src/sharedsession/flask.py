"""Flask: `SharedSession(app)` makes `flask.session` one session on every node."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast

import flask
from flask.sessions import NullSession, SessionInterface, SessionMixin
from markupsafe import Markup

from . import middleware
from .assembly import Parts, assemble
from .config import SessionConfig
from .errors import ConfigError, StoreUnavailableError
from .exchange import Exchange
from .facade import Opener
from .flaskcookies import SignedCookies, attribute_names
from .middleware import SessionMiddleware
from .record import FOREVER
from .serving import EXCHANGE_KEY, IGNORED_KEY, SESSION_KEY, innermost
from .session import Session
from .settings import SETTING_PREFIX, all_options, build_config, read_environment

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

_EXTENSION = "sharedsession"
_EXCHANGE_KEY = "sharedsession.flask.exchange"
#: An option that Flask's face has beside those of `SessionConfig`.
_ADOPT = "adopt_flask_sessions"


class FlaskSession(Session, SessionMixin):
    """`flask.session`: our session with Flask's `permanent` and `new`."""

    def __init__(self, opener: Opener, extension: SharedSession) -> None:
        super().__init__(opener)
        self._extension = extension
        self._was_modified = False

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Same as `is_new`."""
        return self.is_new

    @property
    def modified(self) -> bool:
        """True once an attribute was assigned or deleted in this request; still so when the response has left."""
        return self._was_modified or super().modified

    @modified.setter
    def modified(self, value: bool) -> None:
        pass

    def note_modified(self) -> None:
        """Remember whether it is modified: once it is saved, nothing is left to be seen."""
        with suppress(StoreUnavailableError):
            self._was_modified = self.modified

    @property
    def permanent(self) -> bool:
        """The session outlives the browser: it lasts `PERMANENT_SESSION_LIFETIME`, and so does its cookie."""
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if value != self.permanent:
            self["_permanent"] = bool(value)
            self.max_inactive_interval = self._extension.interval(permanent=value)
            if not value and not self.is_new:
                # The browser's cookie has an age, which only another cookie takes from it.
                self._life.tell_again()


class IgnoredSession(NullSession):
    """`flask.session` where `ignore_paths` has it that there is none: empty, and refuses changes."""

    def _fail(self, *args: object, **kwargs: object) -> NoReturn:
        raise ConfigError("ignore_paths", "covers this request's path, so that it has no session to change")

    # As in Flask's own NullSession.
    __setitem__: Callable[..., NoReturn] = _fail
    __delitem__: Callable[..., NoReturn] = _fail
    clear: Callable[..., NoReturn] = _fail
    pop: Callable[..., NoReturn] = _fail
    popitem: Callable[..., NoReturn] = _fail
    update: Callable[..., NoReturn] = _fail
    setdefault: Callable[..., NoReturn] = _fail


#: `flask.session` itself, with the type that it has here: for code that uses more than a dict and checks its types.
session: FlaskSession = cast("FlaskSession", flask.session)


class SharedSession(SessionMiddleware):
    """Makes a Flask app's sessions shared.

        app = Flask(__name__)
        SharedSession(app, nodes="n1:10.0.0.1:11211 n2:10.0.0.2")

    Options come, in this order, from the keywords, from `app.config["SHAREDSESSION_<NAME>"]`, from environment
    variables of the same names, from Flask's own settings where the app sets them (`SECRET_KEY`,
    `SECRET_KEY_FALLBACKS`, `SESSION_COOKIE_*`), and from the defaults of `SessionConfig`. They are read at the first
    request, so an app factory may set them after this; a mistake is raised then, or by `check()`.

    A log-in by Flask-Login, where that is installed, gives the session a new id.

    Args:
        app: the Flask app; None: call `init_app` later.
        config: all options at once; then no keywords, and neither the environment nor Flask's settings are read.
        options: fields of `SessionConfig`; and `adopt_flask_sessions`, which may go with a `config` too: the names of
            attributes that only one user or client can have, such as `("_user_id", "csrf_token")`. A session with one
            of them that lies in Flask's own signed cookie is taken over, once. Default: none.
    """

    def __init__(self, app: flask.Flask | None = None, config: SessionConfig | None = None, **options: Any) -> None:
        self._config: SessionConfig | None = None
        self._options: dict[str, Any] = {}
        self._set_options(config, options)
        # What the app would have kept its sessions with.
        self._former: SessionInterface | None = None
        self._flask: flask.Flask | None = None
        self._building = threading.RLock()
        self._built = False
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask, config: SessionConfig | None = None, **options: Any) -> None:
        """Set `app` up; as for the constructor.

        Raises:
            ConfigError: the app, or this object, has been set up already; a keyword is no option.
        """
        if self._flask is not None or _EXTENSION in app.extensions:
            raise ConfigError("app", "SharedSession was given to this app already; use one SharedSession for one app")
        self._set_options(config, options)
        _refuse_unknown(self._options)
        self._flask = app
        self._app = app.wsgi_app
        self._former = app.session_interface
        app.extensions[_EXTENSION] = self
        app.session_interface = SharedSessionInterface(self)
        app.wsgi_app = self  # type: ignore[method-assign]
        _watch_log_ins()

    def _set_options(self, config: SessionConfig | None, options: dict[str, Any]) -> None:
        self._config = config or self._config
        self._options |= options
        if not isinstance(self._config, SessionConfig | None):
            raise ConfigError("config", f"expected a SessionConfig, not {type(self._config).__name__}")
        if self._config is not None and (keywords := self._options.keys() - {_ADOPT}):
            raise ConfigError("config", f"give either config or keywords, not both ({', '.join(sorted(keywords))})")

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self.check()
        return super().__call__(environ, start_response)

    def check(self) -> None:
        """Read the configuration now, instead of at the first request.

        Raises:
            ConfigError: an option is wrong.
        """
        if self._built:
            return
        with self._building:
            if not self._built:
                self.serve_with(self._build())
                self._built = True

    @property
    def parts(self) -> Parts:
        """What this middleware is made of; reads the configuration if that has not happened."""
        self.check()
        return self._parts

    def interval(self, *, permanent: bool) -> int | None:
        """Return the max inactive interval in seconds of a permanent session, or of any other."""
        if permanent and self._flask is not None:
            return min(max(int(self._flask.permanent_session_lifetime.total_seconds()), 1), FOREVER)
        return self.parts.config.max_inactive_interval

    def _build(self) -> Parts:
        if self._flask is None:
            raise ConfigError("app", "SharedSession has no app yet; call init_app(app)")
        options, settings = dict(self._options), _settings(self._flask)
        adopted = [source.pop(_ADOPT, ()) for source in (options, settings)]
        config = self._config or build_config(
            options, settings, read_environment(os.environ), _flask_settings(self._flask)
        )
        # Not before the first request: making the environment freezes the app's Jinja options.
        self._flask.jinja_env.globals.update(encode_url=encode_url, hidden_field=hidden_field)
        return assemble(
            config,
            end_when_emptied=True,
            session_class=lambda opener: FlaskSession(opener, self),
            max_age=_max_age,
            predecessor=self._predecessor(attribute_names(_ADOPT, adopted[0] or adopted[1]), config.cookie.name),
        )

    def _predecessor(self, names: tuple[str, ...], cookie_name: str) -> SignedCookies | None:
        if not names or self._flask is None:
            return None
        return SignedCookies(self._flask, self._former, names, self.interval, cookie_name)


def encode_url(url: str) -> str:
    """Return a URL of the app with the session id, for a client without cookies; a global of Jinja templates too.

    Use it around `url_for`: `encode_url(url_for("cart"))`.
    """
    return middleware.encode_url(flask.request.environ, url)


def hidden_field() -> Markup:
    """Return the hidden field to be the first in a POST form, for a client without cookies; a Jinja global too."""
    return middleware.hidden_field(flask.request.environ)


class SharedSessionInterface(SessionInterface):
    """Hands Flask the session that the middleware opened; in a context of its own it opens and commits one itself."""

    def __init__(self, extension: SharedSession) -> None:
        self._extension = extension

    def make_null_session(self, app: flask.Flask) -> NullSession:
        """Return what stands for the session where there is none."""
        return IgnoredSession()

    def open_session(self, app: flask.Flask, request: flask.Request) -> FlaskSession | None:
        """Return the request's session; asks nothing of the store."""
        if request.environ.get(IGNORED_KEY):
            return None
        found = request.environ.get(SESSION_KEY)
        if not isinstance(found, FlaskSession):
            # A test request context, or session_transaction(): no middleware is around this environ.
            exchange = Exchange(self._extension.parts.policy, request.environ)
            exchange.outer = innermost(request.environ)
            request.environ[_EXCHANGE_KEY] = exchange
            request.environ[EXCHANGE_KEY] = exchange
            request.environ[SESSION_KEY] = found = exchange.session
        return cast("FlaskSession", found)

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        """Encode what changed, so that Flask's error handling sees a bad value; commit only without a middleware."""
        if isinstance(session, FlaskSession):
            session.note_modified()
        exchange = flask.request.environ.get(_EXCHANGE_KEY) if flask.has_request_context() else None
        if exchange is None:
            if isinstance(session, FlaskSession):
                session.check_values()
            return
        headers = list(response.headers.items())
        exchange.commit(response.status, headers)
        response.headers.clear()
        response.headers.extend(headers)


def _max_age(session: Session) -> int | None:
    permanent = isinstance(session, FlaskSession) and session.permanent
    return session.max_inactive_interval if permanent else None


def _watch_log_ins() -> None:
    """Have every log-in by Flask-Login change the session's id: an id that was known before is worth nothing then."""
    try:
        from flask_login import (  # type: ignore[import-untyped]
            user_loaded_from_cookie,
            user_logged_in,
            user_logged_out,
            user_login_confirmed,
        )
    except ImportError:
        return
    for signal in (user_logged_in, user_loaded_from_cookie, user_login_confirmed):
        signal.connect(_log_in)
    user_logged_out.connect(_log_out)


def _log_in(app: flask.Flask, user: Any = None, **_: object) -> None:
    # Other apps of this process may have sessions of another kind.
    if isinstance(flask.session, FlaskSession):
        flask.session.change_id()
        if user is not None:  # a confirmed log-in tells none: it is the same one
            flask.session.principal = str(user.get_id())


def _log_out(app: flask.Flask, **_: object) -> None:
    if isinstance(flask.session, FlaskSession):
        flask.session.principal = None


def _settings(app: flask.Flask) -> dict[str, Any]:
    return {
        name.removeprefix(SETTING_PREFIX).lower(): value
        for name, value in app.config.items()
        if name.startswith(SETTING_PREFIX)
    }


#: Our option -> Flask's setting. A setting counts only if the app changed it.
_FLASK_SETTINGS = {
    "secret_key": "SECRET_KEY",
    "secret_key_fallbacks": "SECRET_KEY_FALLBACKS",
    "cookie_name": "SESSION_COOKIE_NAME",
    "cookie_domain": "SESSION_COOKIE_DOMAIN",
    "cookie_path": "SESSION_COOKIE_PATH",
    "cookie_httponly": "SESSION_COOKIE_HTTPONLY",
    "cookie_secure": "SESSION_COOKIE_SECURE",
    "cookie_samesite": "SESSION_COOKIE_SAMESITE",
    "cookie_partitioned": "SESSION_COOKIE_PARTITIONED",
}


def _flask_settings(app: flask.Flask) -> dict[str, Any]:
    defaults = flask.Flask.default_config
    settings: dict[str, Any] = {}
    for option, name in _FLASK_SETTINGS.items():
        value = app.config.get(name)
        if value != defaults.get(name):
            # Flask takes False for "no domain", and SameSite in any case.
            if name.endswith("SAMESITE") and isinstance(value, str):
                value = value.capitalize()
            settings[option] = None if name.endswith("DOMAIN") and value is False else value
    return settings


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    known = {"cookie", _ADOPT, *all_options()}
    if not known.issuperset(options):
        build_config({name: value for name, value in options.items() if name != _ADOPT})  # raises, naming the nearest


__all__ = ["FlaskSession", "SharedSession", "SharedSessionInterface", "encode_url", "hidden_field", "session"]
