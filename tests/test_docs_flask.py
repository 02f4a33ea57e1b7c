"""The examples in docs/flask.md do what the page says; their memcached nodes are out of reach here."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import pytest
from flask import Flask
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionInterface
from signedcookies import cookie
from webclient import SECRET
from werkzeug.middleware.proxy_fix import ProxyFix

from sharedsession.flask import _FLASK_SETTINGS, SharedSession
from sharedsession.testing import in_memory

PAGE = (Path(__file__).parent.parent / "docs" / "flask.md").read_text()
EXAMPLES: list[str] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HTTPS = {"X-Forwarded-Proto": "https"}


def run(mark: str, **names: Any) -> dict[str, Any]:
    """Execute the only example that holds `mark`; return its names."""
    (example,) = (example for example in EXAMPLES if mark in example)
    names = {"__name__": "example", **names}
    exec(compile(example, "flask.md", "exec"), names)
    return names


def shop(*, protected: bool = True) -> Flask:
    """Return an app with a view that uses the session."""
    app = Flask("shop")
    app.secret_key = SECRET
    app.add_url_rule("/", "home", lambda: str(flask.session.setdefault("a", 1)))
    app.add_url_rule("/show", "show", lambda: dict(flask.session))
    if protected:
        SharedSession(app)
    return app


def test_counting_visits() -> None:
    """The first example counts visits, for two memcached nodes, and so does its test."""
    names = run("def visits")
    app = names["app"]
    assert [node.name for node in app.extensions["sharedsession"].health()] == ["n1", "n2"]
    with in_memory(app):
        client = app.test_client()
        assert [client.get("/").text for _ in "12"] == ["You were here 1 times.", "You were here 2 times."]
    run("def test_visits", **names)["test_visits"]()


def test_app_factory() -> None:
    """The app factory's configuration counts although it comes after init_app."""
    names = run("def create_app")
    app = names["create_app"]({"SECRET_KEY": SECRET, "SHAREDSESSION_ROUTE": "web1"})
    names["sessions"].check()
    assert names["sessions"].parts.config.route == "web1"
    assert app.extensions["sharedsession"] is names["sessions"]


def test_settings() -> None:
    """Every setting of Flask's that is taken over is in the table, and every setting of sessions that Flask has."""
    table = set(re.findall(r"`([A-Z_]+)`", PAGE[PAGE.index("## Settings") : PAGE.index("## Permanent")]))
    assert set(_FLASK_SETTINGS.values()) <= table
    assert {name for name in Flask.default_config if "SESSION" in name} <= table


def test_behind_a_proxy() -> None:
    """ProxyFix after SharedSession, or before it with trusted_proxies=1: the proxy's scheme makes the cookie Secure."""
    after, before = shop(), shop(protected=False)
    run("import ProxyFix", app=after)
    before.wsgi_app = ProxyFix(before.wsgi_app)  # type: ignore[method-assign]
    SharedSession(before, trusted_proxies=1)
    for app in (after, before):
        for headers, secure in ((HTTPS, True), ({}, False)):
            cookie = app.test_client().get("/", headers=headers).headers["Set-Cookie"]
            assert ("Secure" in cookie) == secure


def test_moving_from_flask() -> None:
    """The line that takes Flask's sessions over does so."""
    app = shop(protected=False)
    run("adopt_flask_sessions=", app=app, SharedSession=SharedSession)
    extension = app.extensions["sharedsession"]
    assert extension.parts.policy.predecessor
    assert extension.parts.policy.predecessor.find(f"session={cookie({'_user_id': 'ann'})}")
    assert not extension.parts.policy.predecessor.find(f"session={cookie({'lang': 'de'})}")


class Stored(SecureCookieSession):
    """A session of the stand-in for Flask-Session."""

    sid: str


class ServerSide(SessionInterface):
    """Stands for Flask-Session's interface: sessions in a dict, under the id in the cookie; an empty one is deleted."""

    def __init__(self) -> None:
        self.sessions: dict[str, Mapping[str, Any]] = {"known": {"user": "ann", "_permanent": True}}

    def open_session(self, app: Flask, request: flask.Request) -> Stored:
        """Return the session of the cookie, or a new one."""
        sid = request.cookies.get("session", "")
        session = Stored(self.sessions.get(sid, {}))
        session.sid = sid
        return session

    def save_session(self, app: Flask, session: Any, response: flask.Response) -> None:
        """Store or delete a session."""
        if session:
            self.sessions[session.sid] = dict(session)
        elif session.modified:
            self.sessions.pop(session.sid, None)
            response.delete_cookie("session")


def test_moving_from_flask_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of Flask-Session's is carried over once, with its permanence, and only goes when it is stored here."""
    interface = ServerSide()
    module: Any = ModuleType("flask_session")
    module.Session = lambda app: setattr(app, "session_interface", interface)
    monkeypatch.setitem(sys.modules, "flask_session", module)
    monkeypatch.setenv("FLASK_SECRET_KEY", SECRET)
    app: Flask = run("from flask_session import")["app"]
    app.add_url_rule("/show", "show", lambda: dict(flask.session))
    with in_memory(app) as sessions:
        client = app.test_client()
        client.set_cookie("session", "known")
        with sessions.unavailable():
            assert client.get("/show").status_code == 503
        assert interface.sessions
        for _ in range(2):
            assert client.get("/show").json == {"_permanent": True, "user": "ann"}
        assert client.get_cookie("session") is None
        assert not interface.sessions
        kept = client.get_cookie("JSESSIONID")
        assert kept
        assert kept.max_age == 31 * 86400
        assert len(sessions.all()) == 1
        stranger = app.test_client()
        stranger.set_cookie("session", "known")
        assert stranger.get("/show").json == {}


def test_flasks_own_interface_is_what_the_page_says() -> None:
    """The class that a session interface of one's own must be derived from is Flask's default."""
    assert isinstance(Flask("shop").session_interface, SecureCookieSessionInterface)
    assert "`SecureCookieSessionInterface`" in PAGE
