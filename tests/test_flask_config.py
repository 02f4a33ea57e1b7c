"""Flask: where options come from, and when mistakes are told."""

from __future__ import annotations

import sys
import threading
from typing import Any

import flask
import pytest
from flask import Flask
from flaskclient import browser, make_app
from servers import Memcached
from webclient import SECRET, Client

from sharedsession import ConfigError, CookieConfig, SessionConfig
from sharedsession.flask import SharedSession

OTHER_SECRET = "another secret of these tests"


@pytest.fixture
def app() -> Flask:
    """Return a bare Flask app with a view that makes a session, and no SharedSession yet."""
    app = Flask("shop")
    app.secret_key = SECRET
    app.add_url_rule("/login", "login", lambda: str(flask.session.update(a=1)))
    return app


def cookie_of(app: Flask) -> str:
    """Return the Set-Cookie header of a new session, the id left out."""
    set_cookie = Client(app).get("/login").set_cookie
    assert set_cookie is not None
    name, _, rest = set_cookie.partition("=")
    return f"{name}; {rest.partition('; ')[2]}"


def test_defaults(app: Flask) -> None:
    """With a secret key alone everything else is our default, not Flask's."""
    SharedSession(app)
    assert cookie_of(app) == "JSESSIONID; HttpOnly; Path=/; SameSite=Lax"


def test_app_factory(app: Flask) -> None:
    """init_app sets up; configuration set after it, but before the first request, counts; later changes do not."""
    extension = SharedSession()
    extension.init_app(app)
    app.config["SHAREDSESSION_COOKIE_NAME"] = "LATE"
    assert cookie_of(app).startswith("LATE;")
    app.config["SHAREDSESSION_COOKIE_NAME"] = "TOO_LATE"
    assert cookie_of(app).startswith("LATE;")
    assert app.extensions["sharedsession"] is extension


def test_secret_key_set_late(app: Flask) -> None:
    """The secret key, too, may be set after init_app."""
    app.secret_key = None
    SharedSession(app)
    app.secret_key = SECRET
    assert Client(app).get("/login").set_cookie is not None


def test_precedence(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keyword, app.config's SHAREDSESSION_, environment, Flask's own setting, default: the first that is set wins."""
    name = "SHAREDSESSION_COOKIE_NAME"
    steps = [
        ("FLASK", lambda: app.config.update(SESSION_COOKIE_NAME="FLASK")),
        ("ENVIRON", lambda: monkeypatch.setenv(name, "ENVIRON")),
        ("CONFIG", lambda: app.config.update({name: "CONFIG"})),
    ]
    for expected, step in steps:
        step()  # type: ignore[no-untyped-call]
        twin = Flask("twin")
        twin.config.update(app.config)
        twin.add_url_rule("/login", "login", app.view_functions["login"])
        SharedSession(twin)
        assert cookie_of(twin).startswith(f"{expected};")
    SharedSession(app, cookie={"name": "KEYWORD"})
    assert cookie_of(app).startswith("KEYWORD;")


def test_flask_settings(app: Flask) -> None:
    """Flask's own SESSION_COOKIE_ settings are taken over where the app sets them."""
    app.config.update(
        SESSION_COOKIE_NAME="SID",
        SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_DOMAIN="example.com",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_PARTITIONED=True,
    )
    SharedSession(app)
    assert cookie_of(app) == "SID; Domain=example.com; Secure; Path=/shop; SameSite=Strict; Partitioned"


def test_options_of_other_types(app: Flask) -> None:
    """Options that are lists, None or mappings may come from app.config as they are."""
    app.config.update(
        SHAREDSESSION_MAX_INACTIVE_INTERVAL=None,
        SHAREDSESSION_IGNORE_PATHS=["/static"],
        SHAREDSESSION_COOKIE={"name": "SID", "max_age": 60},
        SHAREDSESSION_SECRET_KEY_FALLBACKS=[OTHER_SECRET],
    )
    config = SharedSession(app).parts.config
    assert (config.max_inactive_interval, config.ignore_paths) == (None, ("/static",))
    assert (config.cookie.name, config.cookie.max_age) == ("SID", 60)
    assert config.secret_key_fallbacks == (OTHER_SECRET,)


def test_secret_key_fallbacks(memcached: Memcached) -> None:
    """Flask's SECRET_KEY_FALLBACKS keep sessions of a former SECRET_KEY alive, and re-issue them."""
    old, new, newest = (make_app(nodes=memcached.node) for _ in range(3))
    old.config["SECRET_KEY"] = OTHER_SECRET
    new.config["SECRET_KEY_FALLBACKS"] = [OTHER_SECRET]
    client = browser(old)
    client.app = new
    answer = client.get("/show")
    assert answer.text == "{'a': 1}"
    assert answer.set_cookie is not None
    client.app = newest
    assert client.get("/show").text == "{'a': 1}"


def test_own_secret_key_wins(app: Flask) -> None:
    """A secret_key of ours goes before the one that Flask lends."""
    extension = SharedSession(app, secret_key=OTHER_SECRET)
    assert extension.parts.config.secret_key == OTHER_SECRET


def test_config_object(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SessionConfig brings all options at once: then neither the environment nor Flask's settings count."""
    monkeypatch.setenv("SHAREDSESSION_ROUTE", "environ")
    app.config.update(SHAREDSESSION_STICKY=True, SESSION_COOKIE_PATH="/shop")
    config = SessionConfig(secret_key=OTHER_SECRET, cookie=CookieConfig(name="SID"))
    twin = Flask("twin")
    assert SharedSession(app, config).parts.config is config
    assert cookie_of(app) == "SID; HttpOnly; Path=/; SameSite=Lax"
    extension = SharedSession(config=config)
    extension.init_app(twin)
    assert extension.parts.config is config


def test_config_object_given_late(app: Flask) -> None:
    """init_app takes it as well."""
    config = SessionConfig(secret_key=OTHER_SECRET)
    extension = SharedSession()
    extension.init_app(app, config)
    assert extension.parts.config is config


# -- mistakes ------------------------------------------------------------------------------------------------------


def test_unknown_keyword(app: Flask) -> None:
    """An unknown keyword is refused at once, with the nearest known name."""
    with pytest.raises(ConfigError, match="did you mean nodes") as caught:
        SharedSession(app, node="n1:127.0.0.1")
    assert caught.value.option == "node"
    assert "sharedsession" not in app.extensions


def test_config_object_and_keywords(app: Flask) -> None:
    """A SessionConfig and keywords together are refused, as is something else in its place."""
    config = SessionConfig(secret_key=SECRET)
    with pytest.raises(ConfigError, match="not both"):
        SharedSession(app, config, route="web1")
    with pytest.raises(ConfigError, match="not both"):
        SharedSession(config=config).init_app(app, route="web1")
    with pytest.raises(ConfigError, match="expected a SessionConfig, not str"):
        SharedSession(app, "n1:127.0.0.1:11211")  # type: ignore[arg-type]
    assert "sharedsession" not in app.extensions


def test_unknown_setting(app: Flask) -> None:
    """An unknown SHAREDSESSION_ setting is refused by check() and at the first request, with the nearest known name."""
    app.config["SHAREDSESSION_MAX_INACTIV_INTERVAL"] = 60
    extension = SharedSession(app)
    for ask in (extension.check, Client(app).get):
        with pytest.raises(ConfigError, match="did you mean max_inactive_interval"):
            ask()


@pytest.mark.parametrize("secret", [None, "", "dev", b"fifteen bytes.."])
def test_no_secret_key(app: Flask, secret: Any) -> None:
    """Without a secret key, or with a short one, the first request says so, and never the key itself."""
    app.secret_key = secret
    SharedSession(app)
    with pytest.raises(ConfigError, match="secret_key") as caught:
        Client(app).get("/login")
    assert "fifteen" not in str(caught.value)


def test_two_on_one_app(app: Flask) -> None:
    """A second SharedSession for one app, and one SharedSession for two apps, are refused."""
    extension = SharedSession(app)
    with pytest.raises(ConfigError, match="already"):
        SharedSession(app)
    with pytest.raises(ConfigError, match="one"):
        extension.init_app(Flask("second"))


def test_without_an_app() -> None:
    """A SharedSession that was never given an app says so."""
    with pytest.raises(ConfigError, match="init_app"):
        SharedSession().check()


def test_several_processes(app: Flask) -> None:
    """Without nodes, a server of several processes is told at the first request."""
    SharedSession(app)
    with pytest.raises(ConfigError, match="nodes"):
        Client(app, **{"wsgi.multiprocess": True}).get("/login")  # type: ignore[arg-type]


# -- the first request ---------------------------------------------------------------------------------------------


def test_diagnostics_before_the_first_request(app: Flask, memcached: Memcached) -> None:
    """stats(), health() and ring() answer before the first request."""
    extension = SharedSession(app, nodes=memcached.node)
    assert extension.stats() == {}
    assert [node.name for node in extension.health()] == ["n1"]
    assert extension.ring()


def test_concurrent_first_requests() -> None:
    """Threads that ask first all at once share one store: none of their sessions is lost."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(5):
            app = make_app()
            barrier = threading.Barrier(8)
            clients = [Client(app) for _ in range(8)]

            def first(client: Client, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                client.get("/login")

            threads = [threading.Thread(target=first, args=[client]) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [client.get("/show").text for client in clients] == ["{'a': 1}"] * 8
    finally:
        sys.setswitchinterval(interval)


def test_ignored_paths(memcached: Memcached) -> None:
    """In an ignored path flask.session is empty, cannot be changed, costs no command and sets no cookie."""
    app = make_app(nodes=memcached.node, ignore_paths=["/static2"])
    app.add_url_rule("/static2/read", "read", lambda: str(flask.session.get("a")))
    app.add_url_rule("/static2/write", "write", lambda: str(flask.session.update(a=1)))
    app.testing = True
    client = browser(app)
    before = memcached.stats()["cmd_touch"]
    answer = client.get("/static2/read")
    assert (answer.text, answer.set_cookie, answer.get("Vary")) == ("None", None, None)
    with pytest.raises(ConfigError, match="ignore_paths"):
        client.get("/static2/write")
    assert memcached.stats()["cmd_touch"] == before
    assert client.get("/show").text == "{'a': 1}"
