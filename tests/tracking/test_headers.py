"""Ids in the headers of a response, and the headers that keep such a response private."""

from __future__ import annotations

import pytest
from webclient import Headers

from sharedsession import encode_url, hidden_field
from sharedsession.session import Session
from tracking.walker import ALL, Environ, View, Walker, cookie_of, log_in, nothing, site


def put(environ: Environ, session: Session) -> str:
    """Store something."""
    session["a"] = 1
    return ""


def headers_after(view: View, headers: Headers, **options: object) -> dict[str, str]:
    """Return the headers of a new session's answer at /d/page?q, with "*" for the id."""
    answer = Walker(site({"*": view}, headers=headers, **options)).follow("/d/page?q")
    assert answer.status == 200
    text = cookie_of(answer) or "no id"
    return {name: value.replace(f";jsessionid={text}", "*") for name, value in answer.headers}


LOCATIONS = [
    ("/page", "/page*"),
    ("page?a=b#f", "page*?a=b#f"),
    ("../page", "../page*"),
    ("?a=b", "/d/page*?a=b"),
    ("", "/d/page*?q"),
    ("http://www.example.com/page", "http://www.example.com/page*"),
    ("//www.example.com/page", "//www.example.com/page*"),
    ("/page;jsessionid=OLD", "/page*"),
    ("https://www.example.com/page", "https://www.example.com/page"),
    ("http://other.example.net/page", "http://other.example.net/page"),
    ("//other.example.net/page", "//other.example.net/page"),
    ("/;jsessionid=OLD/other.example.net", "/.//other.example.net*"),
    ("mailto:a@example.com", "mailto:a@example.com"),
]


@pytest.mark.parametrize(("url", "sent"), LOCATIONS)
@pytest.mark.parametrize("name", ["Location", "location", "Content-Location"])
def test_location(name: str, url: str, sent: str) -> None:
    """Location and Content-Location lead on with the id, as encode_url has it, without the application's doing."""
    assert headers_after(put, [(name, url)])[name] == sent


REFRESHES = [
    ("5; url=/page", "5; url=/page*"),
    ("0;url=page?a=b#f", "0;url=page*?a=b#f"),
    ("0;URL='/page'", "0;URL='/page*'"),
    ('0; Url = "/page"', '0; Url = "/page*"'),
    ("0, url=/page", "0, url=/page*"),
    ("0 url=/page", "0 url=/page*"),
    ("0; /page", "0; /page*"),
    ("0;'/page'", "0;'/page*'"),
    ("1.5;url=/page", "1.5;url=/page*"),
    (".5 ;  url=/page", ".5 ;  url=/page*"),
    ("  3 ; url=/page", "  3 ; url=/page*"),
    ("0; url='/page' ignored", "0; url='/page*' ignored"),
    ("0; url='/page", "0; url='/page*"),
    ("0; url=/o'brien?a='b'", "0; url=/o'brien*?a='b'"),
    ('0; url=/a"b', '0; url=/a"b*'),
    ("0; url=/page;v=1", "0; url=/page;v=1*"),
    ("0; url=/page;jsessionid=OLD", "0; url=/page*"),
    ("0; url=", "0; url=/d/page*?q"),
    ("0; url=urls", "0; url=urls*"),
    ("0; urls", "0; urls*"),
    ("0; url=http://www.example.com/page", "0; url=http://www.example.com/page*"),
    ("0; url=http://other.example.net/page", "0; url=http://other.example.net/page"),
    ("0; url='//other.example.net/page'", "0; url='//other.example.net/page'"),
    ("0; url=javascript:alert(1)", "0; url=javascript:alert(1)"),
    ("5", "5"),
    ("5url=/page", "5url=/page"),
    ("url=/page", "url=/page"),
    ("", ""),
]


@pytest.mark.parametrize(("value", "sent"), REFRESHES)
def test_refresh(value: str, sent: str) -> None:
    """Refresh leads on with the id, in every spelling that browsers understand."""
    assert headers_after(put, [("Refresh", value)])["Refresh"] == sent


def test_other_headers() -> None:
    """Other headers that hold URLs stay as they are."""
    headers = [("Link", "</page>; rel=next"), ("X-Location", "/page"), ("Referer", "/page")]
    assert dict(headers).items() <= headers_after(put, headers).items()


@pytest.mark.parametrize("name", ["Location", "Refresh"])
@pytest.mark.parametrize("tracking", [("cookie",), ("cookie", "form")])
def test_off(name: str, tracking: tuple[str, ...]) -> None:
    """Where URLs carry no ids these headers are the application's own."""
    assert headers_after(put, [(name, "0;url=/page")], tracking=tracking)[name] == "0;url=/page"


def test_without_session() -> None:
    """A redirect of a request without a session has no id, and creates nothing."""
    headers = headers_after(lambda environ, session: session.get("a"), [("Location", "/page")])
    assert headers["Location"] == "/page"
    assert "Set-Cookie" not in headers
    assert "Referrer-Policy" not in headers


def test_untouched() -> None:
    """A redirect by a request that does not touch its session passes on the id that it brought."""
    walker = Walker(site({"/login": log_in, "*": nothing}, headers=[("Location", "/page")]))
    text = walker.follow("/login").text
    assert walker.follow(f"/x;jsessionid={text}").get("Location") == f"/page;jsessionid={text}"


def test_redirect_after_change_id() -> None:
    """The redirect after a log-in by change_id carries the new id, which is the cookie's."""

    def change(environ: Environ, session: Session) -> str:
        session.change_id()
        return ""

    walker = Walker(site({"/login": log_in, "/change": change}, headers=[("Location", "/page")]))
    text = walker.follow("/login").text
    answer = walker.follow(f"/change;jsessionid={text}")
    assert answer.get("Location") == f"/page;jsessionid={cookie_of(answer)}"
    assert text not in str(answer.headers)


def test_redirect_after_invalidate() -> None:
    """The redirect after a log-out has no id."""
    views: dict[str, View] = {"/login": log_in, "/out": lambda environ, session: session.invalidate()}
    walker = Walker(site(views, headers=[("Location", "/page")]))
    text = walker.follow("/login").text
    assert walker.follow(f"/out;jsessionid={text}").get("Location") == "/page"


LINK: View = lambda environ, session: f"{put(environ, session)}{encode_url(environ, 'x')}"  # noqa: E731
FIELD: View = lambda environ, session: f"{put(environ, session)}{hidden_field(environ)}"  # noqa: E731


@pytest.mark.parametrize(("view", "headers"), [(LINK, []), (FIELD, []), (put, [("Location", "/page")])])
@pytest.mark.parametrize("tracking", [ALL, ("url", "form")])
def test_private(view: View, headers: Headers, tracking: tuple[str, ...]) -> None:
    """A response with ids in it is for this client alone, and its address for this site alone."""
    walker = Walker(site({"/login": log_in, "*": view}, headers=headers, tracking=tracking))
    text = walker.follow("/login").text
    for answer in (walker.follow("/"), walker.follow(f"/;jsessionid={text}")):
        assert answer.get("Cache-Control") == "private"
        assert answer.get("Referrer-Policy") == "same-origin"


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ("public, max-age=60", "max-age=60, private"),
        ("s-maxage=60, max-age=5", "max-age=5, private"),
        ("no-store", "no-store"),
        ("no-cache", "no-cache"),
        ("private, max-age=60", "private, max-age=60"),
        ("max-age=60", "max-age=60, private"),
    ],
)
def test_own_cache_control(own: str, sent: str) -> None:
    """What the application says of caching stays, but for what would let a shared cache keep the response."""
    assert headers_after(LINK, [("Cache-Control", own)], tracking=("url",))["Cache-Control"] == sent


@pytest.mark.parametrize("name", ["Referrer-Policy", "referrer-policy"])
def test_own_referrer_policy(name: str) -> None:
    """The application's own Referrer-Policy stays the only one."""
    headers = headers_after(LINK, [(name, "no-referrer")])
    assert {key.lower(): value for key, value in headers.items()}["referrer-policy"] == "no-referrer"
    assert sum(key.lower() == "referrer-policy" for key in headers) == 1


def test_cookie_clients_keep_their_headers() -> None:
    """A client with a cookie gets clean headers, and a page that may be cached as the application says."""
    app = site({"/login": log_in, "*": lambda e, s: encode_url(e, "x")}, headers=[("Location", "/p")])
    text = Walker(app).follow("/login").text
    answer = Walker(app, HTTP_COOKIE=f"JSESSIONID={text}").follow("/x")
    assert (answer.get("Location"), answer.get("Cache-Control"), answer.get("Referrer-Policy")) == ("/p", None, None)
