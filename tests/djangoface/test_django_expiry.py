"""Django: how long a session lives, in memcached and in the browser: set_expiry in all its forms, and sliding."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from django.utils import timezone
from servers import Memcached

from djangoface.conftest import Serve
from djangoface.project import Browser, key_of, put, remaining, seconds, stored
from sharedsession.django import SessionStore

FORTNIGHT = 14 * 86400


@pytest.mark.parametrize(
    ("value", "ttl", "max_age"),
    [
        (300, 300, 300),
        (timedelta(hours=1), 3600, 3600),
        (timezone.now().replace(year=timezone.now().year + 1), 365 * 86400, 365 * 86400),
        (0, FORTNIGHT, None),
        (None, FORTNIGHT, FORTNIGHT),
    ],
    ids=["seconds", "timedelta", "datetime", "browser", "none"],
)
@pytest.mark.parametrize("saved_by", ["response", "save"])
def test_set_expiry(
    serve: Serve, memcached: Memcached, value: Any, ttl: int, max_age: int | None, saved_by: str
) -> None:
    """set_expiry in all its forms: memcached keeps the session, and the browser its cookie, for that long."""

    def expire(request: HttpRequest) -> object:
        session = request.session
        session["a"] = 1
        session.set_expiry(value)
        if saved_by == "save":
            session.save()
        return [session.get_expire_at_browser_close(), session.get_expiry_age()]

    day = 86400 if isinstance(value, datetime) else 0  # a leap year
    for browser in (serve({"expire": expire}), logged_in()):
        answer = browser.get("/expire")
        closes, age = answer.text.strip("[]").split(", ")
        assert closes == str(value == 0)
        assert ttl - 60 - day <= int(age) <= ttl + day
        assert ttl - 60 - day <= remaining(memcached, browser.id) <= ttl + day
        given = seconds(answer.set_cookie)
        assert answer.set_cookie is not None
        assert given == max_age or (given and max_age and max_age - 60 - day <= given <= max_age + day)


def logged_in() -> Browser:
    """Return a browser that has a session already."""
    browser = Browser()
    browser.get("/put")
    return browser


def test_expiry_slides(serve: Serve, memcached: Memcached) -> None:
    """A read starts the time anew, in memcached and in the browser; a request without a use does not."""
    browser = serve({"expire": lambda request: request.session.set_expiry(300)})
    browser.get("/expire")
    key = SessionStore(browser.id)
    assert key["_session_expiry"] == 300
    shorten(memcached, browser.id)
    assert browser.get("/nothing").set_cookie is None
    assert remaining(memcached, browser.id) <= 100
    assert seconds(browser.get("/show").set_cookie) == 300
    assert remaining(memcached, browser.id) > 200


def shorten(memcached: Memcached, session_id: str) -> None:
    """Let a session be about to expire."""
    assert memcached.command(b"touch %b 100" % key_of(session_id).encode()) == b"TOUCHED\r\n"


def test_modified_prolongs(serve: Serve, memcached: Memcached) -> None:
    """`modified = True` starts the time anew without looking at the session, as code for Django does."""

    def refresh(request: HttpRequest) -> None:
        request.session.modified = True

    browser = serve({"refresh": refresh})
    browser.get("/put")
    shorten(memcached, browser.id)
    assert seconds(browser.get("/refresh").set_cookie) == FORTNIGHT
    assert remaining(memcached, browser.id) > 100
    assert Browser().get("/refresh").set_cookie is None


def test_fixed_date(serve: Serve, memcached: Memcached) -> None:
    """A session with a date of expiry ends then, however active it is, and the cookie goes."""

    def expire(request: HttpRequest) -> None:
        request.session["a"] = 1
        request.session.set_expiry(timedelta(hours=-1 if request.GET else 1))

    def nearer(request: HttpRequest) -> None:
        request.session["_session_expiry"] = (timezone.now() + timedelta(seconds=90)).isoformat()

    browser = serve({"expire": expire, "nearer": nearer, "other": put("b", 2)})
    browser.get("/expire")
    assert "'a': 1" in browser.get("/show").text
    browser.get("/nearer")
    assert remaining(memcached, browser.id) <= 90
    answer = browser.get("/other")
    assert 0 < (seconds(answer.set_cookie) or 0) <= 90
    assert remaining(memcached, browser.id) <= 90
    # By another client, so that this one keeps its cookie.
    known = browser.id
    assert "Max-Age=0" in (Browser({"sessionid": known}).get("/expire?over").set_cookie or "")
    answer = browser.get("/show")
    assert answer.text == "{}"
    assert "Max-Age=0" in (answer.set_cookie or "")
    assert stored(known) is None


def test_expiry_back_to_default(serve: Serve, memcached: Memcached) -> None:
    """set_expiry(None) takes an earlier expiry back."""
    browser = serve(
        {
            "short": lambda request: request.session.set_expiry(300),
            "usual": lambda request: request.session.set_expiry(None),
        }
    )
    browser.get("/short")
    assert seconds(browser.get("/usual").set_cookie) == FORTNIGHT
    assert remaining(memcached, browser.id) > 300


def test_expires_with_the_browser(serve: Serve, memcached: Memcached) -> None:
    """SESSION_EXPIRE_AT_BROWSER_CLOSE: a cookie without an age, in memcached the usual time; set_expiry wins."""
    browser = serve(
        {"short": lambda request: request.session.set_expiry(300)}, {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True}
    )
    assert seconds(browser.get("/put").set_cookie) is None
    assert remaining(memcached, browser.id) > FORTNIGHT - 60
    assert browser.get("/show").set_cookie is None
    assert seconds(browser.get("/short").set_cookie) == 300


def test_until_the_browser_closes(serve: Serve, memcached: Memcached) -> None:
    """set_expiry(0) takes the age from the cookie that the browser has, which only another cookie can do; once."""
    browser = serve({"close": lambda request: request.session.set_expiry(0)})
    assert seconds(browser.get("/put").set_cookie) == FORTNIGHT
    cookie = browser.get("/close").set_cookie
    assert cookie is not None
    assert seconds(cookie) is None
    assert browser.get("/close").set_cookie is None
    assert browser.get("/show").set_cookie is None
    assert remaining(memcached, browser.id) > FORTNIGHT - 60


def test_never_expires(serve: Serve, memcached: Memcached) -> None:
    """max_inactive_interval=None: memcached and the browser keep it for ten years."""
    browser = serve({"age": lambda request: request.session.get_expiry_age()}, max_inactive_interval=None)
    assert browser.get("/age").text == str(10 * 365 * 86400)
    assert seconds(browser.get("/put").set_cookie) == 10 * 365 * 86400
    assert remaining(memcached, browser.id) > 9 * 365 * 86400
