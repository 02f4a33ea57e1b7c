"""Flask: sessions in Flask's own signed cookies are taken over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import flask
import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flaskclient import make_app
from itsdangerous import TimestampSigner
from markupsafe import Markup
from servers import Memcached
from signedcookies import ANN, DELETED, MONTH, OWN, cookie, names, node, remaining, visitor
from webclient import SECRET, Client, Commands, commands, sent

from sharedsession import ConfigError, SessionConfig
from sharedsession.flask import SharedSession


@pytest.fixture
def ann() -> str:
    """Return the signed cookie of a user."""
    return cookie({"_user_id": "ann", "cart": ["tea"]})


# -- nobody is logged out ------------------------------------------------------------------------------------------


def test_goes_on(memcached: Memcached, ann: str) -> None:
    """The first request finds the user's data, gets our cookie and loses Flask's; the next ones, on any node, go on."""
    first, second = node(memcached), node(memcached)
    client = visitor(first, ann)
    answer = client.get("/show")
    assert answer.text == ANN
    assert answer.all("Set-Cookie")[1:] == [DELETED]
    assert answer.get("Cache-Control") == "private"
    assert list(client.cookies) == ["JSESSIONID"]
    for app in (second, first):
        client.app = app
        again = client.get("/show")
        assert (again.text, again.set_cookie) == (ANN, None)


def test_counted_once(ann: str) -> None:
    """A session is taken over once, however often its cookie comes: always the same one, with what it holds by then."""
    app = node()
    first, second = visitor(app, ann), visitor(app, ann)
    first.get("/login")
    assert second.get("/show").text == "{'_user_id': 'ann', 'a': 1, 'cart': ['tea']}"
    assert first.id == second.id
    assert app.extensions["sharedsession"].stats()["adopted"] == 1


def test_types() -> None:
    """What Flask's serializer keeps apart from plain JSON keeps its type."""
    attributes = {
        "_user_id": "ann",
        "tuple": (1, ("x", None)),
        "bytes": b"\xff\x00",
        "markup": Markup("<b>"),
        "uuid": UUID(int=7),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "deep": {"list": [1.5, True, {" t": "no tuple"}]},
    }
    app = node()
    seen: dict[str, Any] = {}
    app.add_url_rule("/look", "look", lambda: str(seen.update(flask.session)))
    visitor(app, cookie(attributes)).get("/look")
    assert seen == attributes
    assert {name: type(value) for name, value in seen.items()} == {n: type(value) for n, value in attributes.items()}


def test_type_that_is_not_known() -> None:
    """A type of the app's own serializer that is not registered here is an error that names it, and loses nothing."""

    class Money(int):
        pass

    class Interface(SecureCookieSessionInterface):
        class serializer:  # noqa: N801  # Flask's name
            dumps = staticmethod(flask.sessions.session_json_serializer.dumps)

            @staticmethod
            def loads(text: str) -> Any:
                return {**flask.sessions.session_json_serializer.loads(text), "paid": Money(5)}

    app = Flask("shop")
    app.secret_key, app.session_interface, app.testing = SECRET, Interface(), True
    SharedSession(app, adopt_flask_sessions=OWN)
    app.add_url_rule("/show", "show", lambda: str(dict(flask.session)))
    client = visitor(app, cookie({"_user_id": "ann"}))
    with pytest.raises(TypeError, match="'paid'"):
        client.get("/show")
    assert list(client.cookies) == ["session"]


def test_permanent(memcached: Memcached) -> None:
    """A permanent session stays permanent: it lasts PERMANENT_SESSION_LIFETIME, here and in the browser."""
    app = node(memcached)
    app.config["PERMANENT_SESSION_LIFETIME"] = 7200
    client = visitor(app, cookie({"_user_id": "ann", "_permanent": True}))
    assert "; Max-Age=7200;" in client.get("/show").all("Set-Cookie")[0]
    assert remaining(memcached, client.key) == pytest.approx(7200, abs=5)
    assert "; Max-Age=7200;" in (client.get("/show").set_cookie or "")


def test_not_permanent(memcached: Memcached, ann: str) -> None:
    """Any other session gets the usual interval and a cookie that ends with the browser."""
    client = visitor(node(memcached), ann)
    assert "Max-Age" not in client.get("/show").all("Set-Cookie")[0]
    assert remaining(memcached, client.key) == pytest.approx(1800, abs=5)


def test_own_interface_of_the_app() -> None:
    """An app that signed its cookies with a salt of its own has these taken over, and not others."""

    class Salted(SecureCookieSessionInterface):
        salt = "shop"

    def app() -> Flask:
        made = Flask("shop")
        made.secret_key, made.session_interface = SECRET, Salted()
        made.add_url_rule("/login", "login", lambda: str(flask.session.update(_user_id="ann")))
        made.add_url_rule("/show", "show", lambda: str(dict(flask.session)))
        return made

    client = Client(app())
    client.get("/login")
    client.app = app()
    SharedSession(client.app, adopt_flask_sessions=OWN)
    assert visitor(client.app, cookie({"_user_id": "eve"})).get("/show").text == "{}"
    assert client.get("/show").text == "{'_user_id': 'ann'}"


def test_former_keys(memcached: Memcached) -> None:
    """A cookie that was signed with one of SECRET_KEY_FALLBACKS counts, as with Flask itself."""
    app = node(memcached)
    app.config["SECRET_KEY_FALLBACKS"] = ["a former secret of these tests"]
    client = visitor(app, cookie({"_user_id": "ann"}, "a former secret of these tests"))
    assert client.get("/show").text == "{'_user_id': 'ann'}"


# -- whose session it is -------------------------------------------------------------------------------------------


def test_visitors_with_the_same_cookie(memcached: Memcached) -> None:
    """Two visitors whose sessions hold the same have the same cookie, which tells nobody apart: it is left alone."""
    value = cookie({"lang": "de"})
    app = node(memcached)
    for client in (visitor(app, value), visitor(app, value)):
        before = commands(memcached)
        answer = client.get("/show")
        assert (answer.text, answer.set_cookie) == ("{}", None)
        assert sent(memcached, before) == Commands(0, 0, 0)
        client.get("/login")
    assert len({client.get("/login").set_cookie for client in (visitor(app, value), visitor(app, value))}) == 2


@pytest.mark.parametrize("value", [None, "", 0, False])
def test_named_attribute_without_a_value(value: object) -> None:
    """An attribute that is there but says nothing ("nobody is logged in") tells nobody apart either."""
    assert visitor(node(), cookie({"_user_id": value, "lang": "de"})).get("/show").text == "{}"


def test_own_session_wins(memcached: Memcached, ann: str) -> None:
    """A client that has a session here goes on with that; Flask's cookie, which might outlive it, is deleted."""
    app = node(memcached)
    client = Client(app)
    client.get("/login")
    client.cookies["session"] = ann
    answer = client.get("/show")
    assert (answer.text, answer.set_cookie) == ("{'a': 1}", DELETED)
    assert answer.get("Cache-Control") == "private"
    assert "adopted" not in app.extensions["sharedsession"].stats()


# -- left alone ----------------------------------------------------------------------------------------------------


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a user's cookie that was signed 32 days ago."""
    with monkeypatch.context() as then:
        then.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time()) - MONTH - 86400)
        return cookie({"_user_id": "ann"})


def test_over_aged(memcached: Memcached, long_ago: str) -> None:
    """A cookie older than PERMANENT_SESSION_LIFETIME is worth nothing, as with Flask, and memcached is not asked."""
    assert_ignored(memcached, long_ago)


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "eyJhIjoxfQ.aaaaaa." + "b" * 27, '"\\377"', "." * 99])
def test_forged(memcached: Memcached, value: str) -> None:
    """What is no signed cookie is ignored, and memcached is not asked."""
    assert_ignored(memcached, value)


def test_forged_with_another_secret(memcached: Memcached) -> None:
    """A cookie that was signed with another secret is ignored, and memcached is not asked."""
    assert_ignored(memcached, cookie({"_user_id": "ann"}, "a secret of somebody else"))


def test_tampered(memcached: Memcached, ann: str) -> None:
    """A cookie whose data or time was changed is ignored, and memcached is not asked."""
    assert_ignored(memcached, "f" + ann[1:])
    head, stamp, signature = ann.split(".")
    assert_ignored(memcached, f"{head}.{stamp[::-1]}.{signature}")


def assert_ignored(memcached: Memcached, value: str) -> None:
    before = commands(memcached)
    answer = visitor(node(memcached), value).get("/show")
    assert (answer.status, answer.text, answer.set_cookie) == (200, "{}", None)
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_off_by_default(memcached: Memcached, ann: str) -> None:
    """Unless it is switched on, Flask's cookie is neither read nor deleted."""
    before = commands(memcached)
    answer = visitor(make_app(nodes=memcached.node), ann).get("/show")
    assert (answer.text, answer.set_cookie) == ("{}", None)
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_untouched(memcached: Memcached, ann: str) -> None:
    """A request that leaves the session alone takes nothing over: no memcached command, no cookie, no Vary."""
    client = visitor(node(memcached), ann)
    before = commands(memcached)
    answer = client.get("/none")
    assert (answer.set_cookie, answer.get("Vary")) == (None, None)
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert client.get("/show").text == ANN


# -- the cookie's name ---------------------------------------------------------------------------------------------


def test_same_name_as_ours(memcached: Memcached, ann: str) -> None:
    """Where our cookie has the name of Flask's, it takes that one's place; nothing else is deleted."""
    app = node(memcached, cookie_name="session")
    client = visitor(app, ann)
    answer = client.get("/show")
    assert (answer.text, names(answer)) == (ANN, ["session"])
    assert client.cookies["session"] != ann
    again = client.get("/show")
    assert (again.text, again.set_cookie) == (ANN, None)
    client.get("/logout")
    replay = visitor(app, ann).get("/show")
    assert (replay.text, replay.set_cookie) == ("{}", None)


def test_name_that_the_app_chose(memcached: Memcached) -> None:
    """SESSION_COOKIE_NAME names both cookies, unless ours is named apart; path and domain are as Flask sent them."""
    chosen = {"SESSION_COOKIE_NAME": "shop", "SESSION_COOKIE_PATH": "/shop", "SESSION_COOKIE_DOMAIN": "example.com"}
    value = cookie({"_user_id": "ann"}, **chosen)
    same, apart = node(memcached), node(memcached, cookie_name="SID")
    for app in (same, apart):
        app.config.update(chosen)
    assert names(visitor(same, value, "shop").get("/show")) == ["shop"]
    ours, deleted = visitor(apart, value, "shop").get("/show").all("Set-Cookie")
    assert ours.startswith("SID=")
    assert {"shop=", "Max-Age=0", "Path=/shop", "Domain=example.com"} <= set(deleted.split("; "))


# -- when it cannot be stored --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["error", "empty"])
def test_memcached_away(memcached: Memcached, ann: str, policy: str) -> None:
    """While memcached is away both cookies stay as they are; the session is taken over when it is back."""
    app = node(memcached, on_unavailable=policy)
    client = visitor(app, ann)
    memcached.kill()
    answer = client.get("/show")
    assert (answer.status, answer.set_cookie) == (503 if policy == "error" else 200, None)
    memcached.start()
    deadline = time.monotonic() + 30
    while not app.extensions["sharedsession"].health()[0].up and time.monotonic() < deadline:
        time.sleep(0.02)
    assert client.get("/show").text == ANN
    assert list(client.cookies) == ["JSESSIONID"]


def test_response_that_saves_nothing(memcached: Memcached, ann: str) -> None:
    """Where a 5xx saves nothing, it touches no cookie either; the next request goes on."""
    app = node(memcached, save_on_5xx=False)
    app.add_url_rule("/broken", "broken", lambda: (str(flask.session["cart"]), 500))
    client = visitor(app, ann)
    answer = client.get("/broken")
    assert (answer.text, answer.set_cookie) == ("['tea']", None)
    assert client.get("/show").text == ANN


def test_after_the_headers(memcached: Memcached, ann: str) -> None:
    """A session that is first used while the body is sent is there, though no cookie can be sent any more."""
    app = node(memcached)

    @app.get("/stream")
    def stream() -> flask.Response:
        def body() -> Iterator[str]:
            yield "head "
            yield str(flask.session["cart"])

        return flask.Response(flask.stream_with_context(body()))

    client = visitor(app, ann)
    answer = client.get("/stream")
    assert (answer.text, answer.set_cookie) == ("head ['tea']", None)
    assert client.get("/show").text == ANN
    assert list(client.cookies) == ["JSESSIONID"]


# -- the switch ----------------------------------------------------------------------------------------------------


def test_switched_on_by_the_apps_configuration(ann: str) -> None:
    """app.config switches it on too, beside a SessionConfig as well; a single name may stand alone."""
    for config in (None, SessionConfig(secret_key=SECRET)):
        app = Flask("shop")
        app.secret_key = SECRET
        app.config["SHAREDSESSION_ADOPT_FLASK_SESSIONS"] = "_user_id"
        SharedSession(app, config)
        app.add_url_rule("/show", "show", lambda: str(dict(sorted(flask.session.items()))))
        assert visitor(app, ann).get("/show").text == ANN


@pytest.mark.parametrize("wrong", [True, 1, ["_user_id", None], [""]])
def test_switch_that_names_nothing(wrong: object) -> None:
    """Something else than names is refused, with the reason."""
    with pytest.raises(ConfigError, match="only one user"):
        node(adopt_flask_sessions=wrong).extensions["sharedsession"].check()


def test_test_client(ann: str) -> None:
    """session_transaction() of Flask's test client takes the session over as a request does."""
    client = node().test_client()
    client.set_cookie("session", ann)
    with client.session_transaction() as session:
        assert session["cart"] == ["tea"]
    assert client.get_cookie("session") is None
    assert client.get("/show").text == ANN
