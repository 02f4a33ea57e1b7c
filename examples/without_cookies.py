"""A shop that never heard of sessions without cookies, and keeps the cart of a browser that blocks them.

    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ flask --app without_cookies run --port 8001

Block cookies for http://127.0.0.1:8001 in the browser, open it, and shop: the pages rewrite themselves.
"""

from __future__ import annotations

from flask import Flask, redirect, render_template_string, request
from werkzeug import Response

from sharedsession.flask import SharedSession, session

app = Flask(__name__)
# Nodes, secret key and the node's name are read from SHAREDSESSION_* in the environment.
SharedSession(app, tracking=("cookie", "url", "form"), rewrite_html=True)

PAGE = """<!doctype html>
<title>A shop</title>
<base href="/shop/">
<nav><a id="tea" href="tea">Tea</a> <a id="cake" href='cake?sort=name#top'>Cake</a> <a id="cart" href=/>Cart</a>
  <a id="elsewhere" href="https://example.com/">Elsewhere</a></nav>
<p id="cart">{{ session.cart | join(", ") }}</p>
<p id="source">{{ session.source }}</p>
<form id="add" method="post" action="/add"><input name="what"> <button>Add</button></form>
<form id="find" action="find"><input name="q"> <button>Find</button></form>
<script>document.title += " <a href='tea'>"</script>
"""


@app.get("/")
@app.get("/shop/<what>")
def show(what: str = "") -> str:
    """Show the cart."""
    session.setdefault("cart", [])
    return render_template_string(PAGE)


@app.post("/add")
def add() -> Response:
    """Put something into the cart."""
    session.setdefault("cart", []).append(request.form["what"])
    return redirect("/", 303)
