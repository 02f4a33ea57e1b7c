"""The WSGI middleware (PEP 3333): commits the session after the application has run and before the headers leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .assembly import Parts, assemble
from .config import SessionConfig
from .diagnostics import Diagnostics
from .errors import REFUSALS, RETRY_AFTER, ConfigError, Refusal, StoreUnavailableError
from .exchange import Exchange
from .rewriting import Rewriting
from .session import Session
from .settings import build_config, read_environment
from .view import decoded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: environ key of the innermost middleware's session.
SESSION_KEY = "sharedsession.session"
#: environ key of a dict: cookie name -> (middleware, session), of every middleware around the application.
SESSIONS_KEY = "sharedsession.sessions"

#: environ key of the innermost middleware's exchange, which knows the URLs of the request.
EXCHANGE_KEY = "sharedsession.exchange"
#: environ key that is set where `ignore_paths` has it that there is no session.
IGNORED_KEY = "sharedsession.ignored"

#: Class of an application -> gives a middleware around it the parts that the application's own settings ask for: calls
#: the function at once, and again whenever the settings change.
LENDERS: dict[type, Callable[[Callable[[Parts], None]], None]] = {}

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Headers = list[tuple[str, str]]
Write = Callable[[bytes], object]


class SessionMiddleware(Diagnostics):
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
        self._policy = parts.policy
        self._name = parts.config.cookie.name
        self._one_process = parts.config.nodes is None
        self._rewrites = parts.policy.tracking.rewrites

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if self._policy.ignore_paths and self._ignores(environ):
            return self._app(environ, start_response)
        if self._one_process:
            refuse_several_processes(environ)
        exchange = Exchange(self._policy, environ)
        self._publish(environ, exchange)
        if self._rewrites:
            return Rewriting(exchange, environ, start_response).run(self._app, Response)
        return Response(exchange, environ, start_response).run(self._app)

    @property
    def parts(self) -> Parts:
        """What this middleware is made of."""
        return self._parts

    def _ignores(self, environ: dict[str, Any]) -> bool:
        """Say whether there is no session under this path; one of an outer middleware is out of sight there too."""
        if not self._policy.ignores(decoded(environ.get("PATH_INFO", ""))):
            return False
        self._policy.tracking.enter(environ)
        environ.pop(SESSION_KEY, None)
        environ.pop(EXCHANGE_KEY, None)
        environ[IGNORED_KEY] = True
        return True

    def close(self) -> None:
        """Close idle connections and end the probing; for programs that drop a middleware, such as tests."""
        self.parts.close()

    def _publish(self, environ: dict[str, Any], exchange: Exchange) -> None:
        session = environ[SESSION_KEY] = exchange.session
        environ[EXCHANGE_KEY] = exchange
        environ.pop(IGNORED_KEY, None)
        others = environ.get(SESSIONS_KEY, {})
        # An error-document or retry middleware may serve one environ twice: then the owner is this same middleware.
        if self._name in others and others[self._name][0] is not self:
            raise ConfigError("cookie_name", f"two session middlewares use {self._name!r}; give each its own name")
        environ[SESSIONS_KEY] = {**others, self._name: (self, session)}


class Response:
    """One response on its way: holds the application's status and headers back until the session is saved."""

    _started: tuple[str, Headers, ExcInfo | None] | None = None
    _write: Write | None = None
    _left: bool = False
    _ends: bool = False
    #: What a file wrapper that is a function has returned.
    _files: tuple[object, ...] = ()
    #: What is answered in place of the application's response.
    _refusal: Refusal | None = None

    def __init__(self, exchange: Exchange, environ: dict[str, Any], start_response: StartResponse) -> None:
        self._exchange = exchange
        self._environ = environ
        self._server_start = start_response

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Call the application, commit, and return the body."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and not isinstance(wrapper, type):
            self._watch_files(wrapper)
        try:
            return self._run(app)
        except BaseException:
            self._exchange.abandon()
            raise

    def _run(self, app: WSGIApplication) -> Iterable[bytes]:
        try:
            body = app(self._environ, self.start)
        except REFUSALS as error:
            if self._left:
                raise
            return self.refuse(error)
        written = self._left
        # Nothing of the application runs any more once it has returned one of these.
        self._ends = type(body) in (list, tuple)
        try:
            if self._started is not None and not self._left:
                self._commit()
        except BaseException:
            _close(body)
            raise
        if self._refusal is not None:
            _close(body)
            return self.refusal()
        if self._ends or self.is_file_wrapper(body):
            # A server recognises its own file wrapper by the object.
            if written:
                self.finish()
            else:
                self._exchange.abandon()
            return body
        return _Body(self, body)

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        """Take the application's status and headers (start_response of PEP 3333)."""
        if self._left:
            # The headers have left: the server raises the exception, or complains that none is given.
            return self._server_start(status, headers, exc_info)
        if self._started is not None and exc_info is None:
            raise AssertionError("start_response was called twice without exc_info (PEP 3333)")
        self._started = (status, list(headers), exc_info)
        return self._first_write

    def _first_write(self, data: bytes) -> object:
        if not self._left:
            self._commit()
        if self._refusal is not None:
            return None  # the 503 is sent instead of what the application writes
        return self._write(data) if self._write else None

    def _commit(self) -> None:
        """Save the session, then let the headers leave; a 503 or 409 leaves instead when it cannot be saved."""
        if self._started is None:
            raise AssertionError("the application has not called start_response (PEP 3333)")
        status, headers, exc_info = self._started
        try:
            self._exchange.commit(int(status[:3]), headers)
        except REFUSALS as error:
            self.refuse(error)
            return
        if status.startswith("500") and self._exchange.failure is not None:
            self.refuse(self._exchange.failure)
            return
        self._leave(status, headers, exc_info)

    def refuse(self, error: Refusal) -> Iterable[bytes]:
        """Answer what the error says: 503, memcached is away, or 409. The client keeps its cookie and tries again."""
        self._refusal = error
        self._exchange.abandon()
        body = self.refusal()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            # Of a GET, also when this answers a HEAD (RFC 9110 8.6).
            ("Content-Length", str(len(error.description))),
            *([("Retry-After", str(RETRY_AFTER))] if isinstance(error, StoreUnavailableError) else []),
            ("Cache-Control", "no-store"),
        ]
        self._leave(f"{error.code} {error.name}", headers, None)
        return body

    def refusal(self) -> list[bytes]:
        """Return the body of that answer."""
        if self._environ.get("REQUEST_METHOD") == "HEAD" or self._refusal is None:
            return []
        return [self._refusal.description.encode()]

    def _leave(self, status: str, headers: Headers, exc_info: ExcInfo | None) -> None:
        self._started = (status, headers, None)
        self._left = True
        if exc_info is None:
            self._write = self._server_start(status, headers)
        else:
            self._write = self._server_start(status, headers, exc_info)
        self._exchange.headers_sent(ends=self._ends)

    # -- body ------------------------------------------------------------------------------------------------------

    def is_file_wrapper(self, body: object) -> bool:
        """Say whether a body is what the server's `wsgi.file_wrapper` has returned."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type):
            return isinstance(body, wrapper)
        return any(body is file for file in self._files)

    def _watch_files(self, wrapper: Callable[..., object]) -> None:
        """Remember what a file wrapper that is a function (uWSGI) returns: there is no class to recognise it by."""

        def wrap(*args: Any) -> object:
            file = wrapper(*args)
            self._files += (file,)
            return file

        self._environ["wsgi.file_wrapper"] = wrap

    @property
    def headers_left(self) -> bool:
        """The status and headers have been given to the server."""
        return self._left

    def commit_before_body(self) -> bool:
        """Commit an application that starts its response late; say whether its body is to be sent."""
        if not self._left:
            self._commit()
        return self._refusal is None

    def finish(self) -> None:
        """Save what changed while the body was sent."""
        if self._left and self._refusal is None:
            self._exchange.commit_late()
        else:
            self._exchange.abandon()


class _Body:
    """The application's body; commits before its first chunk, after its last, and once more when it is closed."""

    def __init__(self, response: Response, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._begin()
        try:
            return next(self._chunks)
        except StopIteration:
            # Before the client sees the end: what it asks next shall find what this response has done.
            self._response.finish()
            raise

    def _begin(self) -> Iterator[bytes]:
        chunks = iter(self._body)
        if self._response.headers_left:
            return chunks
        # PEP 3333: an application calls start_response before its body yields the first chunk.
        try:
            first = list(islice(chunks, 1))
        except REFUSALS as error:
            return iter(self._response.refuse(error))
        if not self._response.commit_before_body():
            return iter(self._response.refusal())
        return chain(first, chunks)

    def close(self) -> None:
        """Close the application's body, then save what it changed."""
        try:
            _close(self._body)
        finally:
            self._response.finish()


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _refuse_flask(app: object) -> None:
    """A middleware around a Flask app leaves flask.session Flask's own: nobody means that."""
    owner = getattr(app, "__self__", app)
    if any(cls.__module__.startswith("flask.") and cls.__name__ == "Flask" for cls in type(owner).__mro__):
        raise ConfigError("app", "is a Flask application; write sharedsession.flask.SharedSession(app) instead")


def refuse_several_processes(environ: dict[str, Any]) -> None:
    """Refuse to keep sessions in this process when the server says that it runs several.

    Raises:
        ConfigError: it does.
    """
    if environ.get("wsgi.multiprocess"):
        raise ConfigError(
            "nodes",
            "is not set, so every process would have sessions of its own, but the server runs several; "
            "name memcached nodes, or say nodes='memory' if that is meant",
        )


def get_session(environ: dict[str, Any], name: str | None = None) -> Session:
    """Return the request's session.

    Args:
        environ: the WSGI environ.
        name: the cookie's name, where several middlewares are nested; None: the innermost one's.

    Raises:
        KeyError: no session middleware is around this application (or none of that name, or `ignore_paths` has it).
    """
    found = environ.get(SESSION_KEY) if name is None else environ.get(SESSIONS_KEY, {}).get(name, (None, None))[1]
    if found is None and environ.get(IGNORED_KEY):
        raise KeyError("no session in environ: ignore_paths covers this request's path")
    if found is None:
        wanted = "" if name is None else f" named {name!r}"
        raise KeyError(f"no session{wanted} in environ: wrap the application in SessionMiddleware")
    session: Session = found
    return session


def encode_url(environ: dict[str, Any], url: str) -> str:
    """Return a URL of the application with the session id, for a client that has shown no cookie.

    Unchanged where the client takes cookies, where there is no session (none is created), where URL tracking is off,
    for crawlers, and for URLs that do not lead back to the application: another scheme, host, port or mount point.
    Relative, empty, query-only and fragment-only URLs keep the session; an id in the URL is replaced.
    """
    exchange = environ.get(EXCHANGE_KEY)
    return url if exchange is None else str(exchange.encode_url(url))


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
