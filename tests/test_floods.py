"""Floods: bad ids fill neither log nor memory, and the application may limit who gets a new session."""

from __future__ import annotations

import gc
import io
import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from servers import Memcached
from tracking.walker import IDS
from webclient import SECRET, Client, Commands, bare, commands, logged_in, page, put, sent, show
from werkzeug.exceptions import TooManyRequests
from werkzeug.test import create_environ

from sharedsession import Session, SessionMiddleware, encode_url, get_session
from sharedsession.ids import IdFactory
from sharedsession.stats import LOG_INTERVAL

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from webclient import View

OTHERS = IdFactory((b"quite another secret",), "sharedsession:", "")


# -- d: may_create -----------------------------------------------------------------------------------------------------


def seen_by_application(session: Session) -> object:
    """Store something; answer with what the application sees before and after it is saved."""
    session["b"] = 2
    before = dict(session)
    session.commit()
    return before, dict(session), session.is_new


def log_in(session: Session) -> None:
    """Log in as an application should."""
    session.change_id()
    session["a"] = 1


def replace(session: Session) -> None:
    """Log out, and put something into the next session."""
    session.invalidate()
    session["b"] = 2


VIEWS: dict[str, View] = {
    "/login": put("a", 1),
    "/put": put("b", 2),
    "/show": show,
    "/seen": seen_by_application,
    "/acs": log_in,
    "/replace": replace,
    "/ensure": lambda session: session.ensure_id() and "-",
    "/link": lambda session: session.update(b=2),
    "/none": lambda session: None,
}


def site(may_create: Callable[[dict[str, Any]], Any], nodes: Any = None, **options: Any) -> SessionMiddleware:
    """Return an application with the views, bare, so that its counters can be read."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/link":
            return page(VIEWS[environ["PATH_INFO"]])(environ, start_response)
        get_session(environ)["b"] = 2
        return page(lambda session: encode_url(environ, "/next"))(environ, start_response)

    return bare(app, nodes=nodes, may_create=may_create, **options)


def not_the_flooder(environ: dict[str, Any]) -> bool:
    """Allow new sessions to all but one."""
    return bool(environ.get("REMOTE_ADDR") != "192.0.2.1")


FLOODER: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.1"}


@pytest.mark.parametrize("path", ["/put", "/ensure", "/acs"])
def test_refused_creation(memcached: Memcached, path: str) -> None:
    """Whom may_create refuses gets no session and no cookie; nothing is stored; the response stays the same."""
    app = site(not_the_flooder, memcached.node)
    before = commands(memcached)
    answer = Client(app, **FLOODER).get(path)
    assert (answer.status, answer.set_cookie) == (200, None)
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert app.stats() == {"refused_creations": 1}
    assert Client(app).get(path).set_cookie is not None


def test_what_the_application_sees() -> None:
    """The request goes on with what it wrote; after a commit() `is_new` tells that it was not stored."""
    assert Client(site(not_the_flooder), **FLOODER).get("/seen").text == "({'b': 2}, {'b': 2}, True)"
    assert Client(site(not_the_flooder)).get("/seen").text == "({'b': 2}, {'b': 2}, False)"


def test_known_sessions_are_not_asked_about(memcached: Memcached) -> None:
    """Who has a session reads, changes and moves it unasked; only a new one is asked about, once a request."""
    asked: list[str] = []

    def hook(environ: dict[str, Any]) -> bool:
        asked.append(environ["PATH_INFO"])
        return True

    app = site(hook, memcached.node)
    client = Client(app)
    for path in ("/show", "/none"):
        client.get(path)
    assert asked == []
    client.get("/seen")
    assert asked == ["/seen"]
    refused = site(lambda environ: hook(environ) is None, memcached.node)
    Client(refused).get("/seen")
    assert asked == ["/seen", "/seen"]
    for path in ("/show", "/put", "/acs", "/none"):
        client.get(path)
    assert asked == ["/seen", "/seen"]


def test_log_out_is_never_refused() -> None:
    """A session that is ended and replaced ends also where the new one is refused; its cookie goes."""
    app = site(lambda environ: environ["PATH_INFO"] != "/replace")
    client = logged_in(app)
    old = client.id
    assert "Max-Age=0" in (client.get("/replace").set_cookie or "")
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"
    assert app.stats()["refused_creations"] == 1


def test_no_id_in_urls() -> None:
    """The URLs of a page carry no id of a session that is refused."""
    app = site(not_the_flooder, tracking=("url",))
    assert "jsessionid" in Client(app).get("/link").text
    assert Client(app, **FLOODER).get("/link").text == "/next"


@pytest.mark.parametrize("fault", [KeyError("a private address"), TooManyRequests()])
def test_hook_fails(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises, whatever it is, has refused: no limit can be got round by making it fail, and no 500."""

    def broken(environ: dict[str, Any]) -> bool:
        raise fault

    app = site(broken)
    for _ in range(3):
        answer = Client(app).get("/login")
        assert (answer.status, answer.set_cookie) == (200, None)
    assert app.stats() == {"refused_creations": 3, "hook_errors": 3}
    lines = [line for line in caplog.records if "function in may_create" in line.getMessage()]
    assert [line.levelno for line in lines] == [logging.WARNING]
    assert "private" not in caplog.text


def test_flood_of_creations(memcached: Memcached, caplog: pytest.LogCaptureFixture) -> None:
    """A limit of three lets three sessions in, and says of the others one line."""
    caplog.set_level(logging.DEBUG)
    left = [3]

    def limit(environ: dict[str, Any]) -> bool:
        left[0] -= 1
        return left[0] >= 0

    app = site(limit, memcached.node)
    begun = time.monotonic()
    for _ in range(500):
        Client(app).get("/login")
    assert memcached.stats()["curr_items"] == 3
    assert app.stats() == {"created": 3, "refused_creations": 497}
    assert len(caplog.records) <= 1 + (time.monotonic() - begun) / LOG_INTERVAL


# -- e: log lines about bad ids ----------------------------------------------------------------------------------------

#: Counter -> words of its log line, and the line's level.
REASONS = {
    "ids_malformed": ("malformed", logging.INFO),
    "ids_forged": ("forged", logging.WARNING),
    "ids_unknown": ("unknown", logging.DEBUG),
    "ids_moved": ("given up", logging.DEBUG),
    "ids_ended": ("logged out", logging.DEBUG),
    "ids_refused_source": ("in a URL or form", logging.WARNING),
    "ids_fingerprint": ("another fingerprint", logging.WARNING),
    "ids_ambiguous": ("several live ones", logging.WARNING),
}


class Bad:
    """An application in this process, and one bad cookie or URL of each kind."""

    def __init__(self) -> None:
        self.app = bare(self._serve, tracking=("cookie", "url"), fingerprint=lambda environ: environ["HTTP_USER_AGENT"])
        views = ("live", "second", "ended", "moved")
        self.ids = {name: logged_in(self.app, "/login", HTTP_USER_AGENT="owner").id for name in views}
        for name in ("ended", "moved"):
            Client(self.app, {"JSESSIONID": self.ids[name]}, HTTP_USER_AGENT="owner").get(f"/{name}")
        # Once seen in a cookie, an id counts no more in a URL.
        Client(self.app, {"JSESSIONID": self.ids["live"]}, HTTP_USER_AGENT="owner").get("/show")

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        views: dict[str, View] = {
            "/login": put("a", 1),
            "/ended": lambda session: session.invalidate(),
            "/moved": lambda session: session.change_id(),
        }
        return page(views.get(environ["PATH_INFO"], show))(environ, start_response)

    def ask(self, reason: str, number: int) -> str:
        """Show one bad id; return it."""
        texts = {
            "ids_malformed": f"nonsense{number}",
            "ids_forged": f"{number:064x}",
            "ids_unknown": IDS.new().text,
            "ids_moved": self.ids["moved"],
            "ids_ended": self.ids["ended"],
            "ids_ambiguous": f"{self.ids['live']}; JSESSIONID={self.ids['second']}",
        }
        text = texts.get(reason, self.ids["live"])
        client = Client(self.app, HTTP_USER_AGENT="thief" if reason == "ids_fingerprint" else "owner")
        if reason == "ids_refused_source":
            client.get(f"/show;jsessionid={text}", cookie="")
        else:
            client.get("/show", cookie=f"JSESSIONID={text}")
        return text


def test_ten_thousand_bad_ids(caplog: pytest.LogCaptureFixture) -> None:
    """10,000 bad ids of all kinds are a line a reason every ten seconds, which names the reason and never an id."""
    bad = Bad()
    caplog.set_level(logging.DEBUG)
    begun = time.monotonic()
    shown = {bad.ask(reason, number) for number in range(10_000 // len(REASONS)) for reason in REASONS}
    intervals = 1 + (time.monotonic() - begun) / LOG_INTERVAL
    assert {
        name: count >= 10_000 // len(REASONS) for name, count in bad.app.stats().items() if name in REASONS
    } == dict.fromkeys(REASONS, True)
    for words, level in REASONS.values():
        lines = [line for line in caplog.records if words in line.getMessage()]
        assert {line.levelno for line in lines} == {level}, words
        assert len(lines) <= intervals, words
    assert len(caplog.records) <= len(REASONS) * intervals
    text = caplog.text
    assert not any(piece[:32] in text for ids in shown for piece in ids.split("; JSESSIONID="))


# -- f: memory ---------------------------------------------------------------------------------------------------------


def everything(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Read the session and write a link; under /new store one, under /late use it when the headers have left."""
    session = get_session(environ)
    link = encode_url(environ, "/next")
    if environ["PATH_INFO"].startswith("/new"):
        session["a"] = 1
    found = dict(session)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Location", "/away")])
    return [f"{len(found)} {len(link)}".encode()]


#: What all requests have in common.
BLANK = create_environ()


def environ_of(number: int, path: str) -> dict[str, Any]:
    """Return a request in which everything a client chooses differs from every other one's."""
    ids = [IDS.new().text, OTHERS.new().text, f"nonsense-{number}"]
    body = f"jsessionid={ids[number % 3]}&n={number}".encode()
    return BLANK | {
        "PATH_INFO": f"{path}/{number};jsessionid={ids[(number + 1) % 3]}",
        "QUERY_STRING": f"q={number}",
        "HTTP_COOKIE": f"a{number}={number}; JSESSIONID={ids[(number + 2) % 3]}; b={number}",
        "HTTP_HOST": f"host{number}.example:{number % 60000}",
        "HTTP_USER_AGENT": f"browser/{number} of kind {number * 7}",
        "HTTP_ORIGIN": f"https://origin{number}.example",
        "HTTP_X_FORWARDED_HOST": f"proxied{number}.example",
        "REMOTE_ADDR": f"2001:db8::{number:x}",
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


def flood(app: SessionMiddleware, path: str, numbers: Iterable[int]) -> None:
    """Send that many different requests."""
    for number in numbers:
        body: Any = app(environ_of(number, path), lambda *args: lambda data: None)
        for _ in body:
            pass
        getattr(body, "close", lambda: None)()


def grown_by(app: SessionMiddleware, path: str, first: int, then: int) -> int:
    """Return the objects by which this process has grown over `then` requests that come after `first` ones."""
    flood(app, path, range(first))
    gc.collect()
    before = sys.getallocatedblocks()
    flood(app, path, range(first, first + then))
    gc.collect()
    return sys.getallocatedblocks() - before


OPTIONS: dict[str, Any] = {
    "tracking": ("cookie", "url", "form"),
    "trusted_proxies": 1,
    "fingerprint": "sharedsession.fingerprints:user_agent",
    "may_create": lambda environ: True,
    "ignore_paths": ("/static",),
    "sticky": True,
    "route": "web1",
}


def test_nothing_is_kept_of_requests() -> None:
    """20,000 requests that differ in ids, paths, hosts, addresses, browsers and cookies leave nothing in memory."""
    app = SessionMiddleware(everything, secret_key=SECRET, **OPTIONS)
    assert grown_by(app, "/show", 1_000, 20_000) < 1_000


def test_nothing_is_kept_of_sessions(memcached: Memcached) -> None:
    """2,000 sessions that different clients begin lie in memcached, and leave nothing in the application's memory."""
    app = SessionMiddleware(
        everything, secret_key=SECRET, nodes=memcached.node, locking="writes", **{**OPTIONS, "tracking": ("cookie",)}
    )
    assert grown_by(app, "/new", 500, 1_500) < 1_000
    assert memcached.stats()["curr_items"] >= 2_000
