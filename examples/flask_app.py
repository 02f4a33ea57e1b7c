"""A Flask app on several nodes: come back to any of them, log in on one and out on another.

Start memcached twice and the app twice, and open http://127.0.0.1:8001 and http://127.0.0.1:8002 in turn:

    $ memcached -p 11211 &
    $ memcached -p 11212 &
    $ export SHAREDSESSION_NODES="n1:127.0.0.1:11211 n2:127.0.0.1:11212"
    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ SHAREDSESSION_ROUTE=web1 gunicorn --bind=127.0.0.1:8001 --workers=2 flask_app:app &
    $ SHAREDSESSION_ROUTE=web2 gunicorn --bind=127.0.0.1:8002 --workers=2 flask_app:app &
"""

from __future__ import annotations

from flask import Flask, redirect, render_template_string, request, url_for
from werkzeug import Response

from sharedsession.flask import SharedSession, session

app = Flask(__name__)
# Nodes, secret key and the node's name are read from SHAREDSESSION_* in the environment.
SharedSession(app)

PAGE = """<!doctype html>
<title>Flask</title>
<p>You were here {{ session.visits }} times.</p>
{% if session.user %}
  <form method="post" action="{{ url_for('log_out') }}">{{ session.user }} <button>Log out</button></form>
{% else %}
  <form method="post" action="{{ url_for('log_in') }}"><input name="user"> <button>Log in</button></form>
{% endif %}
"""


@app.get("/")
def home() -> str:
    """Count the visit; exactly, also when two tabs load at the same moment."""
    session.transaction(lambda session: session.update(visits=session.get("visits", 0) + 1))
    return render_template_string(PAGE)


@app.post("/login")
def log_in() -> Response:
    """Log in; a real application checks a password here."""
    # An id that somebody else may have seen, or planted, is worth nothing from now on.
    session.change_id()
    session["user"] = request.form["user"]
    return redirect(url_for("home"), 303)


@app.post("/logout")
def log_out() -> Response:
    """End the session on every node."""
    session.invalidate()
    return redirect(url_for("home"), 303)
