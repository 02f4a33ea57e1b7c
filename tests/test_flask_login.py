"""Flask-Login over shared sessions: the real package, real memcached, two application nodes."""

from __future__ import annotations

import sys
from typing import Any

import flask
import flask_login  # type: ignore[import-untyped]
import pytest
from flask import Flask
from flaskclient import make_app
from servers import Memcached
from webclient import SECRET, Client, Commands, commands, sent

from sharedsession.flask import SharedSession

# Flask-Login 0.6 computes the end of its cookie that way.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

ANONYMOUS = "None, fresh False"


class User(flask_login.UserMixin):  # type: ignore[misc]
    """A user who has nothing but a name."""

    def __init__(self, name: str) -> None:
        self.id = name


def with_log_in(app: Flask, protection: str | None = "basic") -> Flask:
    """Give an app Flask-Login, with /in/<name>, /remember/<name>, /out, /confirm, /who, /private and /secret."""
    manager = flask_login.LoginManager(app)
    manager.session_protection = protection
    manager.user_loader(User)
    who = lambda: f"{flask_login.current_user.get_id()}, fresh {flask_login.login_fresh() is True}"  # noqa: E731
    rules: dict[str, Any] = {
        "/in/<name>": lambda name: str(flask_login.login_user(User(name))),
        "/remember/<name>": lambda name: str(flask_login.login_user(User(name), remember=True)),
        "/out": lambda: str(flask_login.logout_user()),
        "/confirm": lambda: str(flask_login.confirm_login()),
        "/who": who,
        "/private": flask_login.login_required(who),
        "/secret": flask_login.fresh_login_required(lambda: "secret"),
    }
    for path, view in rules.items():
        app.add_url_rule(path, path, view)
    return app


@pytest.fixture
def nodes(memcached: Memcached) -> tuple[Flask, Flask]:
    """Return two application nodes."""
    return with_log_in(make_app(nodes=memcached.node)), with_log_in(make_app(nodes=memcached.node))


def who(client: Client, **environ: Any) -> str:
    """Return whom the application takes the client for."""
    return client.get("/who", **environ).text


def known_by(app: Flask, client: Client) -> Client:
    """Return somebody else who has got hold of the client's session id."""
    return Client(app, {"JSESSIONID": client.id})


# -- in and out ----------------------------------------------------------------------------------------------------


def test_log_in_and_out(nodes: tuple[Flask, Flask]) -> None:
    """Who logs in on one node is logged in on the other; who logs out there is logged out here."""
    client = Client(nodes[0])
    assert client.get("/private").status == 401
    client.get("/in/ann")
    for app in (*nodes, *nodes):
        client.app = app
        assert client.get("/private").text == "ann, fresh True"
    thief = known_by(nodes[0], client)
    client.get("/out")
    assert client.cookies == {}
    for app in nodes:
        client.app = thief.app = app
        assert who(client) == ANONYMOUS
        assert who(thief) == ANONYMOUS


def test_log_out_leaves_the_rest(nodes: tuple[Flask, Flask]) -> None:
    """logout_user() takes the user out of the session; what the app put there besides stays."""
    client = Client(nodes[0])
    client.get("/login")
    client.get("/in/ann")
    client.get("/out")
    client.app = nodes[1]
    assert client.get("/show").text == "{'a': 1}"


# -- session fixation ----------------------------------------------------------------------------------------------


def test_log_in_changes_the_id(nodes: tuple[Flask, Flask]) -> None:
    """An id that somebody knew before the log-in is worth nothing after it, on any node; the data stay the user's."""
    client = Client(nodes[0])
    client.get("/login")
    thief = known_by(nodes[0], client)
    client.get("/in/ann")
    assert client.id[:64] != thief.id[:64]
    for app in nodes:
        client.app = thief.app = app
        assert who(thief) == ANONYMOUS
        assert who(client) == "ann, fresh True"
    assert client.get("/show").text.startswith("{'_fresh': True, '_id': ")
    assert "'a': 1" in client.get("/show").text


def test_another_log_in_changes_it_again(nodes: tuple[Flask, Flask]) -> None:
    """A second log-in, by the same or another user, changes the id as well."""
    client = Client(nodes[0])
    seen = set()
    for path in ("/in/ann", "/in/ann", "/in/bob"):
        client.get(path)
        seen.add(client.id)
    assert len(seen) == 3


def test_remembered_log_in_changes_the_id(nodes: tuple[Flask, Flask]) -> None:
    """So does a log-in by the remember-me cookie: the id that somebody planted beside it does not get the user."""
    client = Client(nodes[0])
    client.get("/remember/ann")
    planted = Client(nodes[1])
    planted.get("/login")
    client.cookies["JSESSIONID"] = planted.id
    assert who(client) == "ann, fresh False"
    assert client.id != planted.id
    assert who(planted) == ANONYMOUS


def test_confirmed_log_in_changes_the_id(nodes: tuple[Flask, Flask]) -> None:
    """So does confirm_login(), which makes a session fresh: one that was stolen before does not become fresh."""
    client = Client(nodes[0])
    client.get("/remember/ann")
    del client.cookies["JSESSIONID"]
    assert who(client) == "ann, fresh False"
    thief = known_by(nodes[1], client)
    client.get("/confirm")
    assert client.get("/secret").text == "secret"
    assert who(thief) == ANONYMOUS


def test_other_requests_keep_the_id(nodes: tuple[Flask, Flask]) -> None:
    """Nothing but a log-in changes the id."""
    client = Client(nodes[0])
    client.get("/in/ann")
    before = client.id
    for path in ("/who", "/private", "/secret", "/login", "/show", "/none"):
        assert client.get(path).set_cookie is None
    assert client.id == before


# -- remember me, fresh, protection --------------------------------------------------------------------------------


def test_remember_me(nodes: tuple[Flask, Flask]) -> None:
    """Who is remembered comes back without a session, not fresh; a fresh log-in is asked for where that is needed."""
    client = Client(nodes[0])
    client.get("/remember/ann")
    assert sorted(client.cookies) == ["JSESSIONID", "remember_token"]
    assert client.get("/secret").text == "secret"
    del client.cookies["JSESSIONID"]
    client.app = nodes[1]
    assert client.get("/private").text == "ann, fresh False"
    assert client.get("/secret").status == 401
    client.get("/in/ann")
    assert client.get("/secret").text == "secret"


def test_log_out_forgets(nodes: tuple[Flask, Flask]) -> None:
    """logout_user() deletes the remember-me cookie as well."""
    client = Client(nodes[0])
    client.get("/remember/ann")
    client.get("/out")
    assert client.cookies == {}
    assert who(client) == ANONYMOUS


def test_basic_protection(nodes: tuple[Flask, Flask]) -> None:
    """With "basic" protection a session that comes from another browser is no longer fresh, and stays."""
    client = Client(nodes[0], HTTP_USER_AGENT="one")
    client.get("/in/ann")
    assert who(client) == "ann, fresh True"
    assert who(client, HTTP_USER_AGENT="other") == "ann, fresh False"
    client.app = nodes[1]
    assert who(client) == "ann, fresh False"


def test_strong_protection(memcached: Memcached) -> None:
    """With "strong" protection a session that comes from another browser loses its user, everywhere."""
    nodes = [with_log_in(make_app(nodes=memcached.node), "strong") for _ in range(2)]
    client = Client(nodes[0], HTTP_USER_AGENT="one")
    client.get("/login")
    client.get("/in/ann")
    assert who(client) == "ann, fresh True"
    assert who(client, HTTP_USER_AGENT="other") == ANONYMOUS
    client.app = nodes[1]
    assert who(client) == ANONYMOUS
    assert client.get("/show").text == "{'a': 1}"


# -- what it costs, and what it needs ------------------------------------------------------------------------------


def test_cost(memcached: Memcached) -> None:
    """Flask-Login looks into the session after every view: one read, but none where there is no session."""
    client = Client(with_log_in(make_app(nodes=memcached.node, ignore_paths=["/none"])))
    client.get("/in/ann")
    for path, cost in (("/private", 1), ("/missing", 1), ("/none", 0)):
        before = commands(memcached)
        assert client.get(path).set_cookie is None
        assert sent(memcached, before) == Commands(cost, 0, 0)


def test_app_with_sessions_of_its_own(nodes: tuple[Flask, Flask]) -> None:
    """A log-in in an app that has no SharedSession, in the same process, is none of our business."""
    plain = Flask("plain")
    plain.secret_key = SECRET
    client = Client(with_log_in(plain))
    assert client.get("/in/ann").text == "True"
    assert list(client.cookies) == ["session"]
    assert who(client) == "ann, fresh True"


def test_flask_login_after_the_first_check(memcached: Memcached) -> None:
    """Flask-Login may be given the app after SharedSession, even after that has read its configuration."""
    app = Flask("shop")
    app.secret_key = SECRET
    app.add_url_rule("/login", "login", lambda: str(flask.session.update(a=1)))
    SharedSession(app, nodes=memcached.node).check()
    client = Client(with_log_in(app))
    client.get("/login")
    before = client.id
    client.get("/in/ann")
    assert client.id != before


def test_without_flask_login(memcached: Memcached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-Login need not be installed."""
    monkeypatch.setitem(sys.modules, "flask_login", None)
    client = Client(make_app(nodes=memcached.node))
    client.get("/login")
    assert client.get("/show").text == "{'a': 1}"


# -- principals ----------------------------------------------------------------------------------------------------


def test_a_log_in_names_the_principal(nodes: tuple[Flask, Flask]) -> None:
    """Every kind of log-in tells whose the session is, without code; a log-out and another user's log-in too."""
    sessions = nodes[1].extensions["sharedsession"].sessions
    client = Client(nodes[0])
    for path, listed in (("/in/ann", 1), ("/confirm", 1), ("/in/bob", 0), ("/remember/ann", 1), ("/out", 0)):
        client.get(path)
        assert len(sessions.of("ann")) == listed, path
    client.get("/remember/ann")
    client.cookies = {name: value for name, value in client.cookies.items() if name == "remember_token"}
    assert who(client) == "ann, fresh False"
    assert len(sessions.of("ann")) == 2


def test_log_out_everywhere(nodes: tuple[Flask, Flask]) -> None:
    """All of a user's sessions end on every node."""
    clients = [Client(app) for app in nodes]
    for client in clients:
        client.get("/in/ann")
    assert nodes[0].extensions["sharedsession"].sessions.invalidate_all("ann") == 2
    assert [who(client) for client in clients] == [ANONYMOUS] * 2
