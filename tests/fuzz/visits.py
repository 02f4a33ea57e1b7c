"""Requests: cookies, path parameters and headers of proxies show a client its own session, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any
from urllib.parse import unquote_to_bytes

from tracking.walker import HOST, resolve

from sharedsession.tracking.cookie import MOST_COOKIES
from sharedsession.tracking.url import MOST_PARAMETERS

from .site import ID_WORDS, TEXTS, USERS, Site, Visit, counting, request
from .target import Target

# -- cookies -------------------------------------------------------------------------------------------------------


class Cookies:
    """The Cookie header: a session is seen by exactly the cookies by which RFC 6265 and our limits say so."""

    def __init__(self) -> None:
        self._site = Site()

    def __call__(self, data: bytes) -> Hashable:
        """Serve a request with that header; every fourth one writes."""
        header = data.translate(None, b"\r\n\0").decode("latin-1")  # no server lets these through (RFC 9110 5.5)
        visit = self._site.visit(
            request(HTTP_COOKIE=header), data.translate(None, b"\r\n\0"), writes=len(data) % 4 == 0
        )
        tokens = counting(self._values(header))
        live = next((token for token in tokens if token in USERS), None)
        assert visit.user == (USERS[live] if live else None)
        assert visit.source == ("cookie" if live else None)
        return visit.user, len(tokens), min(header.count("JSESSIONID"), 7), bool(visit.answer.set_cookie)

    @staticmethod
    def _values(header: str) -> list[str]:
        pairs = (part.partition("=") for part in header.split(";"))
        return [value.strip(' \t"') for name, is_pair, value in pairs if is_pair and name.strip(" \t") == "JSESSIONID"][
            :MOST_COOKIES
        ]


def cookies() -> Target:
    """Cookie headers."""
    seeds = [b"JSESSIONID=" + text for text in TEXTS]
    seeds += [
        b"; ".join(seeds),
        b"JSESSIONID=%b,x" % TEXTS[0],
        b'x=y; JSESSIONID="%b"' % TEXTS[0],
        b";JSESSIONID=0" * 99 + b";" + seeds[1],
    ]
    words = (b"JSESSIONID=", b"JSESSIONID", b"=", b";", b"; ", b",", b'"', b"\\", b" ", b"\t", b"x=y", b"\xff")
    return Target(Cookies(), tuple(seeds), (*words, *ID_WORDS), longest=4096)


# -- paths and links -----------------------------------------------------------------------------------------------


class Paths:
    """Path parameters, and links that are encoded on that page: first line the request's target, second the link."""

    def __init__(self) -> None:
        self._site = Site()

    def __call__(self, data: bytes) -> Hashable:
        """Serve a request for that target, mounted at /app when it begins so."""
        target, _, link = data.partition(b"\n")
        target = b"/" + target.lstrip(b"/")  # RFC 9112 3.2.1
        path, _, query = target.partition(b"?")
        decoded = unquote_to_bytes(path)
        mount, inside = ("/app", decoded[4:]) if decoded[:5] in (b"/app", b"/app/", b"/app;") else ("", decoded)
        raw = target.decode("latin-1")
        environ = request(SCRIPT_NAME=mount, PATH_INFO=inside.decode("latin-1"), REQUEST_URI=raw, RAW_URI=raw)
        environ["QUERY_STRING"] = query.decode("latin-1")
        text = link.decode("latin-1")
        visit = self._site.visit(
            environ, decoded + b"\n" + target, link=text, writes=len(data) % 4 == 0, note=self._what_is_left
        )
        live = next((token for token in counting(self._values(inside.decode("latin-1"))) if token in USERS), None)
        assert visit.user == (USERS[live] if live else None)
        leads = self._check_link(text, visit, "http://" + HOST + path.decode("latin-1"))
        return visit.user, leads, text[:1], mount, bool(visit.answer.set_cookie), min(inside.count(b"/"), 4)

    @staticmethod
    def _values(path: str) -> list[str]:
        """Return what the client wrote as the parameter, the newest first."""
        values = [part[11:] for part in path.split(";")[1:] if part.startswith("jsessionid=")]
        return [re.split("[/?#]", value)[0] for value in values][: -MOST_PARAMETERS - 1 : -1]

    @staticmethod
    def _what_is_left(environ: dict[str, Any]) -> object:
        left = [str(environ[key]) for key in ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "RAW_URI")]
        paths = [re.split("[?#]", unquote_to_bytes(text).decode("latin-1"))[0] for text in left[2:]] + left[:2]
        assert not any(";jsessionid=" in path for path in paths), f"the application sees an id: {left}"
        return None

    @staticmethod
    def _check_link(link: str, visit: Visit, page: str) -> str:
        """A link that was changed leads a browser to this site (it reads "\\" as "/", and no tabs and line ends)."""
        if visit.link == link:
            return "as it was"
        as_read = visit.link.translate({ord("\\"): "/", ord("\t"): None, ord("\n"): None, ord("\r"): None})
        url = resolve(page, as_read.strip("".join(map(chr, range(33)))))
        host = re.sub(":0*(80)?$", "", (url.host or "").rpartition("@")[2].lower())
        assert (url.scheme, host) == ("http", HOST), f"the id went to {url.scheme}://{url.host}"
        return "changed"


def paths() -> Target:
    """Path parameters and links."""
    seeds = [b"/app/x;jsessionid=%b/y?q=1\n../page?a=b#c" % text for text in TEXTS]
    seeds += [
        b"/x;jsessionid=%b;jsessionid=%b\nhttp://www.example.com/a" % (TEXTS[0], TEXTS[1]),
        b"/x%3Bjsessionid%3D" + TEXTS[0] + b"\n//evil.example/",
        b"/a/..;jsessionid=" + TEXTS[1] + b"\n",
        *(b"/;jsessionid=" + TEXTS[0] + b"\n" + link for link in (b"http:page", b"///x/", b"/\\x/", b"x:y", b"#a")),
        b";jsessionid=0" * 99 + b";jsessionid=" + TEXTS[1] + b"\n?x",
    ]
    words = (b"/", b";", b";jsessionid=", b"jsessionid", b"=", b"?", b"#", b"..", b".", b"//", b"%2f", b"%2e", b"\\")
    links = (
        b"\n",
        b"http:",
        b"https://",
        b"//www.example.com",
        b"//evil.example",
        b"@",
        b":80",
        b"[::1]",
        b"/app",
        b"%",
    )
    return Target(Paths(), tuple(seeds), (*words, *links, *ID_WORDS))


# -- proxies -------------------------------------------------------------------------------------------------------


class Forwarded:
    """X-Forwarded-Proto, -Host and -Prefix, then Host, mount point and a link: a line each; the first digit says how
    many proxies are trusted."""

    _NAMES = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX", "HTTP_HOST", "SCRIPT_NAME")

    def __init__(self) -> None:
        self._sites = [Site(hops) for hops in range(4)]

    def __call__(self, data: bytes) -> Hashable:
        """Serve a request with these headers that starts a session and redirects."""
        hops, *lines = data.translate(None, b"\r\0").decode("latin-1").split("\n")
        trusted = int(hops[0]) % 4 if hops[:1].isascii() and hops[:1].isdigit() else 1
        values = dict(zip(self._NAMES, lines, strict=False))
        if "SCRIPT_NAME" in values:  # a server decodes it
            values["SCRIPT_NAME"] = unquote_to_bytes(values["SCRIPT_NAME"].encode("latin-1")).decode("latin-1")
        link = lines[5] if len(lines) > 5 else ""
        environ = request(**values)
        visit = self._sites[trusted].visit(dict(environ), data, link=link, writes=True)
        if trusted == 0:
            self._check_unheard(visit, environ, data, link)
        if visit.link != link and re.match(r"(?i)(https?:)?//evil\.example(?![^/?#])", link):
            assert any("evil.example" in line.lower() for line in lines[:4]), "the id went to another host"
        cookie = visit.answer.set_cookie or ""
        return trusted, "Secure" in cookie, min(cookie.count("/"), 4), visit.link != link, min(cookie.count("%"), 4)

    def _check_unheard(self, visit: Visit, environ: dict[str, Any], data: bytes, link: str) -> None:
        """Who trusts no proxy answers as if nobody had said anything."""
        plain = {name: value for name, value in environ.items() if not name.startswith("HTTP_X_FORWARDED")}
        other = self._sites[0].visit(plain, data, link=link, writes=True)
        assert _blank(other.answer.headers) == _blank(visit.answer.headers)


def _blank(headers: list[tuple[str, str]]) -> str:
    return re.sub("[0-9a-f]{64}", "<id>", str(headers))


def forwarded() -> Target:
    """X-Forwarded headers."""
    seeds = (
        b"1\nhttps\nshop.example\n/shop\nwww.example.com\n/app\nhttps://shop.example/shop/app/x",
        b"2\nhttps, http\na.example, b.example\n/a, /b\n[::1]:80\n\nhttp://b.example/",
        b"0\nhttps\nevil.example\n/;Domain=evil\nwww.example.com\n/app\n//evil.example/",
        b"1\nhttps\nevil.example\n/\xc3\xa9%0d%0a\nwww.example.com\n/%e2%82%ac;%0d%0a\n/",
    )
    words = (
        b"\n",
        b", ",
        b",",
        b"https",
        b"HTTPS",
        b"http",
        b"evil.example",
        b"www.example.com",
        b"/",
        b"//",
        b"[::1]",
    )
    odd = (
        b":443",
        b":99999",
        b"@",
        b"..",
        b"%0d%0a",
        b"; Domain=evil",
        b"\xff",
        b"\xe2\x80\xae",
        b"0",
        b"3",
        b"?",
        b"#",
    )
    return Target(Forwarded(), seeds, (*words, *odd))
