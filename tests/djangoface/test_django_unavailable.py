"""Django: while memcached is away the answer is 503 with Retry-After, and nobody is logged out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib import auth
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import RequestContext, Template, engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client
from django.urls import path
from outage import NODE_NAME, assert_refused
from servers import Memcached, StartMemcached

from djangoface import FURTHER, MIDDLEWARE
from djangoface.conftest import Serve
from djangoface.project import VIEWS, Browser
from sharedsession import SessionMiddleware, StoreUnavailableError
from sharedsession.django import SessionStore
from sharedsession.errors import RETRY_AFTER

TEMPLATE = "{{ request.session.a }} {{ user.username }}"


def copes(request: HttpRequest) -> object:
    """Do without the session."""
    try:
        return request.session["a"]
    except StoreUnavailableError:
        return "without"


def rendered(request: HttpRequest) -> str:
    """Use the session in a template."""
    return Template(TEMPLATE).render(RequestContext(request))


def rendered_late(request: HttpRequest) -> TemplateResponse:
    """Use the session in a template that is rendered after the view has returned."""
    return TemplateResponse(request, engines["django"].from_string(TEMPLATE))


class Reader:
    """Middleware of the project that uses the session on the way in, or out."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        """Use the session where the path says so."""
        if request.path_info == "/in":
            request.session.get("a")
        response = self._get_response(request)
        if request.path_info == "/out":
            request.session["a"] = 2
        return response


VIEWS_HERE: dict[str, Any] = {
    "copes": copes,
    "rendered": rendered,
    "late": rendered_late,
    "logout": auth.logout,
    "user": lambda request: request.user,
    "modified": lambda request: setattr(request.session, "modified", True),
    "in": VIEWS["nothing"],
    "out": VIEWS["nothing"],
}
SETTINGS = {"MIDDLEWARE": [MIDDLEWARE, *FURTHER, "djangoface.test_django_unavailable.Reader"]}
USES = ["show", "put", "key", "flush", "cycle", "logout", "user", "rendered", "late", "modified", "in", "out"]


@pytest.fixture
def server(start_memcached: StartMemcached) -> Memcached:
    """Return a memcached whose name must not be seen by clients."""
    return start_memcached(NODE_NAME)


@pytest.fixture
def browser(serve: Serve, server: Memcached) -> Browser:
    """Return a browser that has a session."""
    browser = serve(VIEWS_HERE, SETTINGS, nodes=server.node)
    assert browser.get("/put").status == 200
    return browser


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_refused(browser: Browser, server: Memcached, change: Any, debug: bool, wrapped: bool) -> None:
    """Whatever needs the session is answered 503: view, template, other middleware; also with DEBUG, also wrapped."""
    change(DEBUG=debug)
    client = Browser(browser.cookies, SessionMiddleware(WSGIHandler()) if wrapped else None)
    server.kill()
    for use in USES:
        assert_refused(client.get(f"/{use}"))
    assert client.get("/nothing").text == "nothing"
    assert client.cookies == browser.cookies


def test_back_again(serve: Serve, server: Memcached) -> None:
    """When memcached answers again, the client has its session, with the same cookie and without a restart."""
    browser = serve(nodes=server.node, timeout=0.3)
    assert eventually(browser, "/put") == "None"
    server.hang()
    try:
        assert_refused(browser.get("/show"))
        assert_refused(browser.get("/flush"))
    finally:
        server.resume()
    assert eventually(browser, "/show") == "{'a': 1}"
    known = browser.id
    assert eventually(browser, "/flush") == "None"
    assert browser.cookies == {}
    assert eventually(Browser({"sessionid": known}), "/show") == "{}"


def eventually(client: Browser, path: str) -> str:
    """Return the answer's text once it is no 503."""
    deadline = time.monotonic() + 20
    while (answer := client.get(path)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer.text


def test_a_view_that_copes(browser: Browser, server: Memcached) -> None:
    """A view that catches the error keeps its answer."""
    server.kill()
    answer = browser.get("/copes")
    assert (answer.status, answer.text, answer.set_cookie) == (200, "without", None)


def test_a_new_client(browser: Browser, server: Memcached) -> None:
    """A first visit that stores something is refused, one that does not is not: no id has to be asked for."""
    server.kill()
    assert_refused(Browser().get("/put"))
    assert Browser().get("/show").text == "{}"


def test_an_empty_session_instead(serve: Serve, server: Memcached) -> None:
    """on_unavailable="empty": reads see an empty session, changes and log-out are refused; no cookie is touched."""
    browser = serve(VIEWS_HERE, SETTINGS, nodes=server.node, on_unavailable="empty")
    browser.get("/put")
    server.kill()
    for use, text in (("show", "{}"), ("user", "AnonymousUser"), ("key", "None"), ("nothing", "nothing")):
        answer = browser.get(f"/{use}")
        assert (answer.status, answer.text, answer.set_cookie) == (200, text, None)
    for use in ("put", "flush", "cycle", "logout"):
        assert_refused(browser.get(f"/{use}"))


def test_test_client(browser: Browser, server: Memcached) -> None:
    """Django's test client gets the 503 too, it does not raise; the asynchronous one as well."""
    client = Client()
    client.cookies["sessionid"] = browser.id
    asynchronous = AsyncClient()
    asynchronous.cookies["sessionid"] = browser.id
    server.kill()
    for answer in (client.get("/show"), async_to_sync(asynchronous.get)("/show")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, str(RETRY_AFTER))
        assert answer.content.decode() == StoreUnavailableError.description


def test_an_asynchronous_view(serve: Serve, server: Memcached) -> None:
    """So does an asynchronous view."""

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(await request.session.aget("a")))

    async def ask() -> int:
        client = AsyncClient()
        await client.get("/put")
        server.kill()
        return (await client.get("/async")).status_code

    serve({}, None, path("async", view), nodes=server.node)
    assert async_to_sync(ask)() == 503


def test_a_body_that_fails(serve: Serve, server: Memcached) -> None:
    """A stream whose changes cannot be saved is an error for the server: its headers have left."""

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        request.session["a"]

        def body() -> Iterator[bytes]:
            yield b"begun"
            server.kill()
            request.session["b"] = 2

        return StreamingHttpResponse(body())

    browser = serve({"stream": stream}, nodes=server.node)
    browser.get("/put")
    with pytest.raises(StoreUnavailableError):
        browser.get("/stream")


def test_the_engine_alone(serve: Serve, server: Memcached) -> None:
    """Without our middleware the error is the view's: the engine raises it."""
    browser = serve(nodes=server.node)
    browser.get("/put")
    server.kill()
    for store in (SessionStore(browser.id) for _ in range(3)):
        for use in (store.load, store.save, store.delete):
            with pytest.raises(StoreUnavailableError):
                use()
