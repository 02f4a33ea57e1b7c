"""The request as middleware and tracking see it: what an application may change in environ is taken at entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

from .dialogue import Request

Environ = dict[str, Any]

#: environ key by which the application says that a request does not keep the session alive.
SLIDE_KEY: Final = "sharedsession.slide"

_FORWARDED = "HTTP_X_FORWARDED_"
#: Stands for an environ that was let go of.
_LET_GO: Final[Environ] = {}


class Origin(NamedTuple):
    """Where a request came in; paths hold their bytes as latin-1, as in a WSGI environ."""

    scheme: str
    host: str
    mount: str
    path: str
    query: str


def origin_of(environ: Environ) -> Origin:
    """Return where the request came in, by its WSGI environ (PEP 3333)."""
    return Origin(
        environ.get("wsgi.url_scheme", ""),
        environ.get("HTTP_HOST", ""),
        environ.get("SCRIPT_NAME", ""),
        environ.get("PATH_INFO", ""),
        environ.get("QUERY_STRING", ""),
    )


def decoded(path: str) -> str:
    """Return a path of environ as text: environ holds its bytes as latin-1 (PEP 3333)."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def is_below(path: str, prefixes: Iterable[str]) -> bool:
    """Say whether a path is one of these, or below one."""
    return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


class RequestView(Request):
    """What of a WSGI environ decides about sessions.

    Scheme, host and mount point are taken at entry: dispatchers and proxy fixes change environ in place.

    Args:
        environ: the WSGI environ (PEP 3333).
        trusted_proxies: how many hops of X-Forwarded-Proto, -Host and -Prefix are believed.
        origin: where the request came in, at entry; only a view that has it is asked for path and query. It may come
            from a framework whose environ says less than it knows.
    """

    __slots__ = ("_cookies", "_environ", "_host", "_mount", "_path", "_query", "_scheme", "_slides", "_trusted")

    # As the server has put them there: nothing is converted before it is needed, which is seldom.
    _scheme: Any
    _host: Any
    _mount: Any
    _path: Any
    _query: Any

    def __init__(self, environ: Environ, trusted_proxies: int, origin: Origin | None = None) -> None:
        self._environ = environ
        # What is still known once environ is let go of.
        self._cookies = ""
        self._slides = True
        self._trusted = trusted_proxies
        if origin is not None:
            self._scheme, self._host, self._mount, self._path, self._query = origin
            return
        self._scheme = environ.get("wsgi.url_scheme", "")
        self._host = environ.get("HTTP_HOST", "")
        self._mount = environ.get("SCRIPT_NAME", "")
        self._path = self._query = ""

    def release(self, *, ends: bool) -> None:
        """Let go of environ, which holds the session that holds this: a cycle only the collector would break.

        Args:
            ends: nothing of the application runs any more, and its cookies suffice for whoever may look after it; else
                all texts are kept: headers, addresses and whatever else is said of the request.
        """
        if ends:
            self._cookies, self._slides = self.cookies, self.slide
            self._environ = _LET_GO
            return
        # Exactly str: PEP 3333 allows no subclass.
        kept: Environ = {name: value for name, value in self._environ.items() if type(value) is str}
        kept[SLIDE_KEY] = self.slide
        self._environ = kept

    @property
    def environ(self) -> Environ:
        """The WSGI environ as it is now; once the headers have left, what of it is text, or the cookies alone."""
        return {"HTTP_COOKIE": self._cookies} if self._environ is _LET_GO else self._environ

    @property
    def method(self) -> str:
        """The request's method."""
        return str(self._environ.get("REQUEST_METHOD", ""))

    @property
    def cookies(self) -> str:
        """The Cookie header."""
        header: str = self._environ.get("HTTP_COOKIE", self._cookies)
        return header

    @property
    def slide(self) -> bool:
        """False when the application says that this request, a poller, does not keep the session alive."""
        return self._environ.get(SLIDE_KEY, self._slides) is not False

    @property
    def is_https(self) -> bool:
        """Whether the client spoke https, to us or to a trusted proxy."""
        scheme = self._fixed()["wsgi.url_scheme"] if self._trusted else self._scheme
        return str(scheme).lower() == "https"  # RFC 3986 3.1: schemes have no case

    @property
    def mount(self) -> str:
        """Path under which the application is mounted, as the client sees it; "/" at the root."""
        return decoded(self._client_mount()) or "/"

    @property
    def quoted_mount(self) -> str:
        """The mount point, percent-encoded."""
        return _quote(self._client_mount()) or "/"

    @property
    def quoted_path(self) -> str:
        """Path of the request as the client sees it, percent-encoded, without an id."""
        return _quote(self._client_mount() + str(self._path)) or "/"

    @property
    def query(self) -> str:
        """The query string, without "?"."""
        return str(self._query)

    @property
    def host(self) -> str:
        """Host, and port unless it is the scheme's default, as the client addressed them."""
        fixed = self._fixed()
        name = str(fixed["SERVER_NAME"])
        return str(fixed["HTTP_HOST"]) or f"{f'[{name}]' if ':' in name else name}:{fixed['SERVER_PORT']}"

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return str(self._environ.get("HTTP_USER_AGENT", ""))

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return str(self._environ.get("CONTENT_TYPE", ""))

    @property
    def is_cross_site(self) -> bool:
        """Whether the browser says that another site's page caused the request (Fetch Metadata)."""
        return self._environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether another site's page caused the request, as far as the browser says.

        Fetch Metadata decides. Browsers send none over plain http, and old ones never: then the Origin header does
        (RFC 6454 7), where it names another host than this one. "null" says nothing.
        """
        if "HTTP_SEC_FETCH_SITE" in self._environ:
            return self.is_cross_site
        origin = _host_of(str(self._environ.get("HTTP_ORIGIN", "")))
        return origin is not None and origin != _host_of(f"//{self.host}")

    def _client_mount(self) -> str:
        mount = str(self._mount)
        if not self._trusted:
            return mount
        prefix = str(self._fixed()["SCRIPT_NAME"])
        # A proxy's prefix stands before a mount of our own; ProxyFix puts it in that mount's place.
        return mount if is_below(mount, [prefix]) else prefix + mount

    def _fixed(self) -> Environ:
        own: Environ = {
            "wsgi.url_scheme": self._scheme,
            "SCRIPT_NAME": self._mount,
            "HTTP_HOST": self._host,
            "SERVER_NAME": self._environ.get("SERVER_NAME", ""),
            "SERVER_PORT": self._environ.get("SERVER_PORT", ""),
        }
        hops = self._trusted
        if not hops:
            return own
        own.update((name, value) for name, value in self._environ.items() if name.startswith(_FORWARDED))
        ProxyFix(_no_app, x_for=0, x_proto=hops, x_host=hops, x_port=0, x_prefix=hops)(own, _no_response)
        return own


def _host_of(url: str) -> str | None:
    """Return the host in a URL, in lower case and without the port, which does not make another site."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _quote(path: str) -> str:
    return quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~-._")


def _no_app(environ: Environ, start_response: object) -> Iterable[bytes]:
    return ()


def _no_response(*args: object) -> Any:
    """Stand in for start_response: nothing is sent through the view."""
