"""Ids in the URL of a request: read from any segment, and gone before the application routes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webclient import Server

from sharedsession.session import Session
from sharedsession.tracking.url import MOST_PARAMETERS, UrlParameter
from tracking.walker import IDS, Environ, Walker, log_in, request, site, who

PARAMETER = UrlParameter("jsessionid")

#: Request target; the path the application sees; the ids found, as they are looked at.
TARGETS: list[tuple[str, str, list[str]]] = [
    ("/page", "/page", []),
    ("/page;jsessionid=A", "/page", ["A"]),
    ("/page;jsessionid=A?x=1", "/page", ["A"]),
    ("/;jsessionid=A", "/", ["A"]),
    ("/page/;jsessionid=A", "/page/", ["A"]),
    ("/a;jsessionid=A/b", "/a/b", ["A"]),
    ("/;jsessionid=A/b", "//b", ["A"]),
    ("/a;jsessionid=A/b;jsessionid=B", "/a/b", ["B", "A"]),
    ("/a;jsessionid=A;jsessionid=B;jsessionid=C", "/a", ["C", "B", "A"]),
    ("/a;v=1;jsessionid=A;w=2", "/a;v=1;w=2", ["A"]),
    ("/a;v=1/b;jsessionid=A", "/a;v=1/b", ["A"]),
    ("/a;jsessionid=", "/a", [""]),
    ("/a;jsessionid==A", "/a", ["=A"]),
    ("/a;jsessionid=A=B", "/a", ["A=B"]),
    ("/a%3Bjsessionid=A", "/a", ["A"]),
    ("/a%3bjsessionid%3dA", "/a", ["A"]),
    ("/a;%6A%73essionid=%41", "/a", ["A"]),
    ("/a;jsessionid=A%2Fb", "/a/b", ["A"]),
    ("/a;jsessionid=A%3Fb", "/a?b", ["A"]),
    ("/a;jsessionid=A%23b", "/a#b", ["A"]),
    ("/a%3Fb;jsessionid=A", "/a?b", ["A"]),
    ("/a;jsessionid=%FF%00%0D%0A", "/a", ["\xff\0\r\n"]),
    ("/caf%C3%A9;jsessionid=A", "/caf\xc3\xa9", ["A"]),
    ("/%25;jsessionid=A", "/%", ["A"]),
    # The dot segment that a link to "." or ".." becomes when it carries an id.
    ("/d/.;jsessionid=A", "/d/", ["A"]),
    ("/d/e/..;jsessionid=A", "/d/", ["A"]),
    ("/d/e/%2e%2E;jsessionid=A", "/d/", ["A"]),
    ("/..;jsessionid=A", "/", ["A"]),
    ("/d/...;jsessionid=A", "/d/...", ["A"]),
    ("/d/e/..;jsessionid=A/secret", "/d/e/../secret", ["A"]),
    # No ids.
    ("/a;Jsessionid=A", "/a;Jsessionid=A", []),
    ("/a;JSESSIONID=A", "/a;JSESSIONID=A", []),
    ("/a;xjsessionid=A", "/a;xjsessionid=A", []),
    ("/a;jsessionidx=A", "/a;jsessionidx=A", []),
    ("/a;jsessionid", "/a;jsessionid", []),
    ("/jsessionid=A", "/jsessionid=A", []),
    ("/a%253Bjsessionid=A", "/a%3Bjsessionid=A", []),
    ("/a?jsessionid=A", "/a", []),
    ("/a?x;jsessionid=A", "/a", []),
    ("/d/..", "/d/..", []),
]


@pytest.mark.parametrize(("target", "path", "ids"), TARGETS)
def test_table(target: str, path: str, ids: list[str]) -> None:
    """The parameter is taken from any segment of the path, the newest first; everything else stays."""
    environ = request(target)
    assert PARAMETER.take(environ) == ids
    assert environ["PATH_INFO"] == path
    assert environ["QUERY_STRING"] == target.partition("?")[2]


COPIES = [
    ("/page;jsessionid=A?x=1", "/page?x=1"),
    ("/a;jsessionid=A/b%20c;jsessionid=B;v=1?q;jsessionid=x", "/a/b%20c;v=1?q;jsessionid=x"),
    ("/a%3Bjsessionid%3DA%2Fb?x", "/a%2Fb?x"),
    ("/caf%c3%A9%3bjsess%69onid=%41", "/caf%c3%A9"),
    ("/a%3Fb;jsessionid=A?c", "/a%3Fb?c"),
    ("http://www.example.com/a;jsessionid=A?x", "http://www.example.com/a?x"),
    ("/a%;jsessionid=%", "/a%"),
    ("/a%253Bjsessionid=A", "/a%253Bjsessionid=A"),
    ("*", "*"),
]


@pytest.mark.parametrize("key", ["REQUEST_URI", "RAW_URI", "SCRIPT_URL", "REDIRECT_URL"])
@pytest.mark.parametrize(("raw", "stripped"), COPIES)
def test_copies(key: str, raw: str, stripped: str) -> None:
    """The server's own copies of the URL lose the parameter too, and keep their spelling."""
    environ = request("/a;jsessionid=A") | {key: raw}
    PARAMETER.take(environ)
    assert environ[key] == stripped


def test_copy_alone() -> None:
    """A copy loses the parameter also where another middleware took it from PATH_INFO before."""
    environ = request("/a") | {"REQUEST_URI": "/a;jsessionid=A"}
    assert PARAMETER.take(environ) == []
    assert environ["REQUEST_URI"] == "/a"


def test_mount() -> None:
    """An id in the segment that a dispatcher took for the mount point is found, and no URL of the app repeats it."""
    environ = request("/page") | {"SCRIPT_NAME": "/tenant;jsessionid=A"}
    assert PARAMETER.take(environ) == ["A"]
    assert environ["SCRIPT_NAME"] == "/tenant"


def test_many() -> None:
    """Of a thousand ids all are removed, and the newest are looked at."""
    environ = request("/a" + "".join(f";jsessionid={number}" for number in range(1000)))
    assert PARAMETER.take(environ) == [str(number) for number in range(999, 999 - MOST_PARAMETERS, -1)]
    assert environ["PATH_INFO"] == environ["REQUEST_URI"] == "/a"


def seen(environ: Environ, session: Session) -> str:
    """Answer with every path that the application sees."""
    return "\n".join(str(environ.get(key)) for key in ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "RAW_URI"))


SEGMENT = st.text("ab%;/=.", max_size=6)
ENCODED = st.sampled_from(
    [";jsessionid=", "%3Bjsessionid=", ";%6asessionid%3D", ";jsessionid%3d", "%3b%6A%73essionid="]
)
VALUE = st.text("0af.%;", max_size=5)


@given(st.lists(st.tuples(SEGMENT, ENCODED, VALUE), min_size=1, max_size=4), SEGMENT)
def test_never_seen(parts: list[tuple[str, str, str]], end: str) -> None:
    """However an id is spelled, wherever it stands and how often: the application sees no parameter of that name."""
    target = "/" + "".join(before + name + value for before, name, value in parts) + end
    answer = Server().serve(site({"*": seen}, tracking=("url",)), request(target))
    assert ";jsessionid=" not in answer.text
    for line in answer.text.split("\n"):
        assert PARAMETER.strip(line) == line


@given(
    st.lists(
        st.sampled_from(["a", "%", ";", "/", ".", "..", "=", "%3B", "%2F", "%C3%A9", "v=1", "jsessionid"]), max_size=9
    )
)
def test_other_paths_stay(pieces: list[str]) -> None:
    """A path without the parameter reaches the application as it is."""
    environ = request("/" + "".join(pieces).replace("jsessionid=", "jsessionid"))
    environ = {key: value for key, value in environ.items() if isinstance(value, str)}
    before = dict(environ)
    if ";jsessionid=" not in environ["PATH_INFO"]:
        assert PARAMETER.take(environ) == []
        assert environ == before


@pytest.mark.parametrize("tracking", [("cookie",), ("cookie", "form")])
def test_off(tracking: tuple[str, ...]) -> None:
    """Where URL tracking is off the parameter means nothing and stays."""
    app = site({"*": lambda environ, session: f"{environ['PATH_INFO']} {session.id}"}, tracking=tracking)
    target = f"/a;jsessionid={IDS.new().text}"
    assert Walker(app).follow(target).text == f"{target} None"


@pytest.mark.parametrize(
    "link",
    [
        "/who;jsessionid={}",
        "/who;jsessionid={}?q=1",
        "/;jsessionid={}/../who;v=1;jsessionid={}",
        "/who%3Bjsessionid%3D{}",
    ],
)
def test_read(link: str) -> None:
    """A session is found by the id in the URL, however that is spelled."""
    walker = Walker(site({"/login": log_in, "/who": who, "/who;v=1": who}))
    text = walker.follow("/login").text
    assert walker.follow(link.replace("{}", text)).text == "u by url"


@pytest.mark.parametrize("link", ["/who?jsessionid={}", "/who#;jsessionid={}", "/who?;jsessionid={}"])
def test_not_read(link: str) -> None:
    """A query parameter of that name means nothing, nor does a fragment."""
    walker = Walker(site({"/login": log_in, "/who": who}))
    text = walker.follow("/login").text
    assert walker.follow(link.replace("{}", text)).text == "None by None"


def test_app_builds_clean_urls() -> None:
    """What an application builds from environ (wsgiref, werkzeug) holds no id of the request."""
    from wsgiref.util import request_uri

    from werkzeug.wsgi import get_current_url

    def urls(environ: dict[str, Any], session: Session) -> str:
        return f"{request_uri(environ)} {get_current_url(environ)}"

    answer = Walker(site({"*": urls})).follow(f"/a;jsessionid={IDS.new().text}/b;v=1?q")
    assert answer.text == "http://www.example.com/a/b;v=1?q http://www.example.com/a/b;v=1?q"
