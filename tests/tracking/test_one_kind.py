"""One kind of id alone, without cookies: a client walks, logs in and out by URLs or by forms."""

from __future__ import annotations

import re

import pytest
from webclient import Answer, checked, page

from sharedsession import encode_url, hidden_field
from sharedsession.session import Session
from tracking.walker import IDS, Environ, Walker, site

OPTIONS = [("url",), ("form",), ("url", "form")]


def visit(environ: Environ, session: Session) -> str:
    """Count visits; answer with a link and a form."""
    session["visits"] = session.get("visits", 0) + 1
    return f"{session['visits']} {session.source}|{encode_url(environ, 'visit')}|{hidden_field(environ)}"


def log_in(environ: Environ, session: Session) -> str:
    """Change the id."""
    session.change_id()
    return visit(environ, session)


def log_out(environ: Environ, session: Session) -> str:
    """End the session."""
    session.invalidate()
    return f"out|{encode_url(environ, 'visit')}|{hidden_field(environ)}"


def shown(answer: Answer) -> str:
    """Return what the page says of the visit."""
    assert answer.set_cookie is None
    return answer.text.partition("|")[0]


def link_to(answer: Answer, path: str) -> str:
    """Return the page's link, to another path."""
    return answer.text.split("|")[1].replace("visit", path)


def body_of(answer: Answer) -> bytes:
    """Return what a browser posts of the page's form."""
    field = re.search(r'name="(\w+)" value="([^"]+)"', answer.text)
    return f"{field[1]}={field[2]}&a=b".encode() if field else b"a=b"


@pytest.mark.parametrize("kind", ["url", "form"])
@pytest.mark.parametrize("tracking", OPTIONS)
def test_walk(kind: str, tracking: tuple[str, ...]) -> None:
    """By URLs or by forms alone a client keeps one session from its first visit through log-in to log-out."""
    if kind not in tracking:
        return
    walker = Walker(site({"/visit": visit, "/login": log_in, "/logout": log_out}, tracking=tracking))

    def go(page: Answer, path: str) -> Answer:
        return walker.follow(link_to(page, path)) if kind == "url" else walker.submit(path, body_of(page))

    first = walker.follow("/visit")
    assert shown(first) == "1 None"
    second = go(first, "visit")
    assert shown(second) == f"2 {kind}"
    entered = go(second, "login")
    assert shown(entered) == f"3 {kind}"
    assert link_to(entered, "x") + str(body_of(entered)) != link_to(second, "x") + str(body_of(second))
    assert shown(go(entered, "visit")) == f"4 {kind}"
    assert shown(go(second, "visit")) == "1 None"
    left = go(entered, "logout")
    assert shown(left) == "out"
    assert "jsessionid" not in left.text
    assert shown(go(entered, "visit")) == "1 None"


@pytest.mark.parametrize("tracking", OPTIONS)
def test_cookies_mean_nothing(tracking: tuple[str, ...]) -> None:
    """Where cookies are off a cookie of that name means nothing, and none is set."""
    walker = Walker(site({"/visit": visit}, tracking=tracking))
    first = walker.follow("/visit")
    found = re.search(r"[0-9a-f]{64}", first.text)
    assert found is not None
    second = walker.follow("/visit", HTTP_COOKIE=f"JSESSIONID={found[0]}")
    assert shown(second) == "1 None"
    assert "jsessionid" in second.text


@pytest.mark.parametrize("kind", ["url", "form"])
def test_off_kinds_write_nothing(kind: str) -> None:
    """A kind that is off is neither written nor read."""
    walker = Walker(site({"/visit": visit}, tracking=(kind,)))
    first = walker.follow("/visit")
    assert ("jsessionid" in link_to(first, "x")) is (kind == "url")
    assert (body_of(first) != b"a=b") is (kind == "form")


def test_all_off_by_default() -> None:
    """By default ids travel in cookies alone."""
    app = checked(page(lambda session: session.update(a=1)))
    environ: Environ = {}
    answer = Walker(app).follow("/", **environ)
    assert answer.set_cookie is not None
    assert answer.get("Referrer-Policy") is None


@pytest.mark.parametrize("kind", ["url", "form"])
def test_unavailable(kind: str) -> None:
    """With memcached away a client gets 503, not a new session; an untouched page still passes its id on."""
    app = site(
        {"/visit": visit, "/quiet": lambda e, s: f"|{encode_url(e, 'visit')}|{hidden_field(e)}"},
        tracking=(kind,),
        nodes="n1:127.0.0.1:1",
        connect_timeout=0.1,
    )
    text = IDS.new().text
    path, body = ("/{}" + f";jsessionid={text}", b"") if kind == "url" else ("/{}", f"jsessionid={text}".encode())
    assert Walker(app).submit(path.format("visit"), body).status == 503
    assert text in Walker(app).submit(path.format("quiet"), body).text
