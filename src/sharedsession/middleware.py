"""The WSGI middleware (PEP 3333): gives each request its session."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .assembly import Parts, assemble
from .config import SessionConfig
from .diagnostics import Diagnostics
from .errors import ConfigError
from .serving import EXCHANGE_KEY, IGNORED_KEY, SESSION_KEY, Serving, Wrapper, innermost
from .session import Session
from .settings import build_config, read_environment

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Class of an application -> gives a middleware around it the parts that the application's own settings ask for: calls
#: the function at once, and again whenever the settings change.
LENDERS: dict[type, Callable[[Callable[[Parts], None]], None]] = {}


class SessionMiddleware(Diagnostics, Wrapper):
    """Gives a WSGI application one session on every node.

        application = SessionMiddleware(app, secret_key=..., nodes="n1:10.0.0.1:11211 n2:10.0.0.2")

    Options come, in this order, from the keywords, from environment variables `SHAREDSESSION_<NAME>` and from the
    defaults of `SessionConfig`.

    Args:
        app: the application. One of Django, where `sharedsession.django` is installed, brings its options along.
        config: all options at once; then no keywords, and the environment is not read.
        options: fields of `SessionConfig`.

    Raises:
        ConfigError: an option is wrong or unknown, or the application is Flask's, which needs `SharedSession`.
    """

    def __init__(self, app: WSGIApplication, config: SessionConfig | None = None, **options: Any) -> None:
        _refuse_flask(app)
        self._app = app
        lender = LENDERS.get(type(app))
        if lender is not None and (config is not None or options):
            raise ConfigError("options", f"of a {type(app).__name__} belong in the framework's own settings")
        if config is not None and options:
            raise ConfigError("config", f"give either config or keywords, not both ({', '.join(options)})")
        if lender is not None:
            lender(self.serve_with)
        else:
            self.serve_with(assemble(config or build_config(options, read_environment(os.environ))))

    def serve_with(self, parts: Parts) -> None:
        """Serve the next requests with these parts in place of those so far; requests under way keep theirs."""
        self._parts = parts
        self._serving = Serving(self, parts.policy, parts.config)

    @property
    def parts(self) -> Parts:
        """What this middleware is made of."""
        return self._parts

    def close(self) -> None:
        """Close idle connections and end the probing; for programs that drop a middleware, such as tests."""
        self.parts.close()


def _refuse_flask(app: object) -> None:
    """A middleware around a Flask app leaves flask.session Flask's own: nobody means that."""
    owner = getattr(app, "__self__", app)
    if any(cls.__module__.startswith("flask.") and cls.__name__ == "Flask" for cls in type(owner).__mro__):
        raise ConfigError("app", "is a Flask application; write sharedsession.flask.SharedSession(app) instead")


def get_session(environ: dict[str, Any], name: str | None = None) -> Session:
    """Return the request's session.

    Args:
        environ: the WSGI environ.
        name: the cookie's name, where several middlewares are nested; None: the innermost one's.

    Raises:
        KeyError: no session middleware is around this application (or none of that name, or `ignore_paths` has it).
    """
    found: Session | None = environ.get(SESSION_KEY) if name is None else _named(environ, name)
    if found is not None:
        return found
    if environ.get(IGNORED_KEY):
        raise KeyError("no session in environ: ignore_paths covers this request's path")
    wanted = "" if name is None else f" named {name!r}"
    raise KeyError(f"no session{wanted} in environ: wrap the application in SessionMiddleware")


def _named(environ: dict[str, Any], name: str) -> Session | None:
    exchange = innermost(environ)
    found = None if exchange is None else exchange.named(name)
    return None if found is None else found.session


def encode_url(environ: dict[str, Any], url: str) -> str:
    """Return a URL of the application with the session id, for a client that has shown no cookie.

    Unchanged where the client takes cookies, where there is no session (none is created), where URL tracking is off,
    for crawlers, and for URLs that do not lead back to the application: another scheme, host, port or mount point.
    Relative, empty, query-only and fragment-only URLs keep the session; an id in the URL is replaced.
    """
    exchange = environ.get(EXCHANGE_KEY)
    return str(url) if exchange is None else str(exchange.encode_url(str(url)))


def encode_redirect_url(environ: dict[str, Any], url: str) -> str:
    """Same as `encode_url`; the headers Location, Content-Location and Refresh are encoded without it."""
    return encode_url(environ, url)


def hidden_field(environ: dict[str, Any]) -> Markup:
    """Return `<input type="hidden" ...>` with the session id, to be the first field of a POST form.

    Empty where the client takes cookies, where there is no session, where form tracking is off, and for crawlers.
    """
    exchange = environ.get(EXCHANGE_KEY)
    field: Markup = Markup() if exchange is None else exchange.hidden_field()
    return field
