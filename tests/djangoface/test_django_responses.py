"""Django: what a response costs, says and saves: lazy load, merge, Vary, errors, streams, files, cookies."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.cookie import SimpleCookie
from django.test import AsyncClient, Client
from servers import Memcached
from webclient import Commands, Server, commands, sent

from djangoface import FURTHER, MIDDLEWARE
from djangoface.conftest import Serve
from djangoface.project import Browser, put, remaining, stored
from sharedsession import HeadersSentError, SessionMiddleware

# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "cost"), [("/nothing", (0, 0, 0)), ("/show", (1, 0, 0)), ("/put", (1, 0, 0)), ("/other", (1, 1, 0))]
)
def test_cost(serve: Serve, memcached: Memcached, path: str, cost: tuple[int, int, int]) -> None:
    """An untouched session costs no memcached command, a read one, a change one more; a change to the same none."""
    browser = serve({"other": put("b", 2)}, max_inactive_interval=600)
    browser.get("/put")
    before = commands(memcached)
    assert browser.get(path).status == 200
    assert sent(memcached, before) == Commands(*cost)


def test_a_new_session_costs_one_write(serve: Serve, memcached: Memcached) -> None:
    """A first visit costs one write, or nothing when it leaves the session empty."""
    serve()
    before = commands(memcached)
    Browser().get("/show")
    assert sent(memcached, before) == Commands(0, 0, 0)
    Browser().get("/put")
    assert sent(memcached, before) == Commands(0, 1, 0)


def test_a_poller_keeps_nothing_alive(serve: Serve, memcached: Memcached) -> None:
    """`request.META["sharedsession.slide"] = False`: the request reads the session without prolonging it."""

    def poll(request: HttpRequest) -> object:
        request.META["sharedsession.slide"] = False
        return request.session["a"]

    browser = serve({"poll": poll})
    browser.get("/put")
    before = memcached.stats()["cmd_touch"]
    assert browser.get("/poll").text == "1"
    assert memcached.stats()["cmd_touch"] == before


# -- what is saved -----------------------------------------------------------------------------------------------------


def test_concurrent_requests(serve: Serve) -> None:
    """Two requests that change different attributes at the same time both have their way."""

    def slow(request: HttpRequest) -> None:
        request.session["a"]
        Browser({"sessionid": request.COOKIES["sessionid"]}).get("/other")
        request.session["c"] = 3

    browser = serve({"slow": slow, "other": put("b", 2)})
    browser.get("/put")
    browser.get("/slow")
    assert stored(browser.id) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("status", [500, 502])
def test_error_responses(serve: Serve, status: int) -> None:
    """Nothing is saved with a 5xx, as in Django, except by save() in the view."""

    def fail(request: HttpRequest) -> HttpResponse:
        request.session["b"] = 2
        if request.GET:
            request.session.save()
            request.session["c"] = 3
        return HttpResponse(status=status)

    browser = serve({"fail": fail})
    browser.get("/put")
    assert browser.get("/fail").status == status
    assert stored(browser.id) == {"a": 1}
    browser.get("/fail?save")
    assert stored(browser.id) == {"a": 1, "b": 2}
    new = Browser()
    new.get("/fail")
    assert new.cookies == {}
    new.get("/fail?save")
    assert stored(new.id) == {"b": 2}


def test_error_responses_that_save(serve: Serve, memcached: Memcached) -> None:
    """SHAREDSESSION can have it otherwise: save_on_5xx."""

    def fail(request: HttpRequest) -> HttpResponse:
        request.session.set_expiry(300)
        return HttpResponse(status=500)

    browser = serve({"fail": fail}, save_on_5xx=True)
    browser.get("/fail")
    assert stored(browser.id) == {"_session_expiry": 300}
    assert remaining(memcached, browser.id) <= 300


def test_an_error_stays_an_error(serve: Serve) -> None:
    """A failed view that has also changed a deleted session is a 500: nothing was going to be saved."""

    def fail(request: HttpRequest) -> HttpResponse:
        request.session.delete()
        request.session["b"] = 2
        return HttpResponse(status=500)

    browser = serve({"fail": fail})
    browser.get("/put")
    assert browser.get("/fail").status == 500


def test_what_cannot_be_stored(serve: Serve) -> None:
    """A value that cannot be stored is a TypeError, in the view where it is assigned, else a 500; nothing is saved."""

    def assign(request: HttpRequest) -> None:
        with pytest.raises(TypeError, match="session attribute 'b' is a object"):
            request.session["b"] = object()

    browser = serve({"assign": assign, "inside": put("b", [object()])})
    browser.get("/put")
    assert browser.get("/assign").status == 200
    assert browser.get("/inside").status == 500
    assert stored(browser.id) == {"a": 1}


# -- what it says ------------------------------------------------------------------------------------------------------


def test_vary(serve: Serve) -> None:
    """A response that has used the session varies with the cookie, and is private if it sends one; no other is."""
    browser = serve()
    for path, vary, cache in (("/nothing", None, None), ("/put", "Cookie", "private"), ("/show", "Cookie", "private")):
        answer = browser.get(path)
        assert (answer.get("Vary"), answer.get("Cache-Control")) == (vary, cache)
    answer = Browser().get("/show")
    assert (answer.get("Vary"), answer.get("Cache-Control")) == ("Cookie", None)


def test_vary_and_others(serve: Serve) -> None:
    """What the view says of caching stays, as far as it is safe."""

    def cached(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        return HttpResponse(headers={"Vary": "Accept", "Cache-Control": "public, max-age=60"})

    answer = serve({"cached": cached}).get("/cached")
    assert (answer.get("Vary"), answer.get("Cache-Control")) == ("Accept, Cookie", "max-age=60, private")


@pytest.mark.parametrize("wrapped", [False, True])
def test_cache_of_the_whole_site(serve: Serve, wrapped: bool) -> None:
    """Django's cache of whole pages, outside of the session's middleware, gives nobody another one's page."""
    names = [f"django.middleware.cache.{name}" for name in ("UpdateCacheMiddleware", "FetchFromCacheMiddleware")]
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(wrapped)}}

    def count(request: HttpRequest) -> object:
        request.session["n"] = request.session.get("n", 0) + 1
        return [request.session["n"], request.session.get("user")]

    views = {"count": count, "user": lambda request: request.session.update({"user": request.GET["name"]})}
    serve(views, {"MIDDLEWARE": [names[0], MIDDLEWARE, *FURTHER, names[1]], "CACHES": caches})
    app = SessionMiddleware(WSGIHandler()) if wrapped else None
    mia, bo, new = (Browser(app=app) for _ in range(3))
    mia.get("/user?name=mia")
    bo.get("/user?name=bo")
    assert [mia.get("/count").text, bo.get("/count").text] == ["[1, 'mia']", "[1, 'bo']"]
    assert [mia.get("/count").text, bo.get("/count").text] == ["[2, 'mia']", "[2, 'bo']"]
    assert [new.get("/count").text, new.get("/count").text] == ["[1, None]", "[2, None]"]
    assert Browser(app=app).get("/count").text == "[1, None]"


def test_partitioned(serve: Serve) -> None:
    """cookie_partitioned: the attribute is sent, also when the cookie is deleted, and stands in response.cookies."""
    serve(cookie_partitioned=True)
    client = Client()
    cookie = client.get("/put").cookies["sessionid"]
    assert str(cookie).endswith("; Path=/; SameSite=Lax; Secure; Partitioned")
    assert cookie["secure"]
    assert str(SimpleCookie({"x": cookie})["x"]) == str(cookie)
    assert client.get("/show").content == b"{'a': 1}"
    browser = Browser({"sessionid": cookie.value})
    for path in ("/show", "/flush"):
        assert (browser.get(path).set_cookie or "").endswith("; Secure; Partitioned")
    assert (Browser({"sessionid": "0" * 64}).get("/flush").set_cookie or "").endswith("; Secure; Partitioned")


def test_cookie_of_the_view(serve: Serve) -> None:
    """Other cookies of the response stay."""

    def other(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        response = HttpResponse()
        response.set_cookie("other", "x")
        return response

    answer = serve({"other": other}).get("/other")
    assert sorted(cookie.strip().partition("=")[0] for cookie in answer.all("Set-Cookie")) == ["other", "sessionid"]


# -- streams and files -------------------------------------------------------------------------------------------------


def counting(request: HttpRequest) -> StreamingHttpResponse:
    """Stream numbers, and note in the session which was sent last and that the stream has ended."""
    request.session["a"] = 1

    def body() -> Iterator[bytes]:
        try:
            for number in range(3):
                request.session["sent"] = number
                yield str(number).encode()
        finally:
            request.session["ended"] = True

    return StreamingHttpResponse(body())


def test_stream(serve: Serve) -> None:
    """What the body of a streaming response changes in the session is saved when it ends."""
    browser = serve({"stream": counting})
    assert browser.get("/stream").text == "012"
    assert stored(browser.id) == {"a": 1, "sent": 2, "ended": True}


def test_stream_without_cookie(serve: Serve) -> None:
    """What would need a cookie after the headers have left is refused: a session that begins in the body."""

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Iterator[bytes]:
            yield b"begun"
            request.session["a"] = 1

        return StreamingHttpResponse(body())

    serve({"stream": stream})
    with pytest.raises(HeadersSentError):
        Browser().get("/stream")


def test_client_leaves_a_stream(serve: Serve) -> None:
    """When the client goes away in the middle, what was changed so far is saved, by the body's last words too."""
    browser = serve({"stream": counting})
    browser.get("/put")
    body: Any = WSGIHandler()(browser.environ("/stream"), Server().start)
    assert next(iter(body)) == b"0"
    body.close()
    assert stored(browser.id) == {"a": 1, "sent": 0, "ended": True}


def test_stream_that_fails(serve: Serve) -> None:
    """A body that raises has its changes saved; the server sees the error."""

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Iterator[bytes]:
            request.session["b"] = 2
            yield b"begun"
            raise LookupError

        return StreamingHttpResponse(body())

    browser = serve({"stream": stream})
    browser.get("/put")
    with pytest.raises(LookupError):
        browser.get("/stream")
    assert stored(browser.id) == {"a": 1, "b": 2}


def test_asynchronous_stream(serve: Serve) -> None:
    """So are the changes of an asynchronous body."""

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        async def body() -> AsyncIterator[bytes]:
            try:
                for number in range(3):
                    await request.session.aset("sent", number)
                    yield str(number).encode()
            finally:
                await request.session.aset("ended", True)

        return StreamingHttpResponse(body())

    async def read(key: str) -> bytes:
        client = AsyncClient()
        client.cookies["sessionid"] = key
        response: Any = await client.get("/stream")
        return b"".join([piece async for piece in response.streaming_content])

    browser = serve({"stream": stream})
    browser.get("/put")
    assert async_to_sync(read)(browser.id) == b"012"
    assert stored(browser.id) == {"a": 1, "sent": 2, "ended": True}


@pytest.mark.parametrize("wrapped", [False, True])
def test_file(serve: Serve, tmp_path: Path, wrapped: bool) -> None:
    """A file is still sent by the server's own file wrapper; what the view has changed is saved."""
    (tmp_path / "file").write_bytes(b"content")

    def send(request: HttpRequest) -> FileResponse:
        request.session["b"] = 2
        return FileResponse((tmp_path / "file").open("rb"))

    browser = serve({"file": send})
    browser.get("/put")
    app: Any = SessionMiddleware(WSGIHandler()) if wrapped else WSGIHandler()
    body = app({**browser.environ("/file"), "wsgi.file_wrapper": FileWrapper}, Server().start)
    assert type(body) is FileWrapper
    assert b"".join(body) == b"content"
    body.close()
    assert stored(browser.id) == {"a": 1, "b": 2}


def test_file_of_a_generator(serve: Serve) -> None:
    """A FileResponse over a generator is a stream like any other; one over a buffer is a file."""

    def generated(request: HttpRequest) -> FileResponse:
        def body() -> Iterator[bytes]:
            request.session["b"] = 2
            yield b"x"

        return FileResponse(body())

    browser = serve({"generated": generated, "buffer": lambda request: FileResponse(io.BytesIO(b"y"))})
    browser.get("/put")
    assert browser.get("/generated").text == "x"
    assert stored(browser.id) == {"a": 1, "b": 2}
    assert browser.get("/buffer").text == "y"
