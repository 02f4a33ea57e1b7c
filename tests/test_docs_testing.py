"""The tests in docs/testing.md are run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sharedsession.testing import Sessions

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "testing.md").read_text()

#: What the page tests; its nodes are out of reach.
SHOP = """
from sharedsession import SessionMiddleware, get_session

def app(environ, start_response):
    session, path = get_session(environ), environ["PATH_INFO"]
    if path == "/add":
        session.setdefault("cart", []).append("cake")
    if path == "/login":
        session.change_id()
        session["user"] = "mia"
    if path == "/logout":
        session.invalidate()
    start_response("200 OK", [("Content-Type", "text/plain")])
    text = f"{len(session['cart'])} in your cart" if path == "/add" else session.get("user", "nobody")
    return [text.encode()]

application = SessionMiddleware(app, secret_key="x" * 32, nodes="n1:192.0.2.1 n2:192.0.2.2")
"""
FLASK_SHOP = """
from flask import Flask, session
from sharedsession.flask import SharedSession

app = Flask(__name__)
app.secret_key = "x" * 32
SharedSession(app, nodes="n1:192.0.2.1 n2:192.0.2.2")

@app.get("/")
def cart():
    return ", ".join(session["cart"])
"""


def test_the_pages_tests_pass(tmp_path: Path) -> None:
    """Every test on the page passes, with the fixture as the page's conftest.py brings it."""
    files = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
    assert {"conftest.py", "test_shop.py", "test_account.py", "test_flask.py"} <= set(files)
    for name, text in {**files, "shop.py": SHOP, "flask_shop.py": FLASK_SHOP}.items():
        (tmp_path / name).write_text(text)
    # An application written for another framework needs what that framework wants; there is one page for all of them.
    names = [name for name in files if name.startswith("test_")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *names],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    tests = len(re.findall(r"^def test_", PAGE, re.MULTILINE))
    assert f"{tests} passed" in done.stdout


def test_everything_there_is_is_on_the_page() -> None:
    """docs/testing.md names every public attribute of what in_memory gives."""
    public = {name for name in vars(Sessions) if not name.startswith("_")} | {"cookie_name"}
    assert {name for name in public if f"sessions.{name}" not in PAGE} == set()
