"""The demo's application: an ordinary Flask app that one line makes share its sessions."""

from __future__ import annotations

import os

from flask import Flask, Response, abort, request

from sharedsession.flask import SharedSession

from . import api, pages
from .control import Supervisor

_LOCAL = ("127.0.0.1", "localhost", "[::1]")
# No scripts, no strangers: what the page needs is in the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'"


def create_app() -> Flask:
    """Return the application. Its sessions are configured by SHAREDSESSION_* in the environment."""
    app = Flask(__name__)
    shared = SharedSession(app)
    name = os.environ.get("SHAREDSESSION_ROUTE", "")
    app.before_request(refuse_foreign_hosts)
    app.after_request(add_headers)
    app.register_blueprint(api.blueprint(api.Api(shared, name)))
    pages.install(app, pages.Pages(shared, name, Supervisor()))
    return app


def refuse_foreign_hosts() -> None:
    """Answer 403 to a name that is not this machine's: a stranger's domain pointed here could read the page's token."""
    host = request.host.lower()
    if host not in _LOCAL and host.rpartition(":")[0] not in _LOCAL:
        abort(403, "The demo answers on 127.0.0.1 and localhost only.")


def add_headers(response: Response) -> Response:
    """Keep the page, which shows a session id, out of caches and frames."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


application = create_app()
