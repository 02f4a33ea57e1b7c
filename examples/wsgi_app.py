"""A plain WSGI app on several nodes: come back to any of them, log in on one and out on another.

Start memcached twice and the app twice, and open http://127.0.0.1:8001 and http://127.0.0.1:8002 in turn:

    $ memcached -p 11211 &
    $ memcached -p 11212 &
    $ export SHAREDSESSION_NODES="n1:127.0.0.1:11211 n2:127.0.0.1:11212"
    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ SHAREDSESSION_ROUTE=web1 gunicorn --bind=127.0.0.1:8001 --workers=2 wsgi_app:application &
    $ SHAREDSESSION_ROUTE=web2 gunicorn --bind=127.0.0.1:8002 --workers=2 wsgi_app:application &
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from sharedsession import Session, SessionMiddleware, get_session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

PAGE = """<!doctype html>
<title>WSGI</title>
<p>You were here {visits} times.</p>
<form method="post" {form}</form>
"""
LOG_IN = 'action="/login"><input name="user"> <button>Log in</button>'
LOG_OUT = 'action="/logout">{user} <button>Log out</button>'


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request."""
    session = get_session(environ)
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "GET", "/":
            start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
            return [home(session).encode()]
        case "POST", "/login":
            log_in(session, read_form(environ)["user"])
        case "POST", "/logout":
            # Ends the session on every node.
            session.invalidate()
        case _:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Not found"]
    start_response("303 See Other", [("Location", "/")])
    return []


def home(session: Session) -> str:
    """Count the visit; exactly, also when two tabs load at the same moment."""
    session.transaction(lambda session: session.update(visits=session.get("visits", 0) + 1))
    form = LOG_OUT.format(user=escape(session["user"])) if "user" in session else LOG_IN
    return PAGE.format(visits=session["visits"], form=form)


def log_in(session: Session, user: str) -> None:
    """Log in; a real application checks a password here."""
    # An id that somebody else may have seen, or planted, is worth nothing from now on.
    session.change_id()
    session["user"] = user


def read_form(environ: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a form."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    return {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}


# Nodes, secret key and the node's name are read from SHAREDSESSION_* in the environment.
application = SessionMiddleware(app)
