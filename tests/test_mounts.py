"""Several middlewares, mounted applications, and requests that get no session."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import flask
import pytest
from servers import Memcached
from webclient import (
    SECRET,
    TEXT,
    Client,
    Commands,
    Server,
    bare,
    checked,
    commands,
    logged_in,
    page,
    pages,
    put,
    sent,
    show,
)
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sharedsession import ConfigError, Session, SessionConfig, SessionMiddleware, get_session
from sharedsession.flask import SharedSession

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication
    from webclient import View


# -- several -------------------------------------------------------------------------------------------------------


def both(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Use the sessions of two nested middlewares; answer with what they hold."""
    inner, outer = get_session(environ), get_session(environ, "OUTER")
    assert inner is get_session(environ, "INNER")
    if environ["PATH_INFO"] == "/login":
        inner["who"] = "inner"
        outer["who"] = "outer"
    if environ["PATH_INFO"] == "/logout":
        inner.invalidate()
    start_response("200 OK", TEXT)
    return [f"{dict(inner)} {dict(outer)}".encode()]


def test_two_nested_middlewares() -> None:
    """Two middlewares of different cookie names have a session each: saved, found by name and ended on its own."""
    client = logged_in(checked(checked(both, cookie={"name": "INNER"}), cookie={"name": "OUTER"}))
    assert sorted(client.cookies) == ["INNER", "OUTER"]
    assert client.get("/").text == "{'who': 'inner'} {'who': 'outer'}"
    client.get("/logout")
    assert client.get("/").text == "{} {'who': 'outer'}"


def test_sessions_of_nested_middlewares_are_separate() -> None:
    """An id of one middleware is worth nothing in another's cookie when their key prefixes differ."""
    inner = checked(both, cookie={"name": "INNER"}, key_prefix="one:")
    client = logged_in(checked(inner, cookie={"name": "OUTER"}, key_prefix="two:"))
    swapped = f"INNER={client.cookies['OUTER']}; OUTER={client.cookies['INNER']}"
    assert client.get("/", cookie=swapped).text == "{} {}"


def test_two_middlewares_of_one_name() -> None:
    """Two middlewares of the same cookie name are a mistake that is named."""
    with pytest.raises(ConfigError, match="JSESSIONID") as caught:
        Client(bare(bare(page(show)))).get()
    assert caught.value.option == "cookie_name"


def count(session: Session) -> object:
    """Count the requests of a session."""
    session["n"] = session.get("n", 0) + 1
    return session["n"]


def test_environ_served_again() -> None:
    """A retry or error-page middleware may call the application again with the same environ: a fresh start."""
    middleware = bare(page(count))
    environ = Client(middleware).environ()
    assert [Server().serve(middleware, environ).text for _ in range(2)] == ["1", "1"]


def test_environ_served_again_by_nested_middlewares() -> None:
    """Served again with all that is around it, or from the inner one on, an environ has one session for each name."""
    held: list[list[Session]] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        sessions = [get_session(environ, "OUTER"), get_session(environ, "INNER")]
        assert get_session(environ) is sessions[1]
        held.append(sessions)
        return page(count)(environ, start_response)

    inner = bare(app, cookie={"name": "INNER"})
    outer = bare(inner, cookie={"name": "OUTER"})
    environ = Client(outer).environ()
    assert [Server().serve(each, environ).text for each in (outer, outer, inner, outer)] == ["1"] * 4
    (first, one), (second, two), (third, three), (_, _) = held
    assert third is second is not first
    assert len({id(each) for each in (one, two, three)}) == 3
    chain = [environ["sharedsession.exchange"]]
    while chain[-1].outer is not None:
        chain.append(chain[-1].outer)
    assert [each.name for each in chain] == ["INNER", "OUTER"]


def test_an_outer_session_is_found_where_an_inner_middleware_ignores_the_path() -> None:
    """It is there by its name, inside and once the inner one has answered, and for what lies further inside."""
    seen: list[Session] = []

    def look(app: WSGIApplication) -> WSGIApplication:
        def looking(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            seen.append(get_session(environ, "OUTER"))
            body = app(environ, start_response)
            seen.append(get_session(environ, "OUTER"))
            return body

        return looking

    def plain(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [str("sharedsession.session" in environ).encode()]

    deepest: list[tuple[WSGIApplication, str]] = [
        (plain, "False"),
        (bare(plain, ignore_paths=("/",)), "False"),
        (bare(plain, cookie={"name": "DEEP"}), "True"),
    ]
    for app, text in deepest:
        middle = bare(look(app), cookie={"name": "MIDDLE"}, ignore_paths=("/",))
        assert Client(bare(look(middle), cookie={"name": "OUTER"})).get().text == text
    assert [len(seen), len({id(each) for each in seen})] == [12, 3]


def test_two_middlewares_of_one_name_around_one_that_ignores_the_path() -> None:
    """That is the same mistake."""
    app = bare(bare(bare(page(show)), cookie={"name": "MIDDLE"}, ignore_paths=("/",)))
    with pytest.raises(ConfigError, match="JSESSIONID"):
        Client(app).get()


def test_flask_inside_a_middleware_that_ignores_the_path() -> None:
    """What another middleware ignores is not ignored by Flask's own."""
    app = flask.Flask("shop")
    SharedSession(app, secret_key=SECRET)

    @app.get("/")
    def view() -> str:
        flask.session["a"] = 1
        return str(dict(flask.session))

    answer = Client(bare(app.wsgi_app, cookie={"name": "OUTER"}, ignore_paths=("/",))).get()
    assert (answer.status, answer.text) == (200, "{'a': 1}")


def test_flask_without_its_middleware_inside_another_one() -> None:
    """Where Flask opens its session itself, the one around it is still found by its name."""
    app = flask.Flask("shop")
    SharedSession(app, secret_key=SECRET)
    found: list[bool] = []

    def inside(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        outer = get_session(environ)
        with app.request_context(environ):
            found.append(get_session(environ) is not outer is get_session(environ, "OUTER"))
        return page(show)(environ, start_response)

    Client(bare(inside, cookie={"name": "OUTER"})).get()
    assert found == [True]


def test_a_session_that_is_first_used_after_the_response(memcached: Memcached) -> None:
    """Whoever keeps it may still read it by the cookie the request brought; a poller's then prolongs nothing either."""
    app = bare(poller, nodes=memcached.node)  # a validator's body is no list, after which nothing of it runs any more
    client = logged_in(app)
    for path, prolonged in (("/none/poll", False), ("/none", True)):
        memcached.command(f"mg {client.key} T500".encode())
        environ = client.environ(path)
        Server().serve(app, environ)
        assert get_session(environ)["a"] == 1
        assert (life_left(memcached, client) > 1700) is prolonged


def test_no_such_session() -> None:
    """get_session without a middleware, or by an unknown name, is a KeyError that says what to do."""
    with pytest.raises(KeyError, match="wrap the application in SessionMiddleware"):
        get_session({})
    failures: list[str] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        with pytest.raises(KeyError, match="OTHER"):
            get_session(environ, "OTHER")
        failures.append("seen")
        return page(show)(environ, start_response)

    Client(checked(app)).get()
    assert failures == ["seen"]


@pytest.mark.parametrize("wrap", [lambda app: app, lambda app: app.wsgi_app], ids=["app", "wsgi_app"])
def test_around_flask(wrap: Any) -> None:
    """SessionMiddleware around a Flask app is refused at once: the message names SharedSession."""
    with pytest.raises(ConfigError, match="SharedSession"):
        SessionMiddleware(wrap(flask.Flask("shop")), secret_key=SECRET)


def test_config_and_keywords() -> None:
    """A config together with keywords is refused: one of them would be ignored."""
    with pytest.raises(ConfigError, match="copies"):
        SessionMiddleware(page(show), SessionConfig(secret_key=SECRET), copies=1)
    assert Client(SessionMiddleware(page(show), SessionConfig(secret_key=SECRET))).get().status == 200


# -- mounted -------------------------------------------------------------------------------------------------------


def path_of(set_cookie: str | None) -> str:
    """Return the Path attribute."""
    found = re.search(r"; Path=([^;]*)", set_cookie or "")
    assert found, set_cookie
    return found[1]


def test_mounted_applications() -> None:
    """Applications mounted side by side have a session each, in a cookie for their own path."""
    views: dict[str, View] = {"/login": put("a", 1), "/show": show}
    app = DispatcherMiddleware(
        pages(views), {"/shop": pages({**views, "/login": put("a", 2)}), "/shop/admin": pages(views)}
    )
    client = Client(app)
    assert path_of(client.get("/login").set_cookie) == "/"
    client.cookies.clear()
    assert path_of(client.get("/shop/login").set_cookie) == "/shop"
    assert client.get("/shop/show").text == "{'a': 2}"
    client.cookies.clear()
    assert path_of(client.get("/shop/admin/login").set_cookie) == "/shop/admin"


def test_middleware_around_a_dispatcher() -> None:
    """Around a dispatcher there is one session for all of it; that the dispatcher moves SCRIPT_NAME changes nothing."""
    app = checked(DispatcherMiddleware(page(show), {"/shop": page(put("a", 1))}))
    client = Client(app)
    assert path_of(client.get("/shop/buy").set_cookie) == "/"
    assert client.get("/").text == "{'a': 1}"


@pytest.mark.parametrize(
    ("script_name", "prefix", "trusted", "path"),
    [
        ("", None, 0, "/"),
        ("/shop", None, 0, "/shop"),
        ("", "/proxy", 1, "/proxy"),
        ("", "/proxy", 0, "/"),
        ("/shop", "/proxy", 1, "/proxy/shop"),
        ("/proxy/shop", "/proxy", 1, "/proxy/shop"),
        ("/caf\xc3\xa9", None, 0, "/caf%C3%A9"),
        ("/a;b", None, 0, "/a%3Bb"),
    ],
)
def test_path_is_the_mount_point(script_name: str, prefix: str | None, trusted: int, path: str) -> None:
    """The cookie's path is the mount point as the client sees it: behind a trusted proxy's prefix, percent-encoded."""
    more = {} if prefix is None else {"HTTP_X_FORWARDED_PREFIX": prefix}
    answer = Client(checked(page(put("a", 1)), trusted_proxies=trusted)).get("/", SCRIPT_NAME=script_name, **more)
    assert path_of(answer.set_cookie) == path


# -- no session, or no prolonging ----------------------------------------------------------------------------------


def test_ignored_paths() -> None:
    """Below an ignored path there is no session in environ; other paths have theirs."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [str("sharedsession.session" in environ).encode()]

    client = Client(checked(app, ignore_paths=("/static", "/health")))
    assert [client.get(path).text for path in ("/static/a.css", "/health", "/", "/stat")] == [
        "False",
        "False",
        "True",
        "True",
    ]


def test_what_an_outer_one_ignores_is_not_ignored_inside() -> None:
    """Below an ignored path of one middleware, another one inside of it has its session as ever."""
    inner = checked(page(put("a", 1)), cookie_name="INNER")
    answer = Client(checked(inner, ignore_paths=("/",))).get("/")
    assert answer.status == 200
    assert "INNER=" in (answer.set_cookie or "")


def test_a_body_that_is_sent_sees_what_others_said_of_the_request() -> None:
    """Functions that judge a client are asked about environ as it is inside, also when it is first used then."""
    seen: list[str] = []

    def fingerprint(environ: dict[str, Any]) -> str:
        seen.append(environ["REMOTE_ADDR"])
        return seen[-1]

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = "192.0.2.7"  # as a proxy fix does
        session = get_session(environ)
        if environ["PATH_INFO"] == "/login":
            session["a"] = 1
        start_response("200 OK", TEXT)
        return (str(session.get("a")).encode() for _ in range(1))

    client = Client(checked(app, fingerprint=fingerprint))
    client.get("/login")
    assert client.get("/").text == "1"
    assert set(seen) == {"192.0.2.7"}


def life_left(server: Memcached, client: Client) -> int:
    """Return the remaining life in seconds of the client's session."""
    return int(server.command(f"mg {client.key} t".encode()).split()[1].removeprefix(b"t"))


def poller(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Log in, read, leave the session alone, and both again as a poller that asks not to prolong."""
    path = environ["PATH_INFO"]
    if path.endswith("/poll"):
        environ["sharedsession.slide"] = False
    views: dict[str, View] = {
        "/login": put("a", 1),
        "/read": lambda session: session["a"],
        "/read/poll": lambda session: session["a"],
    }
    return page(views.get(path, lambda session: "-"))(environ, start_response)


@pytest.mark.parametrize(
    ("path", "slide_always", "prolonged"),
    [
        ("/read", False, True),
        ("/read/poll", False, False),
        ("/none", False, False),
        ("/none", True, True),
        ("/none/poll", True, False),
        ("/read", True, True),
    ],
)
def test_prolonging(memcached: Memcached, path: str, slide_always: bool, prolonged: bool) -> None:
    """A read prolongs, an untouched request with slide_always does too, and a poller that says so never does."""
    client = logged_in(checked(poller, nodes=memcached.node, slide_always=slide_always))
    memcached.command(f"mg {client.key} T500".encode())
    client.get(path)
    assert (life_left(memcached, client) > 1700) is prolonged
    assert life_left(memcached, client) > 400


def test_slide_always_costs_one_read(memcached: Memcached) -> None:
    """With slide_always an untouched request costs one command, and none without a cookie."""
    client = logged_in(checked(poller, nodes=memcached.node, slide_always=True))
    before = commands(memcached)
    assert client.get("/none").set_cookie is None
    client.get("/none", cookie="OTHER=1")
    assert sent(memcached, before) == Commands(1, 0, 0)


# -- 5xx -----------------------------------------------------------------------------------------------------------


def failing(view: View, status: str, streamed: bool) -> WSGIApplication:
    """Return an application whose path /fail runs the view and answers with the status."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/fail":
            return page(put("a", 1) if environ["PATH_INFO"] == "/login" else show)(environ, start_response)
        view(get_session(environ))
        start_response(status, TEXT)
        return iter([b"failed"]) if streamed else [b"failed"]

    return app


@pytest.mark.parametrize("streamed", [False, True], ids=["list", "iterator"])
@pytest.mark.parametrize(
    ("status", "save_on_5xx", "saved"),
    [("500 Oops", True, True), ("500 Oops", False, False), ("503 Later", False, False), ("404 None", False, True)],
)
def test_save_on_5xx(status: str, save_on_5xx: bool, saved: bool, streamed: bool) -> None:
    """A response of 5xx saves the session unless save_on_5xx is False; then nothing is kept, however it is sent."""
    client = logged_in(bare(failing(put("b", 2), status, streamed), save_on_5xx=save_on_5xx))
    client.get("/fail")
    assert client.get("/show").text == ("{'a': 1, 'b': 2}" if saved else "{'a': 1}")

    stranger = Client(client.app)
    assert (stranger.get("/fail").set_cookie is not None) is saved


def commit_new_id(session: Session) -> None:
    """Log in and save at once."""
    session.change_id()
    session["b"] = 2
    session.commit()


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_explicit_commit_with_5xx(known: bool) -> None:
    """What was committed explicitly is told to the client whatever the status is, or the session would be lost."""
    app = bare(failing(commit_new_id, "500 Oops", False), save_on_5xx=False)
    client = logged_in(app) if known else Client(app)
    client.get("/fail")
    assert client.get("/show").text == ("{'a': 1, 'b': 2}" if known else "{'b': 2}")
