"""A WSGI server and client in one for tests: serves one request at a time as PEP 3333 says, and keeps cookies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.validate import validator

from servers import Memcached
from werkzeug.test import create_environ

from sharedsession import SessionMiddleware, get_session
from sharedsession.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import StartResponse, WSGIApplication

    View = Callable[[Session], object]

Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

SECRET = "a secret that only these tests know"
TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: Headers
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of every header of that name, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of the only header of that name; None if there is none."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is sent {len(values)} times"
        return values[0] if values else None

    @property
    def set_cookie(self) -> str | None:
        """The only Set-Cookie header."""
        return self.get("Set-Cookie")

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


class Server:
    """The server's side of one request."""

    def __init__(self) -> None:
        self.started: tuple[str, Headers] | None = None
        self.sent: tuple[str, Headers] | None = None
        self.body = b""
        #: How often the application called start_response.
        self.starts = 0

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Callable[[bytes], object]:
        """Take status and headers (start_response of PEP 3333)."""
        self.starts += 1
        if exc_info is not None and exc_info[1] is not None and self.sent is not None:
            raise exc_info[1]
        assert exc_info is not None or self.started is None, "start_response was called twice without exc_info"
        self.started = (status, list(headers))
        return self.write

    def write(self, data: bytes) -> None:
        """Send the headers, if that has not happened, and a part of the body."""
        assert self.started is not None, "body before start_response"
        if self.sent is None and data:
            self.sent = self.started
        self.body += data

    def serve(self, app: WSGIApplication, environ: dict[str, Any]) -> Answer:
        """Serve a request; what the application raises passes."""
        result = app(environ, self.start)
        try:
            for chunk in result:
                self.write(chunk)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        assert self.started is not None, "no start_response"
        status, headers = self.started
        return Answer(int(status[:3]), headers, self.body)


class Client:
    """A browser with a cookie jar for one application.

    Args:
        app: what is asked.
        cookies: what the jar holds at first.
        defaults: environ keys of every request.
    """

    def __init__(self, app: WSGIApplication, cookies: dict[str, str] | None = None, **defaults: Any) -> None:
        self.app = app
        self.cookies = dict(cookies or {})
        self.defaults = defaults

    def get(self, path: str = "/", *, cookie: str | None = None, method: str = "GET", **environ: Any) -> Answer:
        """Ask for a path; `cookie` is sent in place of what the jar holds."""
        answer = Server().serve(self.app, self.environ(path, cookie=cookie, method=method, **environ))
        for header in answer.all("Set-Cookie"):
            self._keep(header)
        return answer

    def environ(
        self, path: str = "/", *, cookie: str | None = None, method: str = "GET", **more: Any
    ) -> dict[str, Any]:
        """Return the environ of a request."""
        environ = create_environ(path, method=method)
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items()) if cookie is None else cookie
        if header:
            environ["HTTP_COOKIE"] = header
        return {**environ, **self.defaults, **more}

    @property
    def id(self) -> str:
        """The session id that the client holds."""
        return self.cookies["JSESSIONID"]

    @property
    def key(self) -> str:
        """Key of the client's session in memcached."""
        return f"sharedsession:{hashlib.sha256(self.id[:32].encode()).hexdigest()}"

    def _keep(self, header: str) -> None:
        pair, *attributes = header.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def checked(app: WSGIApplication, **options: Any) -> WSGIApplication:
    """Return `app` in a session middleware, with a WSGI validator on both sides of it."""
    return validator(SessionMiddleware(validator(app), **{"secret_key": SECRET, **options}))


def page(view: View, status: str = "200 OK", headers: Headers | None = None) -> WSGIApplication:
    """Return an application that answers with what `view(session)` returns, as text."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        text = str(view(get_session(environ)))
        start_response(status, [*TEXT, *(headers or [])])
        return [text.encode()]

    return app


def pages(views: dict[str, View], **options: Any) -> WSGIApplication:
    """Return a checked application with a view for each path."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return page(views[environ["PATH_INFO"]])(environ, start_response)

    return checked(app, **options)


def put(name: str, value: object) -> View:
    """Return a view that sets an attribute."""
    return lambda session: session.update({name: value})


def show(session: Session) -> object:
    """Answer with all attributes, in the order of their names."""
    return dict(sorted(session.items()))


def logged_in(app: WSGIApplication, path: str = "/login", **defaults: Any) -> Client:
    """Return a client that has a session, made by asking for `path`."""
    client = Client(app, **defaults)
    answer = client.get(path)
    assert answer.status == 200
    assert client.cookies, "no cookie was set"
    return client


def bare(app: WSGIApplication, **options: Any) -> SessionMiddleware:
    """Return the middleware without validators, for what they would hide or refuse."""
    return SessionMiddleware(app, **{"secret_key": SECRET, **options})


def ending_in(finish: Any) -> WSGIApplication:
    """Return an application: /login logs in, /show shows, and any other path is `finish(environ, start_response)`."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in ("/login", "/show"):
            return page(put("a", 1) if path == "/login" else show)(environ, start_response)
        result: Iterable[bytes] = finish(environ, start_response)
        return result

    return app


def stored_after(view: View, nodes: Any = None) -> tuple[object, dict[str, Any]]:
    """Run the view on a stored session {"a": 1, "b": [2]}; return its result and what is stored then."""
    seen: list[Any] = []
    views: dict[str, View] = {
        "/login": lambda session: session.update(a=1, b=[2]),
        "/view": lambda session: seen.append(view(session)),
        "/show": lambda session: seen.append(session.copy()),
    }
    client = logged_in(pages(views, nodes=nodes))
    client.get("/view")
    client.get("/show")
    return seen[0], seen[1]


class Commands(NamedTuple):
    """Commands that one memcached server was sent."""

    reads: int
    writes: int
    deletes: int


def commands(server: Memcached) -> Commands:
    """Return how many commands the server has executed so far, by its own count (a read that prolongs is a touch)."""
    stats = server.stats()
    reads = stats["cmd_get"] + stats["cmd_touch"]
    return Commands(reads, stats["cmd_set"], stats["delete_hits"] + stats["delete_misses"])


def sent(server: Memcached, since: Commands) -> Commands:
    """Return the commands that the server was sent since then."""
    return Commands(*(now - then for now, then in zip(commands(server), since, strict=True)))
