"""Links with ids: which get one, and that they lead where they led without it."""

from __future__ import annotations

from typing import Any

import pytest
from webclient import Server, bare

from sharedsession import encode_redirect_url, encode_url
from sharedsession.session import Session
from tracking.links import ALL_LINKS, APP, Link, Page
from tracking.walker import IDS, Environ, Walker, bare_site, request, resolve, site

ID = IDS.new().text
PARAMETER = f";jsessionid={ID}"


def encoded(page: Page, url: str, **more: Any) -> str:
    """Return what the page makes of a link; the page's own URL brought the id."""
    path, mark, query = page.target.partition("?")
    app = bare(bare_site({"*": lambda environ, session: encode_url(environ, url)}), tracking=("url",))
    place = {"HTTP_HOST": page.host, "wsgi.url_scheme": page.scheme, **more}
    environ = request(f"{path}{PARAMETER}{mark}{query}", mount=page.mount, **place)
    answer = Server().serve(app, environ)
    assert answer.status == 200
    return answer.body.decode("utf-8", "surrogateescape")


def wanted(page: Page, link: Link) -> str:
    """Return what the table says."""
    before, after, _ = link
    here, mark, query = page.target.partition("?")
    filled = (before if after == "=" else after).replace("{here}", here).replace("{query}", mark + query)
    return filled.replace("*", PARAMETER)


@pytest.mark.parametrize(("page", "link"), ALL_LINKS)
def test_table(page: Page, link: Link) -> None:
    """A link gets the id exactly when it leads back to the application, and nothing else of it changes."""
    assert encoded(page, link[0].replace("*", PARAMETER)) == wanted(page, link)


def test_encoded_again() -> None:
    """A link that has the id already stays as it is."""
    for page, link in ALL_LINKS:
        assert encoded(page, wanted(page, link)) == wanted(page, link)


@pytest.mark.parametrize(
    ("page", "link"),
    [case for case in ALL_LINKS if case[1][1] != "=" and "jsessionid=" not in case[1][0].split("?")[0]],
)
def test_leads_to_the_same_page(page: Page, link: Link) -> None:
    """A client that follows the link reaches the same page of the application as without the id, and brings the id."""
    base = f"{page.scheme}://{page.host}{page.target}"
    seen: list[tuple[str, str]] = []

    def note(environ: Environ, session: Session) -> str:
        seen.append((environ["PATH_INFO"], environ["QUERY_STRING"]))
        return encode_url(environ, "/x")

    app = bare(bare_site({"*": note}), tracking=("url",))
    for url in (link[0].replace("*", PARAMETER), wanted(page, link)):
        reached = resolve(base, url)
        answer = Server().serve(app, request((reached.path or "/") + reached.query))
    assert seen[0] == seen[1]
    assert answer.text == f"/x{PARAMETER}"


@pytest.mark.parametrize(
    ("host", "port", "url", "inside"),
    [
        ("", "80", "http://localhost/app/page", True),
        ("", "8080", "http://localhost:8080/app/page", True),
        ("", "8080", "http://localhost/app/page", False),
    ],
)
def test_without_host_header(host: str, port: str, url: str, inside: bool) -> None:
    """An HTTP/1.0 request without Host was addressed to the server's own name and port."""
    page = APP._replace(host=host)
    assert encoded(page, url, SERVER_NAME="localhost", SERVER_PORT=port) == url + PARAMETER * inside


def test_ipv6_server_name() -> None:
    """A server named by its IPv6 address is known by it, though environ has no brackets."""
    url = "http://[::1]:8080/app/page"
    assert encoded(APP._replace(host=""), url, SERVER_NAME="::1", SERVER_PORT="8080") == url + PARAMETER


def test_behind_a_proxy() -> None:
    """Behind a trusted proxy scheme, host and mount point are what the client sees; otherwise its headers are talk."""
    forwarded: Environ = {
        "HTTP_HOST": "10.0.0.1:8000",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "shop.example.com",
        "HTTP_X_FORWARDED_PREFIX": "/shop",
    }
    links = [
        "https://shop.example.com/shop/page",
        "/shop/page",
        "",
        "page",
        "http://10.0.0.1:8000/page",
        "https://shop.example.com/page",
        "/page",
    ]

    def encode_all(trusted: int) -> list[str]:
        app = bare(
            bare_site({"*": lambda environ, session: "\n".join(encode_url(environ, link) for link in links)}),
            tracking=("url",),
            trusted_proxies=trusted,
        )
        text = Server().serve(app, request(f"/here{PARAMETER}", **forwarded)).text
        return [line.replace(PARAMETER, "*") for line in text.split("\n")]

    assert encode_all(1) == [f"{links[0]}*", "/shop/page*", "/shop/here*", "page*", *links[4:]]
    assert encode_all(0) == [links[0], "/shop/page*", "/here*", "page*", f"{links[4]}*", links[5], "/page*"]


def test_what_the_application_changes_in_environ() -> None:
    """Links stand on the page that the client asked for, whatever dispatchers have made of it in environ."""

    def view(environ: Environ, session: object) -> str:
        environ.update(
            {
                "SCRIPT_NAME": "/inner",
                "PATH_INFO": "/other",
                "QUERY_STRING": "internal=1",
                "HTTP_HOST": "tenant-7.internal",
                "wsgi.url_scheme": "gopher",
            }
        )
        return "\n".join(encode_url(environ, link) for link in ("", "#f", "http://shop.example.com/page"))

    app = bare(bare_site({"*": view}), tracking=("url",))
    text = Server().serve(app, request(f"/here{PARAMETER}?q=1", HTTP_HOST="shop.example.com")).text
    wanted = ["/here*?q=1", "/here*?q=1#f", "http://shop.example.com/page*"]
    assert text.replace(PARAMETER, "*").split("\n") == wanted


def test_another_name() -> None:
    """The parameter is named as configured, also in what is replaced."""
    app = site(
        {"*": lambda environ, session: encode_redirect_url(environ, "/page;sid=OLD;jsessionid=x")},
        tracking=("url",),
        parameter="sid",
    )
    assert Walker(app).follow(f"/;sid={ID}").text == f"/page;jsessionid=x;sid={ID}"


def test_a_url_that_is_made_when_it_is_read() -> None:
    """A lazy object (such as Django's reverse_lazy) is taken for the text that it stands for."""

    class Lazy:
        def __str__(self) -> str:
            return "/cart"

    assert encode_url({}, Lazy()) == "/cart"  # type: ignore[arg-type]
    walker = Walker(site({"*": lambda environ, session: encode_url(environ, Lazy())}))  # type: ignore[arg-type]
    assert walker.follow("/page").text == "/cart"
