"""Flask: sessions in an app's own tests, with Flask's test client and contexts."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from flaskclient import make_app
from servers import Memcached
from webclient import Commands, commands, sent

from sharedsession import StoreUnavailableError
from sharedsession.flask import session as typed_session


@pytest.fixture
def client(memcached: Memcached) -> FlaskClient:
    """Return Flask's test client of an app over memcached."""
    return make_app(nodes=memcached.node).test_client()


def test_session_transaction_writes(client: FlaskClient) -> None:
    """What a test puts into the session before its first request the view finds."""
    with client.session_transaction() as session:
        session["a"] = 5
    assert client.get("/show").text == "{'a': 5}"


def test_session_transaction_reads_and_changes(client: FlaskClient) -> None:
    """A test reads what a view has stored, and changes it."""
    client.get("/login")
    with client.session_transaction() as session:
        assert session["a"] == 1
        session["list"] = [1]
    with client.session_transaction() as session:
        session["list"].append(2)
        del session["a"]
    assert client.get("/show").text == "{'list': [1, 2]}"


def test_session_transaction_only_reads(client: FlaskClient, memcached: Memcached) -> None:
    """A session_transaction that only looks writes nothing."""
    client.get("/login")
    before = commands(memcached)
    with client.session_transaction() as session:
        assert dict(session) == {"a": 1}
    assert sent(memcached, before) == Commands(1, 0, 0)


def test_session_transaction_ends(client: FlaskClient) -> None:
    """A test logs out with clear(): the client's cookie is gone."""
    client.get("/login")
    with client.session_transaction() as session:
        session.clear()
    assert client.get_cookie("JSESSIONID") is None
    assert client.get("/show").text == "{}"


def test_session_transaction_permanent(client: FlaskClient) -> None:
    """A test makes the session permanent, outside of any context, as with Flask's own sessions."""
    client.application.config["PERMANENT_SESSION_LIFETIME"] = 7200
    with client.session_transaction() as session:
        session.permanent = True
        session["a"] = 1
    cookie = client.get_cookie("JSESSIONID")
    assert cookie is not None
    assert cookie.max_age == 7200
    assert client.get("/show").text == "{'_permanent': True, 'a': 1}"


def test_session_transaction_that_raises(client: FlaskClient) -> None:
    """When the body of session_transaction raises, nothing is stored."""
    client.get("/login")

    def fail() -> None:
        with client.session_transaction() as session:
            session["b"] = 2
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert client.get("/show").text == "{'a': 1}"


def test_session_transaction_without_memcached(client: FlaskClient, memcached: Memcached) -> None:
    """When memcached is away session_transaction raises what the application would see."""
    client.get("/login")
    memcached.kill()
    with pytest.raises(StoreUnavailableError), client.session_transaction() as session:
        session["b"] = 2


def test_session_after_the_request(client: FlaskClient) -> None:
    """`with client:` keeps flask.session readable after the request, also when the view did not touch it."""
    with client:
        client.get("/login")
        assert flask.session["a"] == 1
        assert typed_session.id is not None
        client.get("/none")
        assert dict(flask.session) == {"a": 1}


def test_request_context_saves_nothing(client: FlaskClient, memcached: Memcached) -> None:
    """In a test_request_context flask.session works like a dict, and nothing reaches memcached."""
    before = commands(memcached)
    with client.application.test_request_context("/"):
        flask.session["a"] = 1
        assert dict(flask.session) == {"a": 1}
        assert typed_session.is_new
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_request_context_with_a_cookie(client: FlaskClient) -> None:
    """A test_request_context with the client's cookie reads the client's session."""
    client.get("/login")
    cookie = client.get_cookie("JSESSIONID")
    assert cookie is not None
    headers = {"Cookie": f"JSESSIONID={cookie.value}"}
    with client.application.test_request_context("/", headers=headers):
        assert dict(flask.session) == {"a": 1}


def test_request_context_with_a_response(client: FlaskClient) -> None:
    """process_response in a context of its own saves the session and sets the cookie: an app's hooks can be tested."""
    app = client.application
    with app.test_request_context("/"):
        flask.session["a"] = 1
        response: Any = app.process_response(app.make_response("body"))
    assert response.headers["Set-Cookie"].startswith("JSESSIONID=")
    assert response.headers.getlist("Vary") == ["Cookie"]
    value = response.headers["Set-Cookie"].split("=", 1)[1].split(";")[0]
    client.set_cookie("JSESSIONID", value)
    assert client.get("/show").text == "{'a': 1}"


def test_two_clients(client: FlaskClient) -> None:
    """Two test clients are two browsers."""
    client.get("/login")
    assert client.application.test_client().get("/show").text == "{}"
