"""Django: `request.session` is a session as Django's code knows it, over memcached."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from djangoface.conftest import Serve
from djangoface.project import Browser, put, seconds, stored
from sharedsession.django import SessionStore, get_session

FORTNIGHT = 14 * 86400


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

    def clear(request: HttpRequest) -> None:
        drop(request)
        request.session.clear()

    browser = serve({"drop": drop, "clear": clear})
    browser.get("/put")
    browser.get("/drop")
    assert stored(browser.id) == {"a": 1}
    browser.get("/drop?more")
    assert stored(browser.id) == {"a": 2, "c": 3}
    browser.get("/clear")
    assert stored(browser.id) == {}


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
