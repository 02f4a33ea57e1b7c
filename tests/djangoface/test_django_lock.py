"""Django: the lock of a session, and that every way in which a request can end gives it back."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient
from django.urls import path

from djangoface import MIDDLEWARE
from djangoface.conftest import Serve
from djangoface.project import Browser, stored
from sharedsession import SessionMiddleware
from sharedsession.django import SessionStore, get_session, project

SETTINGS = {"MIDDLEWARE": [MIDDLEWARE]}


def add(request: HttpRequest) -> None:
    """Count; exact only where requests come one after the other."""
    request.session["n"] = request.session.get("n", 0) + 1


def test_lock(serve: Serve) -> None:
    """In a block of lock() requests come one after the other, and the block sees the newest state."""

    def locked(request: HttpRequest) -> None:
        with get_session(request).lock() as session:
            session["n"] = session.get("n", 0) + 1

    browser = serve({"locked": locked}, SETTINGS)
    browser.get("/put")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: Browser(browser.cookies).get("/locked").status, range(8)))
    assert answers == [200] * 8
    assert stored(browser.id) == {"a": 1, "n": 8}


@pytest.mark.parametrize("wrapped", [False, True])
def test_locking_writes(serve: Serve, wrapped: bool) -> None:
    """locking="writes": POSTs of one session come one after the other; GETs do not wait."""
    browser = serve({"add": add}, SETTINGS, locking="writes")
    browser.get("/put")
    app = SessionMiddleware(WSGIHandler()) if wrapped else None
    with ThreadPoolExecutor(4) as pool:
        pool.map(lambda _: Browser(browser.cookies, app).get("/add", method="POST"), range(8))
    assert stored(browser.id) == {"a": 1, "n": 8}
    assert project.stats().get("locks_taken_over") is None


def fails(request: HttpRequest) -> None:
    """Raise in the view."""
    request.session["b"] = 2
    raise LookupError


def unstorable(request: HttpRequest) -> None:
    """Leave something that cannot be stored."""
    request.session["b"] = [object()]


def too_large(request: HttpRequest) -> None:
    """Leave more than memcached takes."""
    request.session["b"] = random.randbytes(2_000_000)


def leaves(request: HttpRequest) -> None:
    """End as a server's worker does that is told to stop."""
    request.session["b"] = 2
    raise SystemExit


ENDS: dict[str, Any] = {"fails": fails, "unstorable": unstorable, "too_large": too_large, "leaves": leaves}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_a_request_that_fails(serve: Serve, end: str, wrapped: bool) -> None:
    """However a request ends, the next one need not wait, and nothing of it is saved."""
    browser = serve({"add": add, **ENDS}, SETTINGS, locking="writes")
    browser.get("/put")
    client = Browser(browser.cookies, SessionMiddleware(WSGIHandler()) if wrapped else None)
    with suppress(SystemExit):
        assert client.get(f"/{end}", method="POST").status == 500
    assert client.get("/add", method="POST").status == 200
    assert stored(browser.id) == {"a": 1, "n": 1}
    assert not project.stats().keys() & {"locks_waited", "locks_taken_over"}


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_session_looked_at_after_a_stream(serve: Serve, wrapped: bool, used: bool) -> None:
    """Who looks at the session when a streamed response is over, as a log may, locks nobody out."""
    kept: list[HttpRequest] = []

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        kept.append(request)
        if used:
            add(request)
        return StreamingHttpResponse(iter([b"one"]))

    browser = serve({"stream": stream, "add": add}, SETTINGS, locking="writes")
    browser.get("/put")
    client = Browser(browser.cookies, SessionMiddleware(WSGIHandler()) if wrapped else None)
    assert client.get("/stream", method="POST").text == "one"
    assert kept[0].session["a"] == 1
    assert client.get("/add", method="POST").status == 200
    assert stored(browser.id) == {"a": 1, "n": 1 + used}
    assert not project.stats().keys() & {"locks_waited", "locks_taken_over"}


def test_a_client_that_leaves(serve: Serve) -> None:
    """An asynchronous request that is cancelled, since its client has left, gives the lock back."""

    async def story(key: str) -> None:
        begun = asyncio.Event()

        async def waits(request: HttpRequest) -> HttpResponse:
            await request.session.aset("b", 2)
            begun.set()
            await asyncio.Event().wait()
            return HttpResponse()

        serve({"add": add}, SETTINGS, path("waits", waits), locking="writes")
        client = AsyncClient()
        client.cookies["sessionid"] = key
        asking = asyncio.create_task(client.post("/waits"))
        await begun.wait()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert (await client.post("/add")).status_code == 200

    browser = serve()
    browser.get("/put")
    async_to_sync(story)(browser.id)
    assert stored(browser.id) == {"a": 1, "n": 1}
    assert not project.stats().keys() & {"locks_waited", "locks_taken_over"}


def test_the_engine_alone(serve: Serve) -> None:
    """A session without a request has the lock too."""
    browser = serve()
    browser.get("/put")
    store = SessionStore(browser.id)
    with store.lock() as locked:
        locked["b"] = 2
    assert stored(browser.id) == {"a": 1, "b": 2}
