"""A Flask app with shared sessions, and a browser for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import flask
from flask import Flask
from webclient import SECRET, Client

from sharedsession.flask import SharedSession
from sharedsession.flask import session as typed_session

if TYPE_CHECKING:
    from collections.abc import Callable


def make_app(**options: Any) -> Flask:
    """Return an app: /login, /show, /logout by clear(), /pop empties, /end by invalidate(), /none."""
    app = Flask("shop")
    app.secret_key = SECRET
    SharedSession(app, **options)
    rules: dict[str, Callable[[], Any]] = {
        "/login": lambda: flask.session.update(a=1),
        "/logout": lambda: flask.session.clear(),
        "/pop": lambda: flask.session.pop("a"),
        "/end": lambda: typed_session.invalidate(),
        "/none": lambda: None,
        "/show": lambda: dict(sorted(flask.session.items())),
    }
    for path, view in rules.items():
        app.add_url_rule(path, path, lambda view=view: str(view()))
    return app


def browser(app: Flask, *, logged_in: bool = True, **defaults: Any) -> Client:
    """Return a client of the app, with a validator in between."""
    client = Client(validator(app), **defaults)
    if logged_in:
        assert client.get("/login").status == 200
        assert client.cookies
    return client
