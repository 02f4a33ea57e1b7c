"""A POST from another site comes without a Lax cookie: what it makes must not replace the one that was kept back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
import pytest
from flaskclient import make_app
from servers import Memcached
from webclient import TEXT, Client, Commands, bare, commands, logged_in, page, put, sent, show

from sharedsession import Session, SessionMiddleware, get_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse
    from webclient import View


def log_in(session: Session) -> None:
    """Log in as an application should."""
    session.change_id()
    session["user"] = "alice"


def log_in_late(session: Session) -> None:
    """Save first, then log in."""
    session["user"] = "alice"
    session.commit()
    session.change_id()


def committed(session: Session) -> bool:
    """Save; answer whether the session is still new."""
    session["x"] = 1
    session.commit()
    return session.is_new


def replace(session: Session) -> None:
    """Begin a session, end it, and begin another."""
    session["a"] = 1
    session.invalidate()
    session["b"] = 2


VIEWS: dict[str, View] = {
    "/login": put("a", 1),
    "/paid": lambda session: (session.update(paid=True), dict(session)),
    "/ensure": lambda session: session.ensure_id() and "-",
    "/commit": committed,
    "/acs": log_in,
    "/late_acs": log_in_late,
    "/again": replace,
    "/show": show,
}
#: What browsers say of a form on another site: with Fetch Metadata, and, over plain http or in old ones, without.
CROSS: list[dict[str, str]] = [
    {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://bank.example"},
    {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": "https://bank.example"},
    {"HTTP_ORIGIN": "http://localhost.bank.example"},
]
#: What they say of the site's own forms; what programs say; and what tells nothing.
OWN: list[dict[str, str]] = [
    {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://elsewhere.example"},
    {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://login.example"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_ORIGIN": "http://localhost"},
    {"HTTP_ORIGIN": "https://LOCALHOST:8443"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": ""},
    {"HTTP_ORIGIN": "http://[half"},
    {},
]


def site(nodes: Any = None, **options: Any) -> SessionMiddleware:
    """Return an application with the views, bare, so that its counters can be read."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return page(VIEWS[environ["PATH_INFO"]])(environ, start_response)

    return bare(app, nodes=nodes, **options)


@pytest.mark.parametrize("says", CROSS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_good_cookie_stays(memcached: Memcached, says: dict[str, str], method: str) -> None:
    """The payment provider's POST stores nothing and sets no cookie; the browser still has its session afterwards."""
    app = site(memcached.node)
    client = logged_in(app)
    before = commands(memcached)
    answer = client.get("/paid", cookie="", method=method, **says)
    assert (answer.status, answer.set_cookie) == (200, None)
    assert answer.text == "(None, {'paid': True})"
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert client.get("/show").text == "{'a': 1}"
    assert app.stats()["withheld_cross_site"] == 1


@pytest.mark.parametrize("says", OWN)
def test_own_forms_create(says: dict[str, str]) -> None:
    """The site's own forms, those of programs, and those of which nothing is known, create sessions as ever."""
    client = Client(site())
    assert client.get("/paid", method="POST", **says).set_cookie is not None
    assert client.get("/show").text == "{'paid': True}"


@pytest.mark.parametrize("inner", ["tenant-7.internal", "evil.example"])
@pytest.mark.parametrize("origin", ["http://www.example.com", "http://evil.example"])
def test_the_host_is_the_one_that_the_client_named(inner: str, origin: str) -> None:
    """What the application makes of the Host header inside decides nothing: only the site's own pages create."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        environ["HTTP_HOST"] = inner
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        return [b""]

    answer = Client(bare(app)).get("/", method="POST", HTTP_HOST="www.example.com", HTTP_ORIGIN=origin)
    assert (answer.set_cookie is not None) == (origin == "http://www.example.com")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_links_from_other_sites_create(method: str) -> None:
    """A link from another site comes with the cookie, so one that comes without may create a session."""
    assert Client(site()).get("/paid", method=method, **CROSS[0]).set_cookie is not None


def test_change_id_means_it() -> None:
    """A log-in by another site's POST, as SAML has it, changes the id, and so gets its session and its cookie."""
    for path in ("/acs", "/late_acs"):
        client = logged_in(site())
        old = client.id
        assert client.get(path, cookie="", method="POST", **CROSS[0]).set_cookie is not None
        assert client.id != old
        assert client.get("/show").text == "{'user': 'alice'}"


@pytest.mark.parametrize("path", ["/ensure", "/commit", "/again"])
def test_nothing_else_does(memcached: Memcached, path: str) -> None:
    """Neither ensure_id(), nor commit(), nor invalidate() makes such a request's session a stored one."""
    client = Client(site(memcached.node))
    answer = client.get(path, method="POST", **CROSS[0])
    assert (answer.status, answer.set_cookie) == (200, None)
    assert memcached.stats()["curr_items"] == 0


@pytest.mark.parametrize("shown", ["JSESSIONID=" + "0" * 64, "JSESSIONID=", "other=1; JSESSIONID=x"])
def test_a_cookie_was_shown(shown: str) -> None:
    """Where the browser has sent a cookie of the name, good or bad, it keeps none back: a new one may be set."""
    assert Client(site()).get("/paid", cookie=shown, method="POST", **CROSS[0]).set_cookie is not None


def test_session_that_came_along(memcached: Memcached) -> None:
    """A request from another site that does bring its session uses it as ever."""
    client = logged_in(site(memcached.node))
    client.get("/paid", method="POST", **CROSS[0])
    assert client.get("/show").text == "{'a': 1, 'paid': True}"


def test_nothing_is_kept_back() -> None:
    """With SameSite=None browsers keep no cookie back, so a request without one may create a session."""
    assert Client(site(cookie_samesite="None")).get("/paid", method="POST", **CROSS[0]).set_cookie is not None


def test_behind_a_trusted_proxy() -> None:
    """The host that the Origin header must name is the one that the client addressed, by the trusted proxy."""
    app = site(trusted_proxies=1)
    says = {"HTTP_ORIGIN": "https://shop.example", "HTTP_X_FORWARDED_HOST": "shop.example"}
    assert Client(app).get("/paid", method="POST", **says).set_cookie is not None
    says["HTTP_X_FORWARDED_HOST"] = "other.example"
    assert Client(app).get("/paid", method="POST", **says).set_cookie is None


def test_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line says what was withheld and how to have it, however many such requests come."""
    caplog.set_level("INFO")
    client = Client(site())
    for _ in range(5):
        client.get("/paid", method="POST", **CROSS[0])
    assert len([line for line in caplog.records if "change_id()" in line.getMessage()]) == 1


def test_in_flask(memcached: Memcached) -> None:
    """In Flask a view that is posted to from another site reads and writes without an error, and nothing is kept."""
    app = make_app(nodes=memcached.node)

    @app.post("/back")
    def back() -> str:
        flask.session["paid"] = True
        flask.flash("thank you")
        return str(flask.session.get("user"))

    client = Client(app)
    answer = client.get("/back", method="POST", **CROSS[0])
    assert (answer.status, answer.text, answer.set_cookie) == (200, "None", None)
    assert memcached.stats()["curr_items"] == 0
