"""Promise 8 in Flask: its own error handling meets ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
import pytest
from outage import NODE_NAME, assert_refused
from servers import Memcached
from webclient import SECRET, Client, logged_in

from sharedsession import StoreUnavailableError
from sharedsession.errors import RETRY_AFTER
from sharedsession.flask import SharedSession

if TYPE_CHECKING:
    pass


@pytest.fixture
def server(start_memcached: Any) -> Memcached:
    """Return a memcached whose name must not be seen by clients."""
    started: Memcached = start_memcached(NODE_NAME)
    return started


def flask_client(server: Memcached, handler: Any = None) -> Client:
    """Return a logged-in client of a Flask app."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    SharedSession(app, nodes=server.node)

    @app.get("/login")
    def login() -> str:
        flask.session["a"] = 1
        return "in"

    @app.get("/show")
    def show_a() -> str:
        return str(flask.session["a"])

    @app.get("/copes")
    def copes() -> str:
        try:
            return str(flask.session["a"])
        except StoreUnavailableError:
            return "without"

    if handler is not None:
        app.register_error_handler(*handler)
    return logged_in(app)


def test_flask_view(server: Memcached) -> None:
    """A Flask view that needs the session is a 503 with Retry-After; no text names the node."""
    client = flask_client(server)
    server.kill()
    answer = client.get("/show")
    assert (answer.status, answer.get("Retry-After"), answer.set_cookie) == (503, str(RETRY_AFTER), None)
    assert StoreUnavailableError.description in answer.text
    assert NODE_NAME not in str(answer)
    server.start()
    client.get("/login")
    assert client.get("/show").text == "1"


def test_flask_view_copes(server: Memcached) -> None:
    """A Flask view that catches the error keeps its 200."""
    client = flask_client(server)
    server.kill()
    answer = client.get("/copes")
    assert (answer.status, answer.text, answer.set_cookie) == (200, "without", None)


@pytest.mark.parametrize("code", [StoreUnavailableError, 503])
def test_flask_error_page(server: Memcached, code: Any) -> None:
    """An error handler of the app for the error, or for 503, gives the page that the client sees."""
    client = flask_client(server, (code, lambda error: ("our own page", 503)))
    server.kill()
    answer = client.get("/show")
    assert (answer.status, answer.text) == (503, "our own page")


def test_flask_catches_everything(server: Memcached) -> None:
    """An app that turns every exception into a 500 page gets the 503 all the same."""
    client = flask_client(server, (Exception, lambda error: ("oops", 500)))
    server.kill()
    assert_refused(client.get("/show"))
