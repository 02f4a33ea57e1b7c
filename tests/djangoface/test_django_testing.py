"""Django: sessions in a project's own tests, with sharedsession.testing; and what an operator can ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from servers import Memcached, free_port

from djangoface.conftest import Serve, Settings
from djangoface.project import VIEWS, Browser, urls
from sharedsession import SessionMiddleware
from sharedsession.django import SessionStore, project
from sharedsession.testing import Sessions, in_memory


@pytest.fixture
def sessions(change: Settings) -> Iterator[Sessions]:
    """Return the sessions of a project whose nodes are out of reach, in memory until the test ends."""
    views = {**VIEWS, "who": lambda request: request.user}
    change(ROOT_URLCONF=urls(views), SHAREDSESSION={"nodes": f"n1:127.0.0.1:{free_port()}", "route": "web1"})
    with in_memory(project) as sessions:
        yield sessions


def client_of(sessions: Sessions, session_id: str) -> Client:
    """Return a client that shows this id."""
    client = Client()
    client.cookies[sessions.cookie_name] = session_id
    return client


def test_prepared_session(sessions: Sessions) -> None:
    """A test begins with a session that it has prepared, and looks at what is stored."""
    client = client_of(sessions, sessions.create({"b": 2}))
    client.get("/put")
    assert client.get("/show").content == b"{'a': 1, 'b': 2}"
    assert sessions.all() == [{"a": 1, "b": 2}]
    client.get("/flush")
    assert sessions.all() == []


def test_time(sessions: Sessions) -> None:
    """SESSION_COOKIE_AGE passes at the test's word."""
    client = client_of(sessions, sessions.create({"a": 1}))
    sessions.advance(1_209_500)
    assert client.get("/show").content == b"{'a': 1}"
    sessions.advance(1_209_700)
    assert client.get("/show").content == b"{}"


def test_memcached_away(sessions: Sessions) -> None:
    """The project finds no memcached node when the test says so."""
    client = client_of(sessions, sessions.create({"a": 1}))
    with sessions.unavailable():
        assert client.get("/show").status_code == 503
    assert client.get("/show").status_code == 200


def test_djangos_own_tools(sessions: Sessions, user: User) -> None:
    """client.session and force_login use the same sessions; commands and the engine too."""
    client = Client()
    session = client.session
    session["a"] = 5
    session.save()
    client.force_login(user)
    assert client.get("/who").content == b"mia"
    key = client.cookies["sessionid"].value
    assert key.endswith(".web1")
    assert sessions.get(key) == dict(SessionStore(key).items()) == dict(client.session.items())
    assert (sessions.get(key) or {})["a"] == 5


def test_wrapped(sessions: Sessions) -> None:
    """So does the WSGI middleware around the project."""
    browser = Browser(app=SessionMiddleware(WSGIHandler()))
    browser.get("/put")
    assert sessions.all() == [{"a": 1}]
    with in_memory(project) as inner:
        browser.get("/put")
        assert len(inner.all()) == 1
    assert sessions.all() == [{"a": 1}]


def test_settings_changed_inside(change: Settings) -> None:
    """A change of settings inside of such a block counts after it."""
    change(ROOT_URLCONF=urls(VIEWS))
    with in_memory(project) as sessions, override_settings(SESSION_COOKIE_AGE=60):
        client = Client()
        client.get("/put")
        assert client.cookies["sessionid"]["max-age"] == "1209600"
        assert sessions.all() == [{"a": 1}]
    with override_settings(SESSION_COOKIE_AGE=60):
        with in_memory(project):
            assert project.parts.config.max_inactive_interval == 60
        assert project.parts.config.max_inactive_interval == 60
    assert project.parts.config.max_inactive_interval == 1_209_600


def test_what_an_operator_asks(serve: Serve, memcached: Memcached) -> None:
    """`project` has the counters and the health of the nodes, as a middleware has."""
    browser = serve()
    browser.get("/put")
    Browser({"sessionid": "0" * 64}).get("/show")
    assert (project.stats()["created"], project.stats()["ids_forged"]) == (1, 1)
    assert [(node.name, node.up) for node in project.health()] == [("n1", True)]
    location = project.locate(SessionStore(browser.id).shared)
    assert location is not None
    assert location.copies == ("n1",)
