"""One application on every kind of server: two application nodes over two memcacheds, the same short story on each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from appnodes import Browser, running
from servers import Memcached, StartMemcached, free_port

APP = """
import time
import flask
from sharedsession.flask import SharedSession, session

app = flask.Flask("shop")
SharedSession(app)

@app.get("/login/<user>")
def login(user):
    session.change_id()
    session["user"] = user
    return flask.redirect("/show", 303)

@app.get("/put/<name>/<value>")
def put(name, value):
    session["user"]  # loaded before the others have written
    time.sleep(0.05)
    session[name] = value
    return "done"

@app.get("/add")
def add():
    session.transaction(lambda session: session.update(n=session.get("n", 0) + 1))
    return "done"

@app.get("/show")
def show():
    return " ".join(f"{name}={value}" for name, value in sorted(session.items()))

@app.get("/stream")
def stream():
    def body():
        yield session["user"]
        session["streamed"] = 1
    return flask.Response(flask.stream_with_context(body()))

@app.get("/file")
def file():
    session["file"] = 1
    return flask.send_file(__file__)

@app.get("/logout")
def logout():
    session.invalidate()
    return "out"

# Used before a server forks its workers, where it does so with --preload: connections are open when they come to life.
with app.test_client() as client:
    assert client.get("/login/warm-up").status_code == 303
"""

GUNICORN = ["-m", "gunicorn", "--bind=127.0.0.1:{port}", "shop:app"]
#: Options of Python, with the port to be filled in.
SERVERS: dict[str, list[str]] = {
    "gunicorn-sync": [*GUNICORN, "--worker-class=sync", "--workers=2"],
    "gunicorn-gthread": [*GUNICORN, "--worker-class=gthread", "--threads=4", "--workers=2"],
    "gunicorn-gevent": [*GUNICORN, "--worker-class=gevent", "--workers=1"],
    "gunicorn-preload": [*GUNICORN, "--preload", "--worker-class=gthread", "--threads=2", "--workers=3"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:{port}", "--threads=4", "shop:app"],
}
USERS = ["mia", "bo", "eva"]


class Site(NamedTuple):
    """Two application nodes by their ports, and the memcacheds."""

    one: int
    two: int
    memcacheds: list[Memcached]


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path, start_memcached: StartMemcached) -> Iterator[Site]:
    """Serve the application by two processes, or families of processes, of the server in question."""
    (tmp_path / "shop.py").write_text(APP)
    memcacheds = [start_memcached("n1"), start_memcached("n2")]
    one, two = free_port(), free_port()
    options = SERVERS[request.param]
    commands = {port: [sys.executable, *(option.format(port=port) for option in options)] for port in (one, two)}
    with running(commands, tmp_path, memcacheds):
        yield Site(one, two, memcacheds)


def test_the_story(site: Site) -> None:
    """Log in on one, read on the other, write on both at once, lose a memcached, log out; each sees its own session."""
    browsers = {user: Browser() for user in USERS}
    log_in(site, browsers)
    write_on_both(site, browsers)
    look_at_bodies(site, browsers["mia"])
    site.memcacheds[0].kill()
    lose_nothing(site, browsers)
    log_out(site, browsers)


def log_in(site: Site, browsers: dict[str, Browser]) -> None:
    """Log in on one node, be known on the other."""
    for user, browser in browsers.items():
        assert browser.get(site.one, f"/login/{user}").status == 303
        assert browser.cookie.endswith(".web1")
        assert [browser.get(site.two, "/show").text for _ in range(3)] == [f"user={user}"] * 3


def write_on_both(site: Site, browsers: dict[str, Browser]) -> None:
    """Send requests of all clients to both nodes at the same time: different attributes, and transactions on one."""
    asked = []
    for user, browser in browsers.items():
        asked += [(browser, site.one, f"/put/a/{user}1"), (browser, site.two, f"/put/b/{user}2")]
        asked += [(browser, site.two, f"/put/c/{user}3"), (browser, site.one, "/add"), (browser, site.two, "/add")]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda what: what[0].get(*what[1:]), asked))
    assert {answer.text for answer in answers} == {"done"}
    for user, browser in browsers.items():
        expected = f"a={user}1 b={user}2 c={user}3 n=2 user={user}"
        assert [browser.get(port, "/show").text for port in (site.one, site.two)] == [expected] * 2


def look_at_bodies(site: Site, browser: Browser) -> None:
    """Get a stream that writes to the session while it is sent, and a file by the server's own file wrapper."""
    assert browser.get(site.one, "/stream").text == "mia"
    # Saved when the server closes the body, which may be after the client has all of it.
    deadline = time.monotonic() + 30
    while "streamed=1" not in browser.get(site.two, "/show").text:
        assert time.monotonic() < deadline, "what was changed in the stream was not saved"
    assert browser.get(site.two, "/file").text == APP
    assert "file=1" in browser.get(site.one, "/show").text


def lose_nothing(site: Site, browsers: dict[str, Browser]) -> None:
    """Read and write on both nodes as before."""
    for user, browser in browsers.items():
        assert [browser.get(port, "/add").text for port in (site.one, site.two)] == ["done"] * 2
        for port in (site.one, site.two, site.one, site.two):
            text = browser.get(port, "/show").text
            assert {f"a={user}1", f"b={user}2", f"c={user}3", "n=4", f"user={user}"} <= set(text.split())


def log_out(site: Site, browsers: dict[str, Browser]) -> None:
    """Log one client out: on every node, also for who still has the cookie; the others stay."""
    known = browsers["mia"].cookie
    assert browsers["mia"].get(site.two, "/logout").text == "out"
    assert browsers["mia"].cookie == ""
    for port in (site.one, site.two, site.one, site.two):
        assert Browser(known).get(port, "/show").text == ""
        assert "user=bo" in browsers["bo"].get(port, "/show").text
