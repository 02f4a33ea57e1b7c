"""Django: SESSION_ENGINE alone, behind Django's own middleware, and in code without a request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.http import HttpRequest
from servers import Memcached
from webclient import commands, sent

from djangoface import DJANGOS_MIDDLEWARE, FURTHER
from djangoface.conftest import Serve, Settings
from djangoface.project import Browser, key_of, log_in, put, remaining, stored
from sharedsession.django import SessionStore

APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages"]
#: Nothing of ours but the engine.
ALONE = {"MIDDLEWARE": [DJANGOS_MIDDLEWARE, *FURTHER], "INSTALLED_APPS": APPS}


@pytest.fixture
def memory(change: Settings, memcached: Memcached) -> Memcached:
    """Return the memcached in which the engine's sessions lie."""
    change(SHAREDSESSION={"nodes": memcached.node, "timeout": 10.0, "connect_timeout": 10.0})
    return memcached


def saved(**attributes: Any) -> str:
    """Return the key of a session with these attributes."""
    store = SessionStore()
    store.update(attributes)
    store.save()
    assert store.session_key is not None
    return store.session_key


# -- behind Django's middleware ----------------------------------------------------------------------------------------


def test_behind_djangos_middleware(serve: Serve, memcached: Memcached) -> None:
    """Sessions lie in memcached; cookie, log-in, log-out and expiry are Django's; changes in place are noticed."""
    views = {"cart": put("cart", []), "add": lambda request: request.session["cart"].append("tea")}
    browser = serve(views, ALONE)
    browser.get("/cart")
    browser.get("/add")
    assert browser.get("/show").text == "{'cart': ['tea']}"
    assert remaining(memcached, browser.id) > 1_000_000
    known = browser.id
    browser.get("/cycle")
    assert browser.id != known
    assert stored(known) is None
    known = browser.id
    assert "Max-Age=0" in (browser.get("/flush").set_cookie or "")
    assert browser.cookies == {}
    assert stored(known) is None


def test_log_in_behind_djangos_middleware(serve: Serve, user: User) -> None:
    """django.contrib.auth.login gives a new id."""
    browser = serve({"login": log_in}, ALONE)
    browser.get("/put")
    known = browser.id
    browser.get("/login")
    assert f"'_auth_user_id': '{user.pk}'" in browser.get("/show").text
    assert Browser({"sessionid": known}).get("/show").text == "{}"


def test_unknown_ids_behind_djangos_middleware(serve: Serve) -> None:
    """No id that a client made up is ever taken on."""
    serve(None, ALONE)
    for made_up in ("x" * 32, "0" * 64, "short"):
        browser = Browser({"sessionid": made_up})
        assert browser.get("/show").text == "{}"
        browser = Browser({"sessionid": made_up})
        browser.get("/put")
        assert browser.id != made_up
        assert stored(made_up) is None


def test_ended_meanwhile_behind_djangos_middleware(serve: Serve) -> None:
    """A session that was deleted meanwhile is not brought back: Django answers 400."""

    def late(request: HttpRequest) -> None:
        request.session["b"] = 2
        SessionStore(request.session.session_key).delete()

    browser = serve({"late": late}, ALONE)
    browser.get("/put")
    assert browser.get("/late").status == 400
    assert stored(browser.id) is None


def test_merge_behind_djangos_middleware(serve: Serve) -> None:
    """Two requests that change different attributes at the same time both have their way."""

    def slow(request: HttpRequest) -> None:
        request.session["a"]
        Browser({"sessionid": request.COOKIES["sessionid"]}).get("/other")
        request.session["c"] = 3

    browser = serve({"slow": slow, "other": put("b", 2)}, ALONE)
    browser.get("/put")
    browser.get("/slow")
    assert stored(browser.id) == {"a": 1, "b": 2, "c": 3}


def test_a_page_without_session_costs_nothing(serve: Serve, memcached: Memcached) -> None:
    """A view that leaves the session alone asks memcached nothing."""
    browser = serve(None, ALONE)
    browser.get("/put")
    before = commands(memcached)
    assert browser.get("/nothing").set_cookie is None
    assert sent(memcached, before) == (0, 0, 0)


# -- without a request -------------------------------------------------------------------------------------------------


def test_create(memory: Memcached) -> None:
    """create() stores an empty session, or what was set before, under a key of its own; again: another key."""
    store = SessionStore()
    assert (store.session_key, store.accessed, store.modified) == (None, False, False)
    store["a"] = 1
    store.create()
    first = store.session_key or ""
    assert stored(first) == {"a": 1}
    store.create()
    assert store.session_key not in (None, first)
    assert stored(first) == stored(store.session_key or "") == {"a": 1}
    empty = SessionStore()
    empty.create()
    assert stored(empty.session_key or "") == {}


def test_create_under_a_key(memory: Memcached) -> None:
    """create() of a store that was given a key, and not looked at, begins empty; the other session stays."""
    key = saved(a=1)
    store = SessionStore(key)
    store.create()
    assert store.session_key != key
    assert (dict(store.items()), stored(key)) == ({}, {"a": 1})


def test_save_and_load(memory: Memcached) -> None:
    """What one store saves the next finds; load() reads anew and leaves the store's own changes alone."""
    key = saved(a=1)
    store = SessionStore(key)
    assert store["a"] == 1
    store["b"] = 2
    assert SessionStore(key).load() == store.load() == {"a": 1}
    store.save()
    assert store.session_key == key
    assert SessionStore(key).load() == {"a": 1, "b": 2}


def test_must_create(memory: Memcached) -> None:
    """save(must_create=True) raises CreateError for a session that there is."""
    with pytest.raises(CreateError):
        SessionStore(saved(a=1)).save(must_create=True)
    store = SessionStore()
    store.save(must_create=True)
    assert stored(store.session_key or "") == {}


@pytest.mark.parametrize("end", ["delete", "flush", "cycle_key"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_update_error(memory: Memcached, end: str, asynchronous: bool) -> None:
    """save() raises UpdateError when the session was deleted or given a new key meanwhile; nothing comes back."""
    key = saved(a=1)
    late = SessionStore(key)
    late["b"] = 2
    getattr(SessionStore(key), end)()
    with pytest.raises(UpdateError):
        async_to_sync(late.asave)() if asynchronous else late.save()
    assert stored(key) is None


def test_own_delete(memory: Memcached) -> None:
    """After its own delete() a store saves nothing; flush() lets it begin anew."""
    key = saved(a=1)
    store = SessionStore(key)
    store["b"] = 2
    store.delete()
    with pytest.raises(UpdateError):
        store.save()
    assert stored(key) is None
    store.flush()
    assert store.session_key is None
    store["c"] = 3
    store.save()
    assert store.load() == {"c": 3}


def test_delete_of_what_is_not_there(memory: Memcached) -> None:
    """delete() of an unknown key, or without any, is no error."""
    SessionStore().delete()
    SessionStore().delete("x" * 64)
    SessionStore("x" * 64).delete()


def test_exists(memory: Memcached) -> None:
    """exists() knows live sessions only, and prolongs none."""
    key = saved(a=1)
    assert memory.command(b"touch %b 100" % key_of(key).encode()) == b"TOUCHED\r\n"
    store = SessionStore()
    assert [store.exists(each) for each in (key, None, "", "x" * 64, "0" * 64)] == [True, False, False, False, False]
    assert remaining(memory, key) <= 100
    over = SessionStore(key)
    over.set_expiry(-timedelta(seconds=10))
    over.save()
    assert not store.exists(key)


@pytest.mark.parametrize(("value", "ttl"), [(300, 300), (timedelta(hours=1), 3600), (0, 1209600), (None, 1209600)])
def test_expiry(memory: Memcached, value: Any, ttl: int) -> None:
    """memcached keeps what the engine saves for as long as set_expiry says, from the first save on."""
    store = SessionStore()
    store.set_expiry(value)
    store["a"] = 1
    store.save()
    key = store.session_key or ""
    assert ttl - 60 < remaining(memory, key) <= ttl
    again = SessionStore(key)
    again.set_expiry(600)
    again.save()
    assert 540 < remaining(memory, key) <= 600


def test_clear_expired(memory: Memcached) -> None:
    """clear_expired() has nothing to do: memcached forgets by itself."""
    before = commands(memory)
    SessionStore.clear_expired()
    async_to_sync(SessionStore.aclear_expired)()
    assert sent(memory, before) == (0, 0, 0)


def test_what_cannot_be_stored(memory: Memcached) -> None:
    """A value that cannot be stored is a TypeError that names it, when it is assigned or when it is saved."""
    store = SessionStore()
    with pytest.raises(TypeError, match="session attribute 'a' is a object"):
        store["a"] = object()
    store["b"] = [object()]
    assert store.modified
    with pytest.raises(TypeError, match="session attribute 'b' cannot be stored"):
        store.save()


def test_names_are_text(memory: Memcached) -> None:
    """A name that is no text is refused; Django's JSON would turn it into text, and not find it again."""
    with pytest.raises(TypeError, match="named by text, not int"):
        SessionStore()[1] = 2  # type: ignore[index]
