"""Flask: flask.session is ours, wherever an app touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import flask
import pytest
from flaskclient import browser, make_app
from servers import Memcached
from webclient import Commands, commands, sent

from sharedsession.flask import FlaskSession
from sharedsession.flask import session as typed_session

if TYPE_CHECKING:
    pass

EXPIRE = "JSESSIONID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/; SameSite=Lax"


def test_session_of_flask() -> None:
    """What a view puts into flask.session the next request finds, and nobody else."""
    app = make_app()
    client = browser(app)
    assert client.get("/show").text == "{'a': 1}"
    assert browser(app, logged_in=False).get("/show").text == "{}"


@pytest.mark.parametrize("path", ["/logout", "/pop", "/end"])
def test_log_out(memcached: Memcached, path: str) -> None:
    """clear(), taking the last attribute out and invalidate() all end the session; the cookie is deleted."""
    client = browser(make_app(nodes=memcached.node))
    cookie = f"JSESSIONID={client.id}"
    before = commands(memcached)
    assert client.get(path).set_cookie == EXPIRE
    assert sent(memcached, before) == Commands(1, 1, 0)
    assert client.get("/show", cookie=cookie).text == "{}"


def test_untouched(memcached: Memcached) -> None:
    """A view that does not touch flask.session costs no memcached command, no cookie and no Vary."""
    client = browser(make_app(nodes=memcached.node))
    before = commands(memcached)
    answer = client.get("/none")
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert (answer.set_cookie, answer.get("Vary")) == (None, None)
    assert client.get("/show").get("Vary") == "Cookie"


def test_class_and_type() -> None:
    """flask.session is a FlaskSession; sharedsession.flask.session is the same object under that type."""
    app = make_app()
    with app.test_request_context():
        assert_type(typed_session, FlaskSession)
        assert_type(typed_session.change_id(), None)
        assert_type(typed_session.permanent, bool)
        assert typed_session._get_current_object() is flask.session._get_current_object()  # type: ignore[attr-defined]
        assert isinstance(flask.session, FlaskSession)
        assert flask.session.new
        assert flask.session.accessed


def test_empty_session_with_an_id_stays() -> None:
    """A session kept by ensure_id() is not ended because a later request changes its interval."""
    app = make_app()
    app.add_url_rule("/ensure", "/ensure", lambda: typed_session.ensure_id())

    def interval() -> str:
        typed_session.max_inactive_interval = 60
        return str(typed_session.id)

    app.add_url_rule("/interval", "/interval", interval)
    client = browser(app, logged_in=False)
    made = client.get("/ensure").text
    assert client.get("/interval").text == made
    assert client.get("/ensure").text == made


# -- flash and permanent -------------------------------------------------------------------------------------------


def test_flash() -> None:
    """Flashed messages come once, in order, as the tuples that Flask's templates expect."""
    app = make_app()

    @app.get("/flash")
    def do_flash() -> str:
        flask.flash("one", "info")
        flask.flash("two")
        return ""

    @app.get("/flashes")
    def flashes() -> str:
        return repr(flask.get_flashed_messages(with_categories=True))

    client = browser(app)
    client.get("/flash")
    assert client.get("/flashes").text == "[('info', 'one'), ('message', 'two')]"
    assert client.get("/flashes").text == "[]"
    assert client.get("/show").text == "{'a': 1}"


def test_permanent(memcached: Memcached) -> None:
    """A permanent session lasts PERMANENT_SESSION_LIFETIME, in the browser and in memcached, prolonged by use."""
    app = make_app(nodes=memcached.node)
    app.config["PERMANENT_SESSION_LIFETIME"] = 7200

    @app.before_request
    def keep() -> None:
        flask.session.permanent = True

    client = browser(app)
    for path in ("/login", "/show"):
        assert "; Max-Age=7200;" in (client.get(path).set_cookie or "")
        left = int(memcached.command(f"mg {client.key} t".encode()).split()[1].removeprefix(b"t"))
        assert left == pytest.approx(7200, abs=3)


def test_no_longer_permanent() -> None:
    """A session that stops to be permanent has the usual interval again."""
    app = make_app()

    @app.get("/permanent/<int:value>")
    def permanent(value: int) -> str:
        flask.session.permanent = bool(value)
        return f"{flask.session.permanent} {typed_session.max_inactive_interval}"

    client = browser(app)
    assert client.get("/permanent/1").text == f"True {31 * 86400}"
    assert client.get("/permanent/0").text == "False 1800"
    assert client.get("/show").set_cookie is None


def test_no_longer_kept_by_the_browser() -> None:
    """The response that makes a session no longer permanent sends its cookie again, without an age."""
    app = make_app()
    app.add_url_rule("/permanent/<int:value>", "permanent", set_permanent)
    client = browser(app)
    kept = client.get("/permanent/1").set_cookie
    again = client.get("/permanent/0").set_cookie
    assert kept
    assert again
    assert "Max-Age" in kept
    assert "Max-Age" not in again
    assert again.partition(";")[0] == kept.partition(";")[0]
    assert client.get("/permanent/0").set_cookie is None


def test_permanent_for_a_moment() -> None:
    """A new session that stays empty gets no cookie by being permanent and not permanent again in one request."""
    app = make_app()

    @app.get("/both")
    def both() -> str:
        flask.session.permanent = True
        flask.session.permanent = False
        flask.session.clear()
        return ""

    client = browser(app, logged_in=False)
    assert client.get("/both").set_cookie is None


def test_no_longer_permanent_while_another_request_logs_out() -> None:
    """A request that was to send the cookie again sends none when the session has ended since."""
    app = make_app()
    app.add_url_rule("/permanent/<int:value>", "permanent", set_permanent)

    @app.after_request
    def meanwhile(response: flask.Response) -> flask.Response:
        if flask.request.path == "/permanent/0":
            other.get("/end")
        return response

    client = browser(app)
    client.get("/permanent/1")
    other = browser(app, logged_in=False)
    other.cookies = dict(client.cookies)
    assert client.get("/permanent/0").set_cookie is None
    assert client.get("/show").text == "{}"


def test_permanent_for_a_moment_under_an_id_given_up() -> None:
    """Nor under an id that was given up a moment ago, where nothing new is stored."""
    app = make_app()
    app.add_url_rule("/change", "change", lambda: str(typed_session.change_id()))  # type: ignore[func-returns-value]

    @app.get("/both")
    def both() -> str:
        typed_session.ensure_id()
        return set_permanent(1) + set_permanent(0)

    client = browser(app)
    late = browser(app, logged_in=False)
    late.cookies = dict(client.cookies)
    client.get("/change")
    assert late.get("/both").set_cookie is None


def set_permanent(value: int) -> str:
    """Make the session permanent, or no longer."""
    flask.session.permanent = bool(value)
    return ""


def test_modified_and_accessed() -> None:
    """flask.session tells what a request did with it, also when the response has left, as Flask's own does."""
    app = make_app()
    client = app.test_client()
    for path, accessed, modified in (("/none", False, False), ("/login", True, True), ("/show", True, False)):
        with client:
            client.get(path)
            seen = flask.globals.request_ctx._session
            assert seen is not None
            assert (seen.accessed, seen.modified) == (accessed, modified)


# -- everywhere in a request ---------------------------------------------------------------------------------------


def test_everywhere_in_a_request() -> None:
    """before_request, view, after_request, teardown_request and a blueprint's hooks all see and change one session."""
    app = make_app()
    blueprint = flask.Blueprint("blue", "blue")

    def note(where: str) -> None:
        flask.session["seen"] = [*flask.session.get("seen", []), where]

    app.before_request(lambda: note("before"))
    blueprint.before_request(lambda: note("blueprint"))
    app.teardown_request(lambda error: note("teardown"))
    blueprint.add_url_rule("/blue", "blue", lambda: str(note("view")))  # type: ignore[func-returns-value]
    app.register_blueprint(blueprint)

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        note("after")
        return response

    client = browser(app, logged_in=False)
    client.get("/blue")
    assert client.get("/show").text.startswith(
        "{'seen': ['before', 'blueprint', 'view', 'after', 'teardown', 'before']"
    )


def test_error_handler_and_abort() -> None:
    """An error handler may use the session; what it sets is saved with its response."""
    app = make_app()

    @app.get("/broken")
    def broken() -> str:
        flask.session["view"] = 1
        raise LookupError

    @app.errorhandler(LookupError)
    def sorry(error: LookupError) -> tuple[str, int]:
        flask.session["handler"] = flask.session["view"] + 1
        return "sorry", 418

    client = browser(app)
    assert client.get("/broken").status == 418
    assert client.get("/missing").status == 404
    assert client.get("/show").text == "{'a': 1, 'handler': 2, 'view': 1}"


def test_value_of_a_wrong_type() -> None:
    """A value that cannot be stored inside a container is Flask's 500, seen by its handler; nothing is stored."""
    app = make_app()
    seen: list[object] = []

    @app.get("/bad")
    def bad() -> str:
        flask.session["b"] = 2
        flask.session["cart"] = [object()]
        return ""

    @app.errorhandler(500)
    def page(error: Any) -> tuple[str, int]:
        seen.append(error.original_exception)
        return "our page", 500

    app.logger.disabled = True
    client = browser(app)
    answer = client.get("/bad")
    assert (answer.status, answer.text, answer.set_cookie) == (500, "our page", None)
    assert [type(error) for error in seen] == [TypeError]
    assert "'cart'" in str(seen[0])
    assert client.get("/show").text == "{'a': 1}"

    stranger = browser(app, logged_in=False)
    assert stranger.get("/bad").set_cookie is None


def test_wrong_type_in_teardown() -> None:
    """A wrong value that only a teardown function sets is stored by nobody, and no half of the session is."""
    app = make_app()

    @app.teardown_request
    def spoil(error: object) -> None:
        if flask.request.path == "/none":
            flask.session["cart"] = [object()]

    client = browser(app)
    with pytest.raises(TypeError, match="'cart'"):
        client.get("/none")
    assert client.get("/show").text == "{'a': 1}"
