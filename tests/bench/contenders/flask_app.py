"""Flask-Session over pymemcache; without a port, Flask with its sessions switched off."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import flask
from flask.sessions import SecureCookieSession, SessionInterface

from .acts import act

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _NoSession(SessionInterface):
    def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession:
        return SecureCookieSession()

    def save_session(self, *args: Any) -> None:
        """Save nothing."""


def build(ports: list[int]) -> WSGIApplication:
    """Return the application."""
    app = flask.Flask(__name__)
    if ports:
        _install(app, ports[0])
    else:
        app.session_interface = _NoSession()
    app.add_url_rule("/<kind>/<payload>", "view", _view)
    return app


def _install(app: flask.Flask, port: int) -> None:
    client = importlib.import_module("pymemcache").Client
    app.config["SESSION_TYPE"] = "memcached"
    # It waits for the answer to a write, as all contenders do: by itself pymemcache says "stored" of what was refused.
    app.config["SESSION_MEMCACHED"] = client(("127.0.0.1", port), no_delay=True, timeout=10, default_noreply=False)
    importlib.import_module("flask_session").Session(app)


def _view(kind: str, payload: str) -> flask.Response:
    body = act(flask.request.path, flask.request, lambda _: flask.session, _login, lambda session: session.clear())
    return flask.Response(body, mimetype="text/plain")


def _login(session: Any) -> None:
    interface: Any = flask.current_app.session_interface
    interface.regenerate(session)
