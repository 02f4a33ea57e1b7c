"""Django: `request.session` is a session as Django's code knows it, over memcached."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from servers import Memcached

from djangoface.conftest import Serve
from djangoface.project import Browser, key_of, put, remaining, stored
from sharedsession.django import SessionStore, get_session

FORTNIGHT = 14 * 86400


def seconds(cookie: str | None) -> int | None:
    """Return a cookie's Max-Age."""
    found = [part for part in (cookie or "").split("; ") if part.startswith("Max-Age=")]
    return int(found[0].removeprefix("Max-Age=")) if found else None


# -- key ---------------------------------------------------------------------------------------------------------------


def test_a_session_lasts(serve: Serve) -> None:
    """What a view puts into the session the next request finds, under the id in the cookie."""
    browser = serve()
    assert browser.get("/put").status == 200
    assert stored(browser.id) == {"a": 1}
    assert browser.get("/show").text == "{'a': 1}"
    assert browser.get("/key").text == browser.id


def test_key_of_nothing(serve: Serve) -> None:
    """Without a session there is no session_key, whatever the client sends."""
    serve()
    for claimed in ("", "1", "x" * 64, "0" * 64):
        assert Browser({"sessionid": claimed}).get("/key").text == "None"


def test_route(serve: Serve) -> None:
    """The id ends with the name of the application node, and any node's is taken."""
    browser = serve(route="web1")
    browser.get("/put")
    assert browser.id.endswith(".web1")
    assert Browser({"sessionid": f"{browser.id[:64]}.web2"}).get("/show").text == "{'a': 1}"


def test_cycle_key(serve: Serve) -> None:
    """cycle_key gives a new id with the same data; the old id is dead."""
    browser = serve()
    browser.get("/put")
    old = browser.id
    browser.get("/cycle")
    assert browser.id != old
    assert browser.get("/show").text == "{'a': 1}"
    assert Browser({"sessionid": old}).get("/show").text == "{}"
    assert stored(old) is None


def test_cycle_key_of_a_new_session(serve: Serve) -> None:
    """cycle_key gives a client without a session one, if only an empty one."""
    serve()
    browser = Browser()
    browser.get("/cycle")
    assert stored(browser.id) == {}


def test_late_request(serve: Serve) -> None:
    """A request that still has the old id makes no new session, whose cookie would overwrite the new one."""

    def late(request: HttpRequest) -> None:
        get_session(request).ensure_id()
        request.session.set_expiry(0)

    browser = serve({"late": late})
    browser.get("/put")
    old = browser.id
    browser.get("/cycle")
    assert Browser({"sessionid": old}).get("/late").set_cookie is None


def test_flush(serve: Serve) -> None:
    """flush ends the session at once: the cookie goes, and whoever still has it has nothing."""
    seen: list[Any] = []

    def flush(request: HttpRequest) -> None:
        key = request.session.session_key or ""
        request.session.flush()
        seen.extend([stored(key), request.session.session_key, request.session.is_empty()])

    browser = serve({"out": flush})
    browser.get("/put")
    old = browser.id
    assert "Max-Age=0" in (browser.get("/out").set_cookie or "")
    assert seen == [None, None, True]
    assert browser.cookies == {}
    assert Browser({"sessionid": old}).get("/show").text == "{}"


def test_flush_and_go_on(serve: Serve) -> None:
    """What is set after flush goes into another session with another id."""

    def again(request: HttpRequest) -> None:
        request.session.flush()
        request.session["b"] = 2

    browser = serve({"again": again})
    browser.get("/put")
    old = browser.id
    browser.get("/again")
    assert browser.id != old
    assert browser.get("/show").text == "{'b': 2}"


def test_flush_of_what_has_ended(serve: Serve) -> None:
    """Who logs out of a session that has expired loses the cookie too, as in Django; who has none gets nothing."""
    serve()
    browser = Browser({"sessionid": "0" * 64})
    assert browser.get("/show").set_cookie is None
    assert "Max-Age=0" in (browser.get("/flush").set_cookie or "")
    assert Browser().get("/flush").set_cookie is None


def test_create_and_save_in_a_view(serve: Serve) -> None:
    """The usual ways to have a key before the response leaves give one under which the session is stored."""

    def create(request: HttpRequest) -> None:
        request.session["a"] = 1
        if not request.session.session_key:
            request.session.create()
        seen.append(stored(request.session.session_key or ""))

    def save(request: HttpRequest) -> None:
        request.session["b"] = 2
        request.session.save()
        seen.append(stored(request.session.session_key or ""))

    seen: list[Any] = []
    browser = serve({"create": create, "save": save})
    browser.get("/create")
    browser.get("/save")
    Browser().get("/save")
    assert seen == [{"a": 1}, {"a": 1, "b": 2}, {"b": 2}]
    assert browser.get("/show").text == "{'a': 1, 'b': 2}"


def test_create_again(serve: Serve) -> None:
    """create() in a view that has a session gives it a new key."""
    browser = serve({"create": lambda request: request.session.create()})
    browser.get("/put")
    old = browser.id
    browser.get("/create")
    assert browser.id != old
    assert (stored(old), stored(browser.id)) == (None, {"a": 1})


def test_delete(serve: Serve) -> None:
    """delete() ends the session of the request, also before it was looked at; another key's if one is given."""
    browser = serve(
        {
            "delete": lambda request: request.session.delete(),
            "other": lambda request: request.session.delete(request.GET["key"]),
        }
    )
    other = Browser()
    for each in (browser, other):
        each.get("/put")
    browser.get(f"/other?key={other.id}")
    assert (stored(browser.id), stored(other.id)) == ({"a": 1}, None)
    browser.get("/delete")
    assert stored(browser.id) is None


def test_change_after_delete(serve: Serve) -> None:
    """A change made after delete() is no new session: SessionInterrupted, which Django answers with 400."""

    def delete(request: HttpRequest) -> None:
        request.session.delete()
        request.session["b"] = 2

    browser = serve({"delete": delete})
    browser.get("/put")
    assert browser.get("/delete").status == 400
    assert browser.get("/show").text == "{}"


def test_ended_meanwhile(serve: Serve) -> None:
    """A request that changes a session which another request has ended is told so by 400; one that only read is not."""

    def late(request: HttpRequest) -> None:
        request.session["a"]
        SessionStore(request.session.session_key).delete()
        if request.GET:
            request.session["b"] = 2

    browser = serve({"late": late})
    for query, status in (("", 200), ("?change", 400)):
        browser.get("/put")
        answer = browser.get(f"/late{query}")
        assert (answer.status, answer.set_cookie) == (status, None) if query else answer.status == status
        assert browser.get("/show").text == "{}"
        browser.cookies.clear()


def test_load(serve: Serve) -> None:
    """load() reads what is stored now, apart from what the request has changed."""

    def look(request: HttpRequest) -> Any:
        request.session["b"] = 2
        return request.session.load()

    browser = serve({"look": look})
    browser.get("/put")
    assert browser.get("/look").text == "{'a': 1}"
    assert Browser().get("/look").text == "{}"


# -- expiry ------------------------------------------------------------------------------------------------------------


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


# -- modified, accessed ------------------------------------------------------------------------------------------------


def test_changes_in_place(serve: Serve) -> None:
    """A change inside a list is noticed without `modified = True`."""
    browser = serve({"cart": put("cart", ["tea"]), "add": lambda request: request.session["cart"].append("cake")})
    browser.get("/cart")
    browser.get("/add")
    assert browser.get("/show").text == "{'cart': ['tea', 'cake']}"


def test_modified_and_accessed(serve: Serve) -> None:
    """`accessed` and `modified` say what they say in Django."""

    def look(request: HttpRequest) -> object:
        session = request.session
        states = [session.accessed, session.modified]
        session.get("a")
        states += [session.accessed, session.modified]
        session["b"] = [1]
        states.append(session.modified)
        return states

    def inside(request: HttpRequest) -> object:
        states = [request.session["b"] == [1], request.session.modified]
        request.session["b"].append(2)
        return [*states, request.session.modified]

    browser = serve({"look": look, "inside": inside})
    assert browser.get("/look").text == "[False, False, True, False, True]"
    assert browser.get("/inside").text == "[True, False, True]"


def test_modified_taken_back(serve: Serve) -> None:
    """`modified = False` drops what the request has changed; what is changed after that is saved with all the rest."""

    def drop(request: HttpRequest) -> None:
        request.session["a"] = 2
        request.session.modified = False
        if request.GET:
            request.session["c"] = 3

    browser = serve({"drop": drop})
    browser.get("/put")
    browser.get("/drop")
    assert stored(browser.id) == {"a": 1}
    browser.get("/drop?more")
    assert stored(browser.id) == {"a": 2, "c": 3}


def test_test_cookie(serve: Serve) -> None:
    """Django's test cookie works."""
    browser = serve(
        {
            "set": lambda request: request.session.set_test_cookie(),
            "worked": lambda request: request.session.test_cookie_worked(),
            "delete": lambda request: request.session.delete_test_cookie(),
        }
    )
    assert browser.get("/worked").text == "False"
    browser.get("/set")
    assert browser.get("/worked").text == "True"
    browser.get("/delete")
    assert browser.get("/show").text == "{}"


def test_emptied_session_goes_on(serve: Serve) -> None:
    """A session whose last attribute is deleted goes on, and its cookie stays, as in Django."""
    views = {
        "empty": lambda request: request.session.pop("a"),
        "is_empty": lambda request: request.session.is_empty(),
    }
    browser = serve(views)
    assert browser.get("/is_empty").text == "True"
    browser.get("/put")
    assert seconds(browser.get("/empty").set_cookie) == FORTNIGHT
    assert stored(browser.id) == {}
    assert browser.get("/is_empty").text == "False"


def test_mapping(serve: Serve) -> None:
    """The methods of a dict that Django's session has do what they do there."""

    def use(request: HttpRequest) -> object:
        session = request.session
        session.update({"b": 2, "c": 3})
        assert session.setdefault("b", 5) == 2
        assert session.setdefault("d", []) == []
        session["d"].append(4)
        del session["c"]
        with pytest.raises(KeyError):
            session.pop("c")
        assert session.pop("c", None) is None
        assert "c" not in session
        assert session.has_key("d")
        assert sorted(session.keys()) == ["a", "b", "d"]
        assert dict(session.items()) == {"a": 1, "b": 2, "d": [4]}
        return sorted(map(str, session.values()))

    browser = serve({"use": use, "clear": lambda request: request.session.clear()})
    browser.get("/put")
    assert browser.get("/use").text == "['1', '2', '[4]']"
    assert stored(browser.id) == {"a": 1, "b": 2, "d": [4]}
    browser.get("/clear")
    assert browser.get("/show").text == "{}"


# -- what the library adds ---------------------------------------------------------------------------------------------


def test_what_the_library_adds(serve: Serve) -> None:
    """`get_session(request)` has the library's own: transaction, ensure_id, is_new, source, times."""

    def own(request: HttpRequest) -> object:
        session = get_session(request)
        known: list[object] = [session.is_new, session.source, session.available]
        known.append(session.transaction(lambda inside: inside.setdefault("n", 7)))
        known.append(len(session.ensure_id()))
        assert 0 <= session.last_accessed_time - session.creation_time < 60
        return known

    browser = serve({"own": own})
    assert browser.get("/own").text == "[True, None, True, 7, 64]"
    assert browser.get("/own").text == "[False, 'cookie', True, 7, 64]"
    assert browser.get("/show").text == "{'n': 7}"


def test_repr_shows_nothing(serve: Serve) -> None:
    """The repr of a session, which error pages and logs show, has neither key nor value, and loads nothing."""

    def look(request: HttpRequest) -> str:
        before = repr(request.session)
        request.session.get("a")
        return f"{before} {request.session!r}"

    browser = serve({"put": put("a", "a secret"), "look": look})
    browser.get("/put")
    assert browser.get("/look").text == "<SessionStore not loaded> <SessionStore in use>"


class Size(models.TextChoices):
    """Choices of a model's field."""

    SMALL = "s"


class Stars(models.IntegerChoices):
    """Choices of a model's field."""

    TWO = 2


def test_djangos_types(serve: Serve) -> None:
    """A SafeString stays one; a lazy text is stored as its text, a choice as its value; inside a list too."""

    def values(request: HttpRequest) -> None:
        given = {"safe": format_html("<b>{}</b>", "&"), "lazy": gettext_lazy("Yes"), "size": Size.SMALL}
        request.session.update(given)
        request.session["list"] = [*given.values(), Stars.TWO]

    seen: list[Any] = []

    def look(request: HttpRequest) -> None:
        session = request.session
        seen.extend([session["safe"], session["lazy"], session["size"], *session["list"]])

    browser = serve({"values": values, "look": look})
    assert browser.get("/values").status == 200
    browser.get("/look")
    assert seen == ["<b>&amp;</b>", "Yes", "s"] * 2 + [2]
    assert [type(value) for value in seen] == [SafeString, str, str] * 2 + [int]


# -- async -------------------------------------------------------------------------------------------------------------


def test_async_twins(serve: Serve, memcached: Memcached) -> None:
    """The async twins of Django's methods do what those do."""

    async def use(request: HttpRequest) -> object:
        session = request.session
        await session.aset("a", 1)
        await session.aupdate({"b": 2})
        assert await session.asetdefault("c", 3) == 3
        assert await session.apop("c") == 3
        assert await session.aget("b") == 2
        assert await session.ahas_key("a")
        assert sorted(await session.akeys()) == ["a", "b"]
        assert sorted(await session.avalues()) == [1, 2]
        await session.aset_test_cookie()
        assert await session.atest_cookie_worked()
        await session.adelete_test_cookie()
        await session.aset_expiry(300)
        assert not await session.aget_expire_at_browser_close()
        await session.asave()
        old = session.session_key
        assert old is not None
        assert remaining(memcached, old) > 200
        await session.acycle_key()
        return [await session.aget_expiry_age(), await session.aload(), session.session_key != old]

    async def flush(request: HttpRequest) -> bool:
        key = request.session.session_key
        await request.session.aflush()
        return await request.session.aexists(key or "")

    browser = serve({"use": async_to_sync(use), "flush": async_to_sync(flush)})
    answer = browser.get("/use")
    assert answer.text == "[300, {}, True]"
    assert seconds(answer.set_cookie) == 300
    assert stored(browser.id) == {"_session_expiry": 300, "a": 1, "b": 2}
    assert browser.get("/flush").text == "False"
    assert browser.cookies == {}
