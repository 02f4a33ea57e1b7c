"""Django: stolen ids, posts from other sites, and a limit on new sessions."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest
from servers import Memcached
from webclient import Commands, commands, sent

from djangoface.conftest import Serve
from djangoface.project import Browser, log_in, put, stored

AUTH = {"login": log_in, "logout": auth.logout, "who": lambda request: request.user, "paid": put("paid", 1)}
CROSS = {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://idp.example"}


#: What Django has in MIDDLEWARE in the project of these tests, but for what refuses posts without a token.
WITHOUT_TOKENS = {"MIDDLEWARE": [name for name in settings.MIDDLEWARE if "csrf" not in name]}


def make(request: HttpRequest) -> str | None:
    """Make a session without anything in it; answer with its key."""
    request.session.create()
    return request.session.session_key


def allowed(environ: dict[str, object]) -> bool:
    """Allow new sessions to all but one."""
    return environ.get("REMOTE_ADDR") != "192.0.2.1"


def test_stolen_id(serve: Serve, user: User) -> None:
    """A log-in's session is bound to the browser: to another one its id is unknown, and logging out ends nothing."""
    browser = serve(AUTH, fingerprint="sharedsession.fingerprints:user_agent")
    browser.defaults["HTTP_USER_AGENT"] = "Firefox/128.0"
    browser.get("/put")
    browser.get("/login")
    thief = Browser(dict(browser.cookies), HTTP_USER_AGENT="curl/8.5.0")
    assert thief.get("/who").text == "AnonymousUser"
    assert thief.get("/show").text == "{}"
    thief.get("/logout")
    assert browser.get("/who").text == "mia"
    assert browser.get("/who", HTTP_USER_AGENT="Firefox/131.0.1").text == "mia"
    assert stored(browser.id) is not None


def test_log_in_from_another_site(serve: Serve, user: User) -> None:
    """django.contrib.auth.login in a POST from another site (SAML) gives the client its session."""
    browser = serve(AUTH, WITHOUT_TOKENS)
    assert browser.get("/login", method="POST", **CROSS).set_cookie is not None
    assert browser.get("/who").text == "mia"


@pytest.mark.parametrize("path", ["/paid", "/make"])
def test_post_from_another_site(serve: Serve, user: User, memcached: Memcached, path: str) -> None:
    """Any other POST from another site without a cookie stores nothing, and leaves the browser its good cookie."""
    browser = serve({**AUTH, "make": make}, WITHOUT_TOKENS)
    browser.get("/login")
    before = commands(memcached)
    answer = browser.get(path, cookie="", method="POST", **CROSS)
    assert (answer.status, answer.set_cookie) == (200, None)
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert browser.get("/who").text == "mia"


@pytest.mark.parametrize("path", ["/put", "/make", "/login"])
def test_refused_creation(serve: Serve, user: User, memcached: Memcached, path: str) -> None:
    """Whom may_create refuses gets no session, and no error."""
    browser = serve({**AUTH, "make": make}, may_create=allowed)
    refused = browser.get(path, REMOTE_ADDR="192.0.2.1")
    assert refused.status == 200
    assert "sessionid" not in browser.cookies
    assert memcached.stats()["curr_items"] == 0
    browser.get(path)
    assert stored(browser.id) is not None
