"""A client without cookies: sends requests as a server would hand them on, and follows links as a browser does."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from webclient import SECRET, Answer, Headers, Server, checked
from werkzeug.test import create_environ

from sharedsession import get_session
from sharedsession.ids import IdFactory
from sharedsession.session import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

HOST = "www.example.com"
#: Makes ids that are well signed for the applications of these tests; nothing is stored under them.
IDS = IdFactory((SECRET.encode(),), "sharedsession:", "")
FORM = "application/x-www-form-urlencoded"
ALL = ("cookie", "url", "form")

Environ = dict[str, Any]
View = Callable[[Environ, Session], object]

# RFC 3986 appendix B, and a scheme as in 3.1.
_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_DOT = re.compile(r"\.|%2e", re.IGNORECASE)


class Url(NamedTuple):
    """An absolute URL."""

    scheme: str
    host: str
    path: str
    query: str


def resolve(base: str, reference: str) -> Url:
    """Return where a link on the page `base` leads (RFC 3986 5.2, with %2e read as a dot as in the URL Standard)."""
    scheme, host, path, query, _ = _parts(base)
    new_scheme, new_host, new_path, new_query, _ = _parts(reference)
    if new_scheme or new_host is not None:
        return Url(new_scheme or scheme, new_host or "", without_dots(new_path), new_query)
    if not new_path:
        return Url(scheme, host or "", path, new_query if "?" in reference.split("#")[0] else query)
    if not new_path.startswith("/"):
        new_path = path[: path.rindex("/") + 1] + new_path
    return Url(scheme, host or "", without_dots(new_path), new_query)


def _parts(url: str) -> tuple[str, str | None, str, str, str]:
    match = _URL.fullmatch(url)
    assert match is not None
    scheme, host, path, query, fragment = match.groups()
    return (scheme or "").lower(), host, path, query or "", fragment or ""


def without_dots(path: str) -> str:
    """Return an absolute path without its dot segments (RFC 3986 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        dots = _DOT.sub(".", segment) if len(segment) <= 6 else segment
        if dots == "..":
            kept = kept[:-1]
        if dots not in (".", ".."):
            kept.append(segment)
        elif number == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def request(target: str = "/", *, mount: str = "", body: bytes = b"", **more: Any) -> Environ:
    """Return the environ that a server makes of a request target, percent-encoded and all, below a mount point."""
    path, _, query = target.partition("?")
    decoded = unquote_to_bytes(path).decode("latin-1")
    assert decoded.startswith(mount), f"{target} is not below {mount}"
    environ = create_environ("/", base_url=f"http://{HOST}/")
    if body:
        environ |= {"REQUEST_METHOD": "POST", "CONTENT_TYPE": FORM, "CONTENT_LENGTH": str(len(body))}
        environ["wsgi.input"] = io.BytesIO(body)
    paths = {"SCRIPT_NAME": mount, "PATH_INFO": decoded.removeprefix(mount), "QUERY_STRING": query}
    return {**environ, **paths, "REQUEST_URI": target, "RAW_URI": target, **more}


class Walker:
    """A client that refuses cookies and walks from page to page of one application.

    Args:
        app: what is asked.
        mount: where it is mounted.
        defaults: environ keys of every request.
    """

    def __init__(self, app: WSGIApplication, mount: str = "", **defaults: Any) -> None:
        self.app = app
        self.mount = mount
        self.defaults = defaults
        self.at = f"http://{HOST}{mount}/"

    def follow(self, link: str, **more: Any) -> Answer:
        """Follow a link of the page where the client is."""
        url = resolve(self.at, link)
        assert (url.scheme, url.host) == ("http", HOST), f"{link} leads elsewhere"
        environ = request(url.path + url.query, mount=self.mount, **{**self.defaults, **more})
        self.at = f"http://{HOST}{url.path}{url.query}"
        return Server().serve(self.app, environ)

    def submit(self, link: str, body: bytes, **more: Any) -> Answer:
        """Post a form of the page where the client is."""
        return self.follow(link, body=body, **more)


def site(views: Mapping[str, View], *, headers: Headers | None = None, **options: Any) -> WSGIApplication:
    """Return a checked application with a view for each path, `view(environ, session)`; all kinds of ids are on."""
    return checked(bare_site(views, headers), **{"tracking": ALL, **options})


def bare_site(views: Mapping[str, View], headers: Headers | None = None) -> WSGIApplication:
    """Return the same without a middleware. "*" is the view of all other paths."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        view = views.get(environ["PATH_INFO"]) or views["*"]
        text = str(view(environ, get_session(environ)))
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])])
        return [text.encode("utf-8", "surrogateescape")]

    return app


def log_in(environ: Environ, session: Session) -> str:
    """Store an attribute; answer with the id."""
    session["user"] = "u"
    return session.ensure_id()


def who(environ: Environ, session: Session) -> str:
    """Answer with the user and how the id came."""
    return f"{session.get('user')} by {session.source}"


def nothing(environ: Environ, session: Session) -> str:
    """Leave the session alone."""
    return ""


def cookie_of(answer: Answer) -> str:
    """Return the id that the answer sets as cookie, "" for none."""
    header = answer.set_cookie or ""
    return header.partition("JSESSIONID=")[2].partition(";")[0]
