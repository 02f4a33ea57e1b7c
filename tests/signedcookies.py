"""Flask's own sessions in signed cookies, and app nodes that take them over."""

from __future__ import annotations

from typing import Any

import flask
from flask import Flask
from flaskclient import make_app
from servers import Memcached
from webclient import SECRET, Answer, Client

from sharedsession.flask import session as typed_session

OWN = ("_user_id", "csrf_token")
DELETED = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/"
MONTH = 31 * 86400


def cookie(attributes: dict[str, Any], secret: str = SECRET, **config: Any) -> str:
    """Return what Flask itself puts into its cookie for a session with these attributes."""
    app = Flask("shop")
    app.secret_key = secret
    app.config.update(config)
    app.add_url_rule("/set", "set", lambda: str(flask.session.update(attributes)))
    client = Client(app)
    client.get("/set")
    (value,) = client.cookies.values()
    return value


def node(memcached: Memcached | None = None, **options: Any) -> Flask:
    """Return an application node that takes Flask's sessions over, with /pop-user and /change-id beside the usual."""
    app = make_app(**{"nodes": memcached and memcached.node, "adopt_flask_sessions": OWN, **options})
    app.add_url_rule("/pop-user", "pop-user", lambda: str(flask.session.pop("_user_id")))
    app.add_url_rule("/change-id", "change-id", lambda: str(typed_session.change_id()))  # type: ignore[func-returns-value]
    return app


def visitor(app: Flask, value: str, name: str = "session") -> Client:
    """Return a browser that has nothing but a cookie of Flask's own."""
    return Client(app, {name: value})


def names(answer: Answer) -> list[str]:
    """Return the names of the cookies that a response sets or deletes."""
    return [line.partition("=")[0] for line in answer.all("Set-Cookie")]


def remaining(memcached: Memcached, key: str) -> int:
    """Return the life in seconds that a key still has in memcached."""
    return int(memcached.command(f"mg {key} t".encode()).split()[1].removeprefix(b"t"))


ANN = "{'_user_id': 'ann', 'cart': ['tea']}"
