"""The session as a mapping, and what it tells of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from servers import Memcached
from webclient import Client, Commands, checked, commands, logged_in, page, pages, put, sent, stored_after

from sharedsession import Session

if TYPE_CHECKING:
    from webclient import View


def merge_in_place(session: Session) -> object:
    """Use |= on the session; return whether it is the same object."""
    same = session
    same |= {"c": 3}
    return same is session


def clear_and_set(session: Session) -> None:
    """Start over."""
    session.clear()
    session["c"] = 3


BASE = {"a": 1, "b": [2]}
OPERATIONS: dict[str, tuple[View, object, dict[str, Any]]] = {
    "getitem": (lambda s: s["a"], 1, BASE),
    "get": (lambda s: (s.get("a"), s.get("x"), s.get("x", 9)), (1, None, 9), BASE),
    "in": (lambda s: ("a" in s, "x" in s, 1 in cast("Any", s)), (True, False, False), BASE),
    "len": (len, 2, BASE),
    "bool": (bool, True, BASE),
    "iter": (lambda s: sorted(s), ["a", "b"], BASE),
    "keys": (lambda s: sorted(s.keys()), ["a", "b"], BASE),
    "values": (lambda s: list(s.values()), [1, [2]], BASE),
    "items": (lambda s: dict(s.items()), BASE, BASE),
    "equal": (lambda s: (s == BASE, s == {"a": 1}), (True, False), BASE),
    "copy": (lambda s: (s.copy(), type(s.copy())), (BASE, dict), BASE),
    "or": (lambda s: s | {"a": 5, "c": 3}, {"a": 5, "b": [2], "c": 3}, BASE),
    "ror": (lambda s: {"a": 5, "c": 3} | s, {"a": 1, "c": 3, "b": [2]}, BASE),
    "ior": (merge_in_place, True, {**BASE, "c": 3}),
    "setdefault": (lambda s: (s.setdefault("a", 9), s.setdefault("c", [])), (1, []), {**BASE, "c": []}),
    "setdefault, then changed": (lambda s: s.setdefault("c", []).append(1), None, {**BASE, "c": [1]}),
    "update": (lambda s: s.update({"a": 5}, c=3), None, {"a": 5, "b": [2], "c": 3}),
    "pop": (lambda s: (s.pop("a"), s.pop("x", 9)), (1, 9), {"b": [2]}),
    "popitem": (lambda s: sorted(s.popitem() for _ in range(len(s))), [("a", 1), ("b", [2])], {}),
    "delete and set": (lambda s: [s.pop("a"), s.update(a=7)], [1, None], {"a": 7, "b": [2]}),
    "clear": (lambda s: s.clear(), None, {}),
    "clear and set": (clear_and_set, None, {"c": 3}),
    "changed after being popped": (lambda s: s.pop("b").append(9), None, {"a": 1}),
    "delete while iterating": (lambda s: [s.pop(name) for name in s], [1, [2]], {}),
}


def test_nothing_is_kept_beside_the_mapping() -> None:
    """What is set on the object in place of an item is refused: it would be lost without a word."""

    def misspell(session: Any) -> object:
        with pytest.raises(AttributeError):
            session.user = "alice"
        with pytest.raises(AttributeError):
            session.max_inactive_intervall = 60
        return "refused"

    assert Client(checked(page(misspell))).get().text == "refused"


@pytest.mark.parametrize(("view", "result", "stored"), OPERATIONS.values(), ids=OPERATIONS)
def test_mapping(view: View, result: object, stored: dict[str, Any]) -> None:
    """The session behaves as a dict does, and the next request finds what was done."""
    assert stored_after(view) == (result, stored)


@pytest.mark.parametrize("view", [lambda s: s["x"], lambda s: s.pop("x"), lambda s: s.__delitem__("x")])
def test_missing(view: View) -> None:
    """A missing attribute is a KeyError of its name."""
    with pytest.raises(KeyError, match="'x'"):
        stored_after(view)


def test_same_object_within_a_request() -> None:
    """A container is the same object every time it is read, so a change in place is seen and kept."""

    def view(session: Session) -> object:
        session["b"].append(3)
        session["b"].append(4)
        return session["b"] is session["b"]

    assert stored_after(view) == (True, {"a": 1, "b": [2, 3, 4]})


def test_repr_says_nothing(memcached: Memcached) -> None:
    """The repr shows neither id nor values, before and after the load, and does not load."""
    client = logged_in(pages({"/login": put("secret_name", "secret_value"), "/repr": repr}, nodes=memcached.node))
    before = commands(memcached)
    text = client.get("/repr").text
    assert sent(memcached, before) == Commands(0, 0, 0)
    client.app = pages({"/repr": lambda session: (len(session), repr(session))}, nodes=memcached.node)
    text += client.get("/repr").text
    assert text.count("Session") == 2
    assert "secret" not in text
    assert client.id[:16] not in text


def test_untouched_by_what_only_asks(memcached: Memcached) -> None:
    """Asking whether it was used, setting modified or accessed, and repr cost nothing."""

    def view(session: Session) -> object:
        session.modified = True
        session.accessed = True
        return session.accessed, session.modified

    client = logged_in(pages({"/login": put("a", 1), "/": view}, nodes=memcached.node))
    before = commands(memcached)
    assert client.get("/").text == "(False, False)"
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_accessed_and_modified() -> None:
    """accessed is true after a read, modified after an assignment or a deletion."""

    def view(session: Session) -> object:
        states = [session["a"] and (session.accessed, session.modified)]
        session["a"] = 2
        states.append((session.accessed, session.modified))
        return states

    assert stored_after(view)[0] == [(True, False), (True, True)]


# -- what is known of it -------------------------------------------------------------------------------------------


def test_what_is_known() -> None:
    """id, is_new, source and available of a session before it is stored, and in the next request."""

    def view(session: Session) -> object:
        return session.id, session.is_new, session.source, session.available

    client = logged_in(pages({"/login": put("a", 1), "/": view}))
    assert client.get("/").text == f"('{client.id}', False, 'cookie', True)"
    assert Client(client.app).get("/").text == "(None, True, None, True)"


def test_ensure_id_tells_the_coming_id() -> None:
    """ensure_id tells the id that the cookie then carries, and keeps telling it."""
    client = Client(checked(page(lambda session: session.ensure_id() + " " + session.ensure_id())))
    answer = client.get()
    assert answer.text == f"{client.id} {client.id}"
    assert client.get().text == answer.text


def test_times(memcached: Memcached) -> None:
    """creation_time stays; last_accessed_time is that of the request before, told from the life left in memcached."""

    def times(session: Session) -> object:
        return session.creation_time, session.last_accessed_time

    now = time.time()
    client = Client(pages({"/login": lambda s: [times(s), s.update(a=1)], "/times": times}, nodes=memcached.node))
    first = eval(client.get("/login").text)[0]
    assert first == pytest.approx((now, now), abs=1.5)
    memcached.command(f"mg {client.key} T1700".encode())  # as if 100 seconds had gone by
    created, accessed = eval(client.get("/times").text)
    assert created == pytest.approx(now, abs=1.5)
    assert accessed == pytest.approx(created, abs=1.5)  # never before it was created

    created, accessed = eval(client.get("/times").text)
    assert accessed == pytest.approx(time.time(), abs=2.5)


@pytest.mark.parametrize("interval", [1, 60, 3600, 40 * 86400, None])
def test_max_inactive_interval(memcached: Memcached, interval: int | None) -> None:
    """The interval is kept with the session, is memcached's life of it, and another request reads it back."""
    client = logged_in(
        pages(
            {
                "/login": put("a", 1),
                "/set": lambda session: setattr(session, "max_inactive_interval", interval),
                "/get": lambda session: session.max_inactive_interval,
            },
            nodes=memcached.node,
        )
    )
    assert client.get("/get").text == "1800"
    client.get("/set")
    if interval != 1:
        assert client.get("/get").text == str(interval)
    left = int(memcached.command(f"mg {client.key} t".encode()).split()[1].removeprefix(b"t"))
    # memcached's clock ticks once a second; "never" is ten years.
    assert left == pytest.approx(interval or 10 * 365 * 86400, abs=3)


@pytest.mark.parametrize("interval", [0, -1, 1.5, "60", True, float("inf")])
def test_wrong_interval(interval: Any) -> None:
    """An interval that is no whole number of seconds from 1 is a ValueError that names it, and nothing changes."""

    def view(session: Session) -> object:
        with pytest.raises(ValueError, match="max_inactive_interval"):
            session.max_inactive_interval = interval
        return session.max_inactive_interval

    assert stored_after(view)[0] == 1800
