"""Django on real servers: gunicorn and uvicorn, two application nodes over two memcacheds."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import pytest
from appnodes import Browser, running
from servers import Memcached, StartMemcached, free_port

PROJECT = """
import asyncio
import time
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="a secret of these tests, not used for sessions",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["sharedsession.django"],
    MIDDLEWARE=["sharedsession.django.SharedSessionMiddleware"],
    SESSION_ENGINE="sharedsession.django",
    SESSION_COOKIE_NAME="JSESSIONID",
    SHAREDSESSION={"tracking": ["cookie", "url", "form"]},
)

def text(value):
    return HttpResponse(str(value), content_type="text/plain; charset=utf-8")

def login(request, user):
    request.session.cycle_key()
    request.session["user"] = user
    return HttpResponse(status=303, headers={"Location": "/show"})

def put(request, name, value):
    request.session["user"]  # loaded before the others have written
    time.sleep(0.05)
    request.session[name] = value
    return text("done")

def add(request):
    request.session.transaction(lambda session: session.update(n=session.get("n", 0) + 1))
    return text("done")

def show(request):
    return text(" ".join(f"{name}={value}" for name, value in sorted(request.session.items())))

async def show_async(request):
    return text(await request.session.aget("user"))

def at(request, name):
    return text(f"{request.path} {name} {request.session.get('user')}")

def post(request):
    return text(f"{request.session.get('user')} {request.POST.get('more')}")

def name(request, number):
    return f"{'long' if request.GET else 'short'}{number}"

def stream(request):
    def body():
        try:
            for number in range(1000):
                request.session["sent"] = name(request, number)
                yield b"x" * 65536 if request.GET else b"x"
                if not request.GET and number == 2:
                    break
        finally:
            request.session["ended"] = name(request, number)
    request.session["user"]
    return StreamingHttpResponse(body())

def stream_async(request):
    async def body():
        try:
            for number in range(1000):
                await request.session.aset("sent", name(request, number))
                await asyncio.sleep(0)  # the server has a chance to notice that the client has left
                yield b"x" * 65536 if request.GET else b"x"
                if not request.GET and number == 2:
                    break
        finally:
            await request.session.aset("ended", name(request, number))
    request.session["user"]
    return StreamingHttpResponse(body())

def file(request):
    request.session["file"] = 1
    return FileResponse(open(__file__, "rb"))

def logout(request):
    request.session.flush()
    return text("out")

urlpatterns = [
    path("login/<user>", login), path("put/<name>/<value>", put), path("add", add), path("show", show),
    path("show-async", show_async), path("at/<name>", at), path("post", post), path("stream", stream),
    path("stream-async", stream_async), path("file", file), path("logout", logout),
]
wsgi, asgi = get_wsgi_application(), get_asgi_application()

from sharedsession import SessionMiddleware
wrapped = SessionMiddleware(wsgi)
"""

GUNICORN = ["-m", "gunicorn", "--bind=127.0.0.1:{port}", "--workers=2"]
UVICORN = ["-m", "uvicorn", "--host=127.0.0.1", "--port={port}", "--log-level=error"]
SERVERS = {
    "gunicorn": [*GUNICORN, "shop:wsgi"],
    "gunicorn-wrapped": [*GUNICORN, "--worker-class=gthread", "--threads=2", "shop:wrapped"],
    "uvicorn": [*UVICORN, "shop:asgi"],
}


class Site(NamedTuple):
    """Two application nodes by their ports, and the memcacheds."""

    server: str
    one: int
    two: int
    memcacheds: list[Memcached]


def command(server: str, port: int) -> list[str]:
    """Return the command that starts a server."""
    return [sys.executable, *(option.format(port=port) for option in SERVERS[server])]


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path, start_memcached: StartMemcached) -> Iterator[Site]:
    """Serve the project by two processes, or families of processes, of the server in question."""
    (tmp_path / "shop.py").write_text(PROJECT)
    memcacheds = [start_memcached("n1"), start_memcached("n2")]
    one, two = free_port(), free_port()
    with running({port: command(request.param, port) for port in (one, two)}, tmp_path, memcacheds):
        yield Site(request.param, one, two, memcacheds)


def test_the_story(site: Site) -> None:
    """Log in on one node, be known on the other; stream, send files, track by URL; lose a memcached, log out."""
    browser = Browser()
    assert browser.get(site.one, "/login/mia").status == 303
    assert browser.cookie.endswith(".web1")
    assert [browser.get(site.two, "/show").text for _ in range(3)] == ["user=mia"] * 3
    assert browser.get(site.two, "/show-async").text == "mia"
    for port in (site.one, site.two, site.one):
        assert browser.get(port, "/add").text == "done"
    look_at_bodies(site, browser)
    track_by_url(site)
    site.memcacheds[0].kill()
    assert {"n=3", "file=1", "user=mia"} <= set(browser.get(site.two, "/show").text.split())
    known = browser.cookie
    assert browser.get(site.two, "/logout").text == "out"
    assert browser.cookie == ""
    assert [Browser(known).get(port, "/show").text for port in (site.one, site.two)] == ["", ""]


def look_at_bodies(site: Site, browser: Browser) -> None:
    """Get a file, and a stream that writes to the session while it is sent: to its end, and until the client leaves."""
    assert browser.get(site.two, "/file").text == PROJECT
    # WSGI gathers an asynchronous body before it sends it, and ASGI a synchronous one; Django warns of both.
    path = "/stream-async" if site.server == "uvicorn" else "/stream"
    assert browser.get(site.one, path).text == "xxx"
    assert {"sent=short2", "ended=short2"} <= set(browser.get(site.two, "/show").text.split())
    leave(site.one, f"{path}?long", browser)
    shown = eventually(site, browser)
    assert shown["sent"] == shown["ended"] != "long999"


def leave(port: int, path: str, browser: Browser) -> None:
    """Ask for a long stream, and go away after its beginning."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Cookie": f"JSESSIONID={browser.cookie}"})
    response = connection.getresponse()
    assert response.read(70_000)
    response.close()
    connection.close()


def eventually(site: Site, browser: Browser) -> dict[str, str]:
    """Return what the session holds once the long stream has ended: the server takes its time to notice."""
    deadline = time.monotonic() + 30
    while True:
        shown = dict(word.split("=") for word in browser.get(site.two, "/show").text.split())
        if shown["ended"].startswith("long") or time.monotonic() > deadline:
            return shown
        time.sleep(0.05)


def track_by_url(site: Site) -> None:
    """Keep a session without cookies, by links with the id; and by the form's field where the WSGI middleware is."""
    first = Browser()
    first.get(site.one, "/login/bo")
    sid = first.cookie
    page = Browser().get(site.two, f"/at/{quote('café')};jsessionid={sid}")
    assert page.text == "/at/café café bo"
    body = urlencode({"jsessionid": sid, "more": "x" * 5000})
    page = Browser()._ask(site.one, "POST", "/post", body)
    assert page.text == f"{'bo' if site.server == 'gunicorn-wrapped' else None} {'x' * 5000}"


@pytest.mark.parametrize("server", SERVERS)
def test_several_processes_need_nodes(server: str, tmp_path: Path) -> None:
    """Without nodes a server that runs several processes is refused: each would have sessions of its own."""
    (tmp_path / "shop.py").write_text(PROJECT.replace('SHAREDSESSION={"', 'SHAREDSESSION={"nodes": None, "'))
    port = free_port()
    with running({port: command(server, port)}, tmp_path, []):
        page = Browser().get(port, "/login/mia")
    # ASGI does not say how many processes there are.
    assert page.status == (303 if server == "uvicorn" else 500)
