"""The id as a path parameter of the URL: `/path;jsessionid=<id>?query` (as servlet containers write it)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

#: URL ids that are looked at in one request; all of them are removed.
MOST_PARAMETERS = 100

_DEFAULT_PORTS = {"http": 80, "https": 443}
# What no URL may hold as it is (RFC 3986). Browsers drop some of these and read "\" as "/": where such a link leads
# cannot be told from its text.
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
# What a server may let through in a query string, and no header may hold (RFC 9110 5.5).
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_SLASH = re.compile(r"%2f", re.IGNORECASE)
# A path that ends in a dot segment, with what ".." takes away.
_END_OF_DOTS = re.compile(r"(?:(?:/(?!\.\.?/)[^/]*)?/\.\.|/\.)$")
# Paths that the app reads, and the server's copies of them; the last two are Apache's, and Django goes by them.
_PATHS = ("SCRIPT_NAME", "PATH_INFO")
_COPIES = ("REQUEST_URI", "RAW_URI", "SCRIPT_URL", "REDIRECT_URL")


class Place(NamedTuple):
    """Where the request is, as the client sees it: what links are relative to, and what is in reach of the session."""

    scheme: str
    #: Host and, unless it is the scheme's default, port, as in the Host header.
    host: str
    #: Mount point of the application; "/" at the root.
    mount: str
    #: Path of the request, percent-encoded, without the id.
    path: str
    #: Query string of the request, without "?".
    query: str


class UrlParameter:
    """Finds, removes and adds the id in URLs.

    Args:
        name: the parameter's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pattern = re.compile(rf";{re.escape(name)}=([^;/?#]*)")

    # -- in --------------------------------------------------------------------------------------------------------

    def take(self, environ: dict[str, object]) -> list[str]:
        """Remove the parameter from the paths in environ; return the ids found, the last one, the newest, first."""
        found: list[str] = []
        for key in _PATHS:
            path = str(environ.get(key, ""))
            if self._name in path:
                found += (match[1] for match in self._pattern.finditer(path))
                environ[key] = self.strip_decoded(path)
        for key in _COPIES:
            if key in environ:
                environ[key] = self.strip(str(environ[key]))
        return found[: -MOST_PARAMETERS - 1 : -1]

    def strip_decoded(self, path: str) -> str:
        """Return a decoded path without the parameter; other parameters stay.

        A link to ".." with the id is "..;jsessionid=<id>", which no client resolves: that is made up for here.
        """
        stripped = self._pattern.sub("", path)
        return stripped if stripped == path else _END_OF_DOTS.sub("/", stripped)

    def strip(self, url: str) -> str:
        """Return a URL without the parameter in its path, however it is percent-encoded there."""
        end = re.search(r"[?#]", url)
        path, rest = (url[: end.start()], url[end.start() :]) if end else (url, "")
        return self._strip_encoded(path) + rest

    def _strip_encoded(self, path: str) -> str:
        if self._name not in path and "%" not in path:
            return path
        # One item a decoded character: a match in the decoded text is cut out of the encoded one.
        raw = _ESCAPE.findall(path)
        decoded = "".join(chr(int(piece[1:], 16)) if len(piece) == 3 else piece for piece in raw)
        kept: list[str] = []
        start = 0
        for match in self._pattern.finditer(decoded):
            kept += raw[start : match.start()]
            start = match.end()
        return "".join(kept + raw[start:])

    # -- out -------------------------------------------------------------------------------------------------------

    def encode(self, url: str, session_id: str, place: Place) -> str:
        """Return `url` with the id as parameter of its path, if the URL leads back to this application.

        Same scheme, host, port and mount point; a relative URL is resolved against the request only to see where it
        leads and stays relative. An id that is there already is replaced. Any other URL is returned as it is.
        """
        parts = _split(url)
        path = None if parts is None else self._path_back(parts, place)
        if parts is None or path is None or self._ends_with(session_id, parts.path):
            return url
        query = f"?{_escaped(place.query)}" if _keeps_query(url, parts) and place.query else url_query(url)
        origin = url[: len(url) - len(url.split("//", 1)[1])] + parts.netloc if parts.netloc else ""
        fragment = url[url.index("#") :] if "#" in url else ""
        return f"{origin}{path};{self._name}={session_id}{query}{fragment}"

    def leads_back(self, url: str, place: Place) -> bool:
        """Say whether a URL leads back to this application: `encode` puts the id into it."""
        parts = _split(url)
        return parts is not None and self._path_back(parts, place) is not None

    def _path_back(self, parts: SplitResult, place: Place) -> str | None:
        """Return the path of a link to this application, without an id; None for a link that leads elsewhere."""
        if not _same_origin(parts, place):
            return None
        path = self._strip_as_link(parts) if parts.path else "/" if parts.netloc else _as_link(place.path)
        return path if _inside(_resolve(path, place.path), place.mount) else None

    def based(self, href: str, place: Place) -> Place | None:
        """Return where links stand on a page with `<base href>`; None: on another origin, or it cannot be told."""
        parts = _split(href)
        if parts is None or not _same_origin(parts, place):
            return None
        if _keeps_query(href, parts):
            return place
        path = self._strip_encoded(parts.path) if parts.path else "/" if parts.netloc else place.path
        return place._replace(path=_resolve(path, place.path), query=url_query(href)[1:])

    def _strip_as_link(self, parts: SplitResult) -> str:
        """Return a link's path without the parameter: still a path, where "/;jsessionid=1/x" would become "//x"."""
        path = self._strip_encoded(parts.path)
        if parts.netloc:
            return path
        return _as_link(path) if parts.path.startswith("/") or path[:1] != "/" else f"./{path}"

    def _ends_with(self, session_id: str, path: str) -> bool:
        """Say whether the last segment has the id, and nothing in the path another one."""
        before, found, after = path.rpartition(f";{self._name}={session_id}")
        rest = before + after
        return bool(found) and after[:1] in ("", ";") and "/" not in after and self._strip_encoded(rest) == rest


# HTML "shared declarative refresh steps": "5; url='/page'", where "url=", the quotes or ";" may be missing.
_REFRESH = re.compile(
    r"(\s*+(?=[\d.])[\d.]*+(?=[;,\s])\s*+[;,]?+\s*+(?:url\s*+=\s*+)?+)(['\"]?+)(.*)", re.IGNORECASE | re.DOTALL
)


def encode_refresh(value: str, encode: Callable[[str], str]) -> str:
    """Return what a Refresh header, or `<meta http-equiv=refresh>`, holds, with its URL encoded."""
    match = _REFRESH.fullmatch(value)
    if match is None:
        return value
    before, quote, rest = match.groups()
    url, end, after = rest.partition(quote) if quote else (rest.rstrip(), rest[len(rest.rstrip()) :], "")
    return f"{before}{quote}{encode(url)}{end}{after}"


def _escaped(query: str) -> str:
    return _CONTROL.sub(lambda match: f"%{ord(match[0]):02X}", query)


def url_query(url: str) -> str:
    """Return a URL's query with its "?", "" when it has none: "page?" keeps its empty one."""
    head = url.split("#", 1)[0]
    mark = head.find("?")
    return "" if mark < 0 else head[mark:]


def _split(url: str) -> SplitResult | None:
    """Return a URL's parts; None when where it leads cannot be told from its text."""
    if _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    # In Shift_JIS, GBK and Big5 an "@" may be half a letter of the host.
    if not parts.netloc.isascii():
        return None
    # "http:page", "http:///page" and "///page" are read differently by different clients.
    return None if not parts.netloc and (parts.scheme or url.startswith("//")) else parts


def _same_origin(parts: SplitResult, place: Place) -> bool:
    if not parts.netloc:
        return True
    own = _split(f"{place.scheme}://{place.host}")  # None: a Host header that is none
    return own is not None and _origin(parts, place.scheme) == _origin(own, place.scheme)


def _origin(parts: SplitResult, scheme: str) -> tuple[str, str | None, int | None]:
    scheme = parts.scheme or scheme
    return scheme, parts.hostname, _DEFAULT_PORTS.get(scheme) if parts.port is None else parts.port


def _as_link(path: str) -> str:
    """Return an absolute path as a link: "//x" would be read as a host, so it is written "/.//x" (URL Standard)."""
    return f"/.{path}" if path.startswith("//") else path


def _keeps_query(url: str, parts: SplitResult) -> bool:
    """An empty or fragment-only reference means the same document, query and all (RFC 3986 5.2.2)."""
    return not parts.netloc and not parts.path and "?" not in url.split("#", 1)[0]


def _resolve(path: str, base: str) -> str:
    """Return the absolute path that a path reference leads to (RFC 3986 5.2.3 and 5.2.4)."""
    whole = path if path.startswith("/") else base[: base.rfind("/") + 1] + path
    return "/" + "/".join(_without_dots(whole.split("/")[1:]))


def _without_dots(segments: Iterable[str]) -> list[str]:
    kept: list[str] = []
    dots = ""
    for segment in segments:
        dots = segment.lower().replace("%2e", ".") if segment[:1] in (".", "%") else ""
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    return [*kept, ""] if dots in (".", "..") else kept


def _inside(path: str, mount: str) -> bool:
    path, mount = _decode(path), _decode(mount).rstrip("/")
    return path == mount or path.startswith((f"{mount}/", f"{mount};"))


def _decode(path: str) -> str:
    """Return the path decoded, but for its escaped slashes, which begin no segment."""
    return unquote(_SLASH.sub("%252F", path), errors="surrogateescape")
