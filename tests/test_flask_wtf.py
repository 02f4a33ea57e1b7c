"""Flask-WTF over shared sessions: the real package, real memcached, two application nodes."""

from __future__ import annotations

import re
from typing import Any

import flask
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect, FlaskForm  # type: ignore[import-untyped]
from flaskclient import make_app
from servers import Memcached
from webclient import Commands, commands, sent
from wtforms import StringField  # type: ignore[import-untyped]


class Order(FlaskForm):  # type: ignore[misc]
    """A form with one field."""

    what = StringField()


FORM = '<form method="post">{{ form.hidden_tag() }}{{ form.what }}</form>'
META = '<meta name="csrf-token" content="{{ csrf_token() }}">'


def shop(*, protect: bool, **options: Any) -> Flask:
    """Return an app with a form at /order and, protected, a page with a token at /page and an interface at /api."""
    app = make_app(**options)

    @app.route("/order", methods=["GET", "POST"])
    def order() -> str:
        form = Order()
        if form.validate_on_submit():
            flask.session["ordered"] = form.what.data
            return f"ordered {form.what.data}"
        return flask.render_template_string(FORM, form=form) + str(form.errors)

    if protect:
        CSRFProtect(app)
        app.add_url_rule("/page", "page", lambda: flask.render_template_string(META))
        app.add_url_rule("/api", "api", lambda: str(flask.session.update(called=True)), methods=["POST"])
    return app


def token_in(page: str) -> str:
    """Return the CSRF token in a page."""
    found = re.search(r'(?:value|content)="([^"]+)"', page)
    assert found
    return found[1]


def move(client: FlaskClient, app: Flask) -> FlaskClient:
    """Return the same browser, sent by the balancer to another node."""
    moved = app.test_client()
    for cookie in client._cookies.values() if client._cookies else []:
        moved.set_cookie(cookie.key, cookie.value)
    return moved


@pytest.fixture(params=[False, True], ids=["form", "CSRFProtect"])
def nodes(request: pytest.FixtureRequest, memcached: Memcached) -> tuple[Flask, Flask]:
    """Return two application nodes, without and with protection of every request."""
    return shop(protect=request.param, nodes=memcached.node), shop(protect=request.param, nodes=memcached.node)


def test_form_from_one_node_to_the_other(nodes: tuple[Flask, Flask]) -> None:
    """A form that one node has sent is accepted by the other, once and again."""
    client = nodes[0].test_client()
    token = token_in(client.get("/order").text)
    other = move(client, nodes[1])
    for what in ("tea", "cake"):
        assert other.post("/order", data={"csrf_token": token, "what": what}).text == f"ordered {what}"
    assert client.get("/show").text.endswith("'ordered': 'cake'}")


def test_form_of_another_session(nodes: tuple[Flask, Flask]) -> None:
    """A token of another visitor's session, one from no session and none at all are refused."""
    client, attacker = nodes[0].test_client(), nodes[1].test_client()
    client.get("/order")
    theirs = token_in(attacker.get("/order").text)
    for client_then in (client, nodes[1].test_client()):
        for data in ({"csrf_token": theirs, "what": "tea"}, {"what": "tea"}):
            assert "ordered" not in client_then.post("/order", data=data).text
    assert "ordered" not in client.get("/show").text


def test_token_ends_with_the_session(nodes: tuple[Flask, Flask]) -> None:
    """After a log-out on the other node a form of the former session is refused."""
    client = nodes[0].test_client()
    token = token_in(client.get("/order").text)
    move(client, nodes[1]).get("/logout")
    assert "ordered" not in client.post("/order", data={"csrf_token": token, "what": "tea"}).text


def test_token_outlives_a_change_of_id(nodes: tuple[Flask, Flask]) -> None:
    """A form that was open when the user logged in, which changes the id, is still accepted."""
    for app in nodes:
        app.add_url_rule("/change", "change", lambda: str(flask.session.change_id()))  # type: ignore[attr-defined]
    client = nodes[0].test_client()
    token = token_in(client.get("/order").text)
    before = client.get_cookie("JSESSIONID")
    client.get("/change")
    assert client.get_cookie("JSESSIONID") != before
    answer = move(client, nodes[1]).post("/order", data={"csrf_token": token, "what": "tea"})
    assert answer.text == "ordered tea"


def test_header_from_one_node_to_the_other(memcached: Memcached) -> None:
    """A script's request with X-CSRFToken is accepted by the other node, and refused without it or with a wrong one."""
    nodes = [shop(protect=True, nodes=memcached.node) for _ in range(2)]
    client = nodes[0].test_client()
    token = token_in(client.get("/page").text)
    other = move(client, nodes[1])
    for headers in ({}, {"X-CSRFToken": token[:-1]}, {"X-CSRFToken": "x"}):
        assert other.post("/api", headers=headers).status_code == 400
    assert other.post("/api", headers={"X-CSRFToken": token}).status_code == 200
    assert client.get("/show").text.startswith("{'called': True, 'csrf_token': ")


def test_cost(memcached: Memcached) -> None:
    """Only a page with a token and a protected request touch the session; the token is written once."""
    client = shop(protect=True, nodes=memcached.node).test_client()
    seen = []
    for path in ("/none", "/page", "/page"):
        before = commands(memcached)
        client.get(path)
        seen.append(sent(memcached, before))
    assert seen == [Commands(0, 0, 0), Commands(0, 1, 0), Commands(1, 0, 0)]
