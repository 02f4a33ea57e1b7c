"""Promise 8: when memcached is away the client is told so, its cookie is left alone, and no restart is needed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from outage import BOUND, NODE_NAME, application, assert_refused
from servers import Memcached
from webclient import TEXT, Client, checked, logged_in, page, pages, put, show

from sharedsession import Session, StoreError, StoreUnavailableError, get_session
from sharedsession.errors import RETRY_AFTER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


@pytest.fixture
def server(start_memcached: Any) -> Memcached:
    """Return a memcached whose name must not be seen by clients."""
    started: Memcached = start_memcached(NODE_NAME)
    return started


@pytest.mark.parametrize("fault", ["killed", "hung"])
@pytest.mark.parametrize("path", ["/show", "/put", "/logout", "/move", "/login"])
def test_refused_and_back(server: Memcached, path: str, fault: str) -> None:
    """Every use of the session is a 503 within bounded time, the cookie stays, and it works when memcached is back."""
    client = application(server)
    known = dict(client.cookies)
    if fault == "killed":
        server.kill()
    else:
        server.hang()
    begun = time.monotonic()
    assert_refused(client.get(path))
    assert time.monotonic() - begun < BOUND
    assert client.get("/none").text == "untouched"
    assert client.cookies == known

    if fault == "killed":
        server.start()
        assert client.get("/show").text == "{}"
        client.get("/login")
        assert client.get("/show").text == "{'a': 1}"
    else:
        server.resume()
        assert client.get("/show").text == "{'a': 1}"


def test_creating_a_session(server: Memcached) -> None:
    """A client without a session that is to get one is told 503, and gets no cookie of any kind."""
    client = application(server)
    client.cookies.clear()
    server.kill()
    assert_refused(client.get("/login"))
    assert client.get("/show").text == "{}"


def test_commit_failed(server: Memcached) -> None:
    """When memcached goes away between the read and the save, the application's response is replaced by the 503."""

    def view(session: Session) -> None:
        session["b"] = session["a"]
        server.kill()

    client = logged_in(pages({"/login": put("a", 1), "/": view}, nodes=server.node))
    assert_refused(client.get("/"))


def test_log_out_failed(server: Memcached) -> None:
    """A log-out that was not stored is no log-out: 503, and the cookie stays."""

    def view(session: Session) -> None:
        session.invalidate()
        server.kill()

    client = logged_in(pages({"/login": put("a", 1), "/": view}, nodes=server.node))
    assert_refused(client.get("/"))
    assert client.cookies


def test_head(server: Memcached) -> None:
    """The 503 of a HEAD request has no body."""
    client = application(server)
    server.kill()
    answer = client.get("/show", method="HEAD")
    assert (answer.status, answer.body, answer.get("Retry-After")) == (503, b"", str(RETRY_AFTER))


def test_second_access_fails_at_once(server: Memcached) -> None:
    """After one failure in a request every further access fails at once, with the same class of error."""
    took: list[float] = []

    def view(session: Session) -> object:
        for _ in range(5):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                session["a"]
            took.append(time.monotonic() - begun)
        return "done"

    client = logged_in(pages({"/login": put("a", 1), "/": view}, nodes=server.node))
    server.hang()
    client.get("/")
    assert took[0] > 0.1
    assert sum(took[1:]) < 0.1


def test_generator_fails(server: Memcached) -> None:
    """A generator that meets the failure before its first chunk gets the 503 too."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        text = str(get_session(environ).get("a"))
        start_response("200 OK", TEXT)
        yield text.encode()

    client = application(server)
    client.app = checked(app, nodes=server.node)
    assert client.get("/").text == "1"
    server.kill()
    assert_refused(client.get("/"))


# -- what applications do with the error ---------------------------------------------------------------------------


def framework(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Turn every exception into a 500 of its own, as frameworks do."""
    try:
        return page(show)(environ, start_response)
    except Exception:
        start_response("500 Internal Server Error", [*TEXT, ("X-Powered-By", "framework")], sys.exc_info())
        return [b"something went wrong"]


def tolerant(status: str) -> WSGIApplication:
    """Return an application that does without the session, and answers with the status."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            text = str(get_session(environ)["a"])
        except StoreError as error:
            text = type(error).__name__
        start_response(status, TEXT)
        return [text.encode()]

    return app


def test_framework_makes_it_a_500(server: Memcached) -> None:
    """A 500 that follows from the failure becomes the 503."""
    client = application(server)
    client.app = checked(framework, nodes=server.node)
    assert client.get("/").status == 200
    server.kill()
    answer = client.get("/")
    assert_refused(answer)
    assert answer.get("X-Powered-By") is None


def test_another_500_stays() -> None:
    """A 500 for another reason stays what it is."""
    assert Client(checked(page(show, status="500 Internal Server Error"))).get().status == 500


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "502 Bad Gateway"])
def test_application_copes(server: Memcached, status: str) -> None:
    """An application that catches the error itself keeps its own answer."""
    client = application(server)
    client.app = checked(tolerant(status), nodes=server.node)
    server.kill()
    answer = client.get("/")
    assert (answer.status, answer.text, answer.set_cookie) == (int(status[:3]), "StoreUnavailableError", None)


def test_untouched_with_slide_always(server: Memcached) -> None:
    """With slide_always an untouched request is answered as ever: prolonging is no reason to refuse a page."""
    client = application(server, slide_always=True)
    server.kill()
    assert client.get("/none").text == "untouched"
