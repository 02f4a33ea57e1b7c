"""The real thing: two gunicorn servers, several threads each, over two memcached nodes."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Memcached, StartMemcached, free_port, wait_for_port

APP = """
import flask
from sharedsession.flask import SharedSession

app = flask.Flask("shop")
app.secret_key = "a secret that both servers know"
SharedSession(app)

@app.get("/login")
def login():
    flask.session["user"] = "u"
    return flask.redirect("/show")

@app.get("/logout")
def logout():
    flask.session.clear()
    return "out"

@app.get("/show")
def show():
    return str(dict(flask.session))

@app.get("/file")
def file():
    flask.session["file"] = 1
    return flask.send_file(__file__)
"""


@pytest.fixture
def servers(tmp_path: Path, start_memcached: StartMemcached) -> Iterator[tuple[list[int], list[Memcached]]]:
    """Return the ports of two gunicorn servers over two memcached nodes, and these."""
    (tmp_path / "shop.py").write_text(APP)
    nodes = [start_memcached("n1"), start_memcached("n2")]
    ports, running = [free_port(), free_port()], []
    source = Path(__file__).parent.parent / "src"
    for number, port in enumerate(ports):
        environ = {
            **os.environ,
            "PYTHONPATH": str(source),
            "SHAREDSESSION_NODES": " ".join(node.node for node in nodes),
            "SHAREDSESSION_ROUTE": f"web{number + 1}",
        }
        command = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--threads=4", "--workers=2"]
        command += [f"--bind=127.0.0.1:{port}", "--log-level=critical", "--no-control-socket", "shop:app"]
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL))
    try:
        for port in ports:
            wait_for_port(port)
        yield ports, nodes
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def ask(port: int, path: str, cookie: str = "") -> tuple[int, str, str]:
    """Ask a server; return status, body and the id of Set-Cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Cookie": f"JSESSIONID={cookie}"} if cookie else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    value = (response.getheader("Set-Cookie") or "").partition("JSESSIONID=")[2].partition(";")[0]
    return response.status, body, value


def test_two_servers(servers: tuple[list[int], list[Memcached]]) -> None:
    """Log in on one server, read on the other, also after a memcached node is gone; a log-out counts on both."""
    (one, two), nodes = servers
    status, _, session_id = ask(one, "/login")
    assert status == 302
    assert session_id.endswith(".web1")
    for _ in range(4):
        assert ask(two, "/show", session_id) == (200, "{'user': 'u'}", "")
    assert APP in ask(two, "/file", session_id)[1]

    nodes[0].kill()
    for port in (one, two, one, two):
        assert ask(port, "/show", session_id) == (200, "{'user': 'u', 'file': 1}", "")

    assert ask(two, "/logout", session_id)[0] == 200
    assert [ask(port, "/show", session_id)[1] for port in (one, two)] == ["{}", "{}"]
