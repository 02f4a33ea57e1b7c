"""Ids by URL and form behind real servers: gunicorn with workers and threads, wsgiref, werkzeug."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import werkzeug.serving
from servers import SOURCE, StartMemcached, free_port, wait_for_port
from webclient import bare

from sharedsession.session import Session
from tracking.walker import ALL, FORM, Environ, bare_site

SHOP = """
from tracking.test_real_servers import shop
from webclient import bare
application = bare(shop, tracking=("cookie", "url", "form"))
"""


def login(environ: Environ, session: Session) -> str:
    """Store a user."""
    session["user"] = "u"
    return session.ensure_id()


def post(environ: Environ, session: Session) -> str:
    """Answer with the user, what was posted, and what is seen of the URL."""
    user, body = session.get("user"), environ["wsgi.input"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    data = body.read(length) if length else body.read()
    paths = [str(environ.get(key)) for key in ("PATH_INFO", "REQUEST_URI", "RAW_URI", "QUERY_STRING")]
    return f"{user} {session.source} {len(data)} {data[-3:].decode()} {' '.join(paths)}"


shop = bare_site({"/login": login, "*": post})


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *args: Any) -> None:
        """Write nothing."""


class QuietWerkzeug(werkzeug.serving.WSGIRequestHandler):
    """Writes no log."""

    def log(self, *args: Any) -> None:
        """Write nothing."""


@pytest.fixture(params=["gunicorn", "wsgiref", "werkzeug"])
def port(request: pytest.FixtureRequest, tmp_path: Path, start_memcached: StartMemcached) -> Iterator[int]:
    """Return the port of a server with the shop."""
    if request.param == "gunicorn":
        yield from gunicorn(tmp_path, start_memcached("n1").node)
        return
    app = bare(shop, tracking=ALL)
    if request.param == "wsgiref":
        server: Any = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    else:
        server = werkzeug.serving.make_server("127.0.0.1", 0, app, request_handler=QuietWerkzeug)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)
    server.server_close()


def gunicorn(directory: Path, node: str) -> Iterator[int]:
    """Start gunicorn; return its port."""
    (directory / "shop.py").write_text(SHOP)
    number, tests = free_port(), Path(__file__).parent.parent
    paths = os.pathsep.join(str(path) for path in (SOURCE, tests))
    environ = {**os.environ, "PYTHONPATH": paths, "SHAREDSESSION_NODES": node}
    command = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--threads=2", "--workers=2"]
    command += [f"--bind=127.0.0.1:{number}", "--log-level=critical", "--no-control-socket", "shop"]
    process = subprocess.Popen(command, cwd=directory, env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(number)
        yield number
    finally:
        process.terminate()
        process.wait(10)


def ask(port: int, target: str, body: Any = None, *, chunked: bool = False) -> tuple[int, str]:
    """Send a request, a POST when it has a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": FORM} if body is not None else {}
    connection.request("POST" if body else "GET", target, body=body, headers=headers, encode_chunked=chunked)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_url(port: int) -> None:
    """The id is found in the URL that the server hands on, and in no copy of it that the application sees."""
    _, text = ask(port, "/login")
    status, answer = ask(port, f"/a;jsessionid={text}/b%20c%3Bjsessionid%3D{text};v=1?q=;jsessionid=x", body=b"a=b")
    assert status == 200
    assert answer.startswith("u url 3 a=b /a/b c;v=1 ")
    assert text not in answer
    assert answer.endswith(" q=;jsessionid=x")


@pytest.mark.parametrize("size", [0, 1, 5_000, 3_000_000])
def test_form(port: int, size: int) -> None:
    """The id is found in a form of any size, which the application reads whole."""
    _, text = ask(port, "/login")
    body = f"jsessionid={text}&a=".encode() + b"x" * size + b"end"
    status, answer = ask(port, "/post", body=body)
    assert (status, answer.split()[:4]) == (200, ["u", "form", str(len(body)), "end"])


@pytest.mark.parametrize("port", ["gunicorn", "werkzeug"], indirect=True)
def test_chunked(port: int) -> None:
    """A chunked form is read by servers that know where it ends."""
    _, text = ask(port, "/login")
    body = iter([f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces(text)] + [b"0\r\n\r\n"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/post", body, {"Content-Type": FORM, "Transfer-Encoding": "chunked"})
    answer = connection.getresponse().read().decode()
    connection.close()
    assert answer.split()[:4] == ["u", "form", str(sum(map(len, pieces(text)))), "end"]


def pieces(text: str) -> list[bytes]:
    """Return a form in pieces, the id itself in two of them."""
    return [b"jsession", b"id=", text[:9].encode(), text[9:].encode(), b"&a=" + b"x" * 9000, b"end"]
