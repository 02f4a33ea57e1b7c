"""A Bottle app on several nodes: come back to any of them, log in on one and out on another.

Start memcached twice and the app twice, and open http://127.0.0.1:8001 and http://127.0.0.1:8002 in turn:

    $ memcached -p 11211 &
    $ memcached -p 11212 &
    $ export SHAREDSESSION_NODES="n1:127.0.0.1:11211 n2:127.0.0.1:11212"
    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ SHAREDSESSION_ROUTE=web1 bottle --server=waitress --bind=127.0.0.1:8001 bottle_app:application &
    $ SHAREDSESSION_ROUTE=web2 bottle --server=waitress --bind=127.0.0.1:8002 bottle_app:application &
"""

from __future__ import annotations

from bottle import Bottle, redirect, request, template

from sharedsession import Session, SessionMiddleware, get_session

app = Bottle()
# Nodes, secret key and the node's name are read from SHAREDSESSION_* in the environment.
application = SessionMiddleware(app)

PAGE = """<!doctype html>
<title>Bottle</title>
<p>You were here {{session["visits"]}} times.</p>
% if "user" in session:
  <form method="post" action="/logout">{{session["user"]}} <button>Log out</button></form>
% else:
  <form method="post" action="/login"><input name="user"> <button>Log in</button></form>
% end
"""


def session() -> Session:
    """Return the session of the request at hand."""
    return get_session(request.environ)


@app.get("/")
def home() -> str:
    """Count the visit; exactly, also when two tabs load at the same moment."""
    session().transaction(lambda session: session.update(visits=session.get("visits", 0) + 1))
    return str(template(PAGE, session=session()))


@app.post("/login")
def log_in() -> None:
    """Log in; a real application checks a password here."""
    # An id that somebody else may have seen, or planted, is worth nothing from now on.
    session().change_id()
    session()["user"] = request.forms.user
    redirect("/", 303)


@app.post("/logout")
def log_out() -> None:
    """End the session on every node."""
    session().invalidate()
    redirect("/", 303)
