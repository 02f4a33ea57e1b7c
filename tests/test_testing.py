"""sharedsession.testing: an application's own tests, without memcached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flaskclient import browser, make_app
from servers import free_port
from webclient import SECRET, Client, bare, ending_in, page, put, show

from sharedsession import ConfigError, SessionMiddleware, StoreUnavailableError, get_session
from sharedsession.flask import SharedSession
from sharedsession.testing import Sessions, in_memory

if TYPE_CHECKING:
    from webclient import View

VIEWS: dict[str, View] = {
    "/login": put("user", 7),
    "/show": show,
    "/logout": lambda session: session.invalidate(),
    "/move": lambda session: session.change_id(),
    "/created": lambda session: session.creation_time,
}


def shop(**options: Any) -> SessionMiddleware:
    """Return an application whose memcached nodes are out of reach."""
    nodes = f"n1:127.0.0.1:{free_port()} n2:127.0.0.1:{free_port()}"

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return page(VIEWS[environ["PATH_INFO"]])(environ, start_response)

    return bare(app, **{"nodes": nodes, **options})


@pytest.fixture
def app() -> SessionMiddleware:
    """Return the application."""
    return shop()


@pytest.fixture
def sessions(app: SessionMiddleware) -> Iterator[Sessions]:
    """Return its sessions, in memory until the test ends."""
    with in_memory(app) as sessions:
        yield sessions


def client_of(app: SessionMiddleware, sessions: Sessions, attributes: dict[str, Any]) -> Client:
    """Return a client that has a prepared session."""
    return Client(app, {sessions.cookie_name: sessions.create(attributes)})


# -- prepared and looked at ------------------------------------------------------------------------------------------


def test_a_prepared_session_is_served(app: SessionMiddleware, sessions: Sessions) -> None:
    """The application finds what the test has put into a session, and sends no other id."""
    client = client_of(app, sessions, {"user": 8, "set": {(2, 3)}})
    answer = client.get("/show")
    assert answer.text == "{'set': {(2, 3)}, 'user': 8}"
    assert answer.set_cookie is None


def test_what_the_application_stored_is_seen(app: SessionMiddleware, sessions: Sessions) -> None:
    """The test finds what the application has stored, by the client's id and among all sessions."""
    client = Client(app)
    assert sessions.all() == []
    client.get("/login")
    sessions.create({"n": 2})
    assert sessions.get(client.id) == {"user": 7}
    assert sessions.all() == [{"user": 7}, {"n": 2}]


def test_an_empty_session_is_prepared(app: SessionMiddleware, sessions: Sessions) -> None:
    """A session without attributes is a live one: the application goes on with it."""
    client = client_of(app, sessions, {})
    assert sessions.get(client.id) == {}
    assert client.get("/login").set_cookie is None
    assert sessions.all() == [{"user": 7}]


def test_there_is_none_under_a_dead_id(app: SessionMiddleware, sessions: Sessions) -> None:
    """None is told from empty: for what was logged out, given up by change_id, forged, or no id at all."""
    client = client_of(app, sessions, {"n": 1})
    before = client.id
    client.get("/move")
    assert client.id != before
    assert (sessions.get(before), sessions.get(client.id)) == (None, {"n": 1})
    after = client.id
    client.get("/logout")
    assert [sessions.get(text) for text in (after, "0" * 64, "", "nonsense")] == [None] * 4
    assert sessions.all() == []


def test_a_session_can_be_opened(app: SessionMiddleware, sessions: Sessions) -> None:
    """The test does what another request would: the client meets the changes, the other interval and the log-out."""
    client = client_of(app, sessions, {"n": 1})
    with sessions.open(client.id) as session:
        session["n"] += 1
        session.max_inactive_interval = 10
    assert client.get("/show").text == "{'n': 2}"
    with sessions.open(client.id) as session:
        assert (session.id, session.max_inactive_interval) == (client.id, 10)
        session.invalidate()
    assert client.get("/show").text == "{}"


def test_nothing_is_saved_when_the_block_raises(sessions: Sessions) -> None:
    """An assertion that fails while a session is open leaves the session as it was."""
    session_id = sessions.create({"n": 1})

    def fail() -> None:
        with sessions.open(session_id) as session:
            session["n"] = 2
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert sessions.get(session_id) == {"n": 1}


def test_a_dead_session_cannot_be_opened(sessions: Sessions) -> None:
    """Opening what is not there is an error of the test, not a new session."""
    session_id = sessions.create()
    sessions.advance(1800)
    with pytest.raises(KeyError, match="no live session"), sessions.open(session_id):
        pass


def test_a_value_that_cannot_be_stored(sessions: Sessions) -> None:
    """A prepared session holds what a real one can: anything else is a TypeError that names the attribute."""
    with pytest.raises(TypeError, match="'lock'"):
        sessions.create({"lock": [object()]})
    assert sessions.all() == []


# -- clock -------------------------------------------------------------------------------------------------------------


def test_a_session_expires_when_time_passes(app: SessionMiddleware, sessions: Sessions) -> None:
    """A session lives for its interval without a request, to the second, and each request that uses it prolongs it."""
    client = client_of(app, sessions, {"n": 1})
    for _ in range(3):
        sessions.advance(1799)
        assert client.get("/show").text == "{'n': 1}"
    sessions.advance(1800)
    assert client.get("/show").text == "{}"
    assert sessions.all() == []


@pytest.mark.parametrize("look", ["get", "all", "open"])
def test_looking_prolongs_nothing(sessions: Sessions, look: str) -> None:
    """What the test looks at expires as if it had not."""
    session_id = sessions.create({"n": 1})
    sessions.advance(1799)
    if look == "open":
        with sessions.open(session_id) as session:
            assert session["n"] == 1
    else:
        assert (sessions.get(session_id) if look == "get" else sessions.all()[0]) == {"n": 1}
    sessions.advance(1)
    assert sessions.get(session_id) is None


def test_the_longest_life_is_by_the_same_clock() -> None:
    """max_lifetime ends an active session when the test lets that much time pass."""
    app = shop(max_lifetime=3600)
    with in_memory(app) as sessions:
        client = client_of(app, sessions, {"n": 1})
        for _ in range(3):
            sessions.advance(1190)
            assert client.get("/show").text == "{'n': 1}"
        sessions.advance(40)
        assert client.get("/show").text == "{}"


def test_the_clock_is_set(app: SessionMiddleware, sessions: Sessions) -> None:
    """The clock stands still, can be set to any time, and is what sessions read."""
    sessions.now = 1_000_000_000.0
    client = client_of(app, sessions, {"n": 1})
    sessions.advance(0.5)
    assert client.get("/created").text == "1000000000.0"
    assert sessions.now == 1_000_000_000.5
    with pytest.raises(ValueError, match="backwards"):
        sessions.advance(-1)


# -- outage ------------------------------------------------------------------------------------------------------------


def test_an_outage_is_a_503(app: SessionMiddleware, sessions: Sessions) -> None:
    """While no node answers the application refuses, the test still sees what is stored, and it works again after."""
    client = client_of(app, sessions, {"n": 1})
    with sessions.unavailable():
        assert [client.get(path).status for path in ("/show", "/login", "/logout")] == [503] * 3
        assert sessions.get(client.id) == {"n": 1}
        other = client_of(app, sessions, {"n": 2})
        with sessions.unavailable():
            assert other.get("/show").status == 503
        assert other.get("/show").status == 503
    assert client.get("/show").text == "{'n': 1}"
    assert other.get("/show").text == "{'n': 2}"


def test_an_outage_with_empty_sessions() -> None:
    """The outage follows the application's policy: reads see an empty session, changes are refused."""
    app = shop(on_unavailable="empty")
    with in_memory(app) as sessions:
        client = client_of(app, sessions, {"n": 1})
        with sessions.unavailable():
            assert client.get("/show").text == "{}"
            assert client.get("/login").status == 503


# -- the application around it -----------------------------------------------------------------------------------------


def test_no_connection_is_attempted() -> None:
    """The configured nodes are not connected to, not even for an option that needs both of them."""
    with socket.create_server(("127.0.0.1", 0)) as node:
        node.setblocking(False)
        port = node.getsockname()[1]
        app = shop(nodes=f"n1:127.0.0.1:{port} n2:localhost:{port}", copies=2, required_copies=2)
        with in_memory(app) as sessions:
            client = client_of(app, sessions, {"n": 1})
            assert client.get("/login").status == 200
            assert client.get("/show").text == "{'n': 1, 'user': 7}"
        with pytest.raises(BlockingIOError):
            node.accept()


def test_the_application_gets_its_own_sessions_back() -> None:
    """After the block, also one that raised, the application serves what it had before, and nothing of the test."""
    app = shop(nodes="memory")
    mine = Client(app)
    mine.get("/login")
    parts = app.parts

    def fail() -> None:
        with in_memory(app) as sessions:
            sessions.create({"n": 1})
            assert mine.get("/show").text == "{}"
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert app.parts is parts
    assert mine.get("/show").text == "{'user': 7}"


def test_every_block_begins_without_sessions(app: SessionMiddleware) -> None:
    """Tests do not see each other's sessions, neither one after the other nor one inside the other."""
    with in_memory(app) as first:
        first.create({"n": 1})
        with in_memory(app) as second:
            assert second.all() == []
        assert first.all() == [{"n": 1}]
    with in_memory(app) as third:
        assert third.all() == []


def test_the_applications_options_hold() -> None:
    """Cookie name, route, interval and the like are the application's own: its ids are as in production."""
    app = shop(cookie_name="SHOP", route="web1", max_inactive_interval=60, ignore_paths=("/login",))
    with in_memory(app) as sessions:
        session_id = sessions.create({"n": 1})
        assert sessions.cookie_name == "SHOP"
        assert session_id.endswith(".web1")
        assert Client(app, {"SHOP": session_id}).get("/show").text == "{'n': 1}"
        with pytest.raises(KeyError, match="ignore_paths"):
            Client(app).get("/login")
        sessions.advance(60)
        assert sessions.all() == []


def test_a_server_of_several_processes_is_no_obstacle() -> None:
    """An application without nodes, which a server of several processes refuses, is tested in one all the same."""
    app = shop(nodes=None)
    several: dict[str, Any] = {"wsgi.multiprocess": True}
    with in_memory(app):
        assert Client(app).get("/show", **several).status == 200


def test_the_tests_own_hands_are_not_counted(app: SessionMiddleware, sessions: Sessions) -> None:
    """The counters show what the application did, and begin at 0."""
    session_id = sessions.create({"n": 1})
    assert sessions.get(session_id) is not None
    assert sessions.get("0" * 64) is None
    assert app.stats() == {}
    Client(app).get("/login")
    assert app.stats() == {"created": 1}


def test_what_was_saved_late_is_seen() -> None:
    """Changes made while the body is sent are in the store when the response has been closed."""

    def late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        get_session(environ)["first"] = 1
        yield b"body"
        get_session(environ)["second"] = 2

    app = bare(ending_in(late))
    with in_memory(app) as sessions:
        Client(app).get("/late")
        assert sessions.all() == [{"first": 1, "second": 2}]


def test_something_else_is_refused() -> None:
    """An application without sessions of this library, or something around the middleware, is named as a mistake."""
    others: list[Any] = [page(show), flask.Flask("plain"), None]
    for wrong in others:
        with pytest.raises(ConfigError, match="give the SessionMiddleware itself"), in_memory(wrong):
            pass


# -- Flask -------------------------------------------------------------------------------------------------------------


def test_flask_before_its_first_request() -> None:
    """A Flask app is tested before it served anything; its configuration, set after SharedSession, counts."""
    app = flask.Flask("shop")
    SharedSession(app)
    app.config.update(SECRET_KEY=SECRET, SESSION_COOKIE_NAME="SHOP", SHAREDSESSION_NODES=f"n1:127.0.0.1:{free_port()}")
    app.add_url_rule("/", "show", lambda: str(dict(flask.session)))
    with in_memory(app) as sessions:
        client = app.test_client()
        client.set_cookie(sessions.cookie_name, sessions.create({"a": 1}))
        assert sessions.cookie_name == "SHOP"
        assert client.get("/").text == "{'a': 1}"


def test_flasks_rules_hold() -> None:
    """A session emptied key by key ends, and a permanent one has its lifetime and its cookie, as in production."""
    app = make_app(nodes=f"n1:127.0.0.1:{free_port()}")
    app.permanent_session_lifetime = 7200  # seconds, as Flask takes them
    with in_memory(app) as sessions:
        client = browser(app)
        client.get("/pop")
        assert (client.cookies, sessions.all()) == ({}, [])
        tested = app.test_client()
        with tested.session_transaction() as session:
            session.permanent = True
        cookie = tested.get_cookie("JSESSIONID")
        assert cookie is not None
        assert cookie.max_age == 7200
        sessions.advance(7199)
        assert sessions.get(cookie.value) == {"_permanent": True}
        sessions.advance(1)
        assert sessions.get(cookie.value) is None


@pytest.mark.parametrize("make", [shop, make_app])
def test_every_rule_is_the_applications_own(make: Any) -> None:
    """Whatever decides about a session is the application's: only the store, what uses it and the clock are others."""
    app = make(nodes="n1:192.0.2.1")
    face = app if isinstance(app, SessionMiddleware) else app.extensions["sharedsession"]
    policy = face.parts.policy
    before = {**vars(policy), **vars(policy.manager)}
    with in_memory(app):
        policy = face.parts.policy
        after = {**vars(policy), **vars(policy.manager)}
    # What changes a session in one process queues for itself: in lines of its own.
    others = {"manager", "store", "principals", "agreement", "stats", "clock", "lines", "waiters"}
    assert {name for name in before if before[name] is not after[name]} == others


def test_flasks_outage() -> None:
    """A Flask app answers 503 during an outage, and session_transaction raises what a view would see."""
    app = make_app()
    with in_memory(app) as sessions:
        client = app.test_client()
        client.set_cookie(sessions.cookie_name, sessions.create({"a": 1}))
        with sessions.unavailable():
            assert client.get("/show").status_code == 503
            with pytest.raises(StoreUnavailableError), client.session_transaction() as session:
                session["b"] = 1
        assert client.get("/show").text == "{'a': 1}"
