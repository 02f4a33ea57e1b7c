"""Values of attributes as applications meet them: what comes back, and what is refused when."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup
from servers import Memcached
from webclient import logged_in, pages, put, show, stored_after

from sharedsession import Session, SessionTooLargeError, register_type

if TYPE_CHECKING:
    from webclient import View

BASE = {"a": 1, "b": [2]}


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**64,
    -(10**40),
    1.5,
    float("inf"),
    "",
    "\0 \u20ac \U0001f375",
    b"\0\xff",
    [1, [2, (3,)]],
    (1, (2,), [3]),
    {"a": {1: "int key", (1, 2): "tuple key", None: 0, b"k": 1.0}},
    {1, 2},
    frozenset({"x", ("y",)}),
    datetime(2024, 2, 29, 23, 59, 59, 999999),
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    date(1, 1, 1),
    time(12, 30, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    timedelta(days=-1, microseconds=1),
    UUID(int=2**128 - 1),
    Decimal("1.100"),
    Markup("<b>bold</b>"),
]


def typed(value: object) -> object:
    """Return the value with the types of everything in it."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(item) for item in value]
    return type(value), value, getattr(value, "fold", 0), str(getattr(value, "tzinfo", None))


def test_types_are_kept(memcached: Memcached) -> None:
    """Every value comes back from memcached in the same type, all the way down, alone and in a container."""
    stored = stored_after(lambda s: s.update(all=VALUES, **{f"v{i}": v for i, v in enumerate(VALUES)}), memcached.node)[
        1
    ]
    assert typed(stored["all"]) == typed(VALUES)
    assert [typed(stored[f"v{i}"]) for i in range(len(VALUES))] == [typed(value) for value in VALUES]


class Money:
    """A type of the application's."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    __hash__ = None  # type: ignore[assignment]


class Stranger:
    """A type that nobody registered."""


def test_registered_type(memcached: Memcached) -> None:
    """A registered type comes back as it was, also inside a container and changed in place."""
    register_type("tests.money", Money, lambda money: money.cents, Money)

    def view(session: Session) -> object:
        session["purse"] = {"coins": [Money(5)]}
        return None

    assert stored_after(view, memcached.node)[1]["purse"] == {"coins": [Money(5)]}

    def change(session: Session) -> None:
        session["one"].cents += 1

    views: dict[str, View] = {
        "/login": put("one", Money(1)),
        "/change": change,
        "/show": lambda session: session["one"].cents,
    }
    client = logged_in(pages(views, nodes=memcached.node))
    client.get("/change")
    assert client.get("/show").text == "2"


@pytest.mark.parametrize("value", [Stranger(), Stranger, object(), lambda: None, iter([]), bytearray(b"x")])
def test_wrong_type_at_assignment(value: object) -> None:
    """A value that cannot be stored is a TypeError at its assignment that names the attribute; the rest is saved."""

    def view(session: Session) -> object:
        session["good"] = 1
        with pytest.raises(TypeError, match="'cart'"):
            session["cart"] = value
        return "cart" in session

    assert stored_after(view) == (False, {**BASE, "good": 1})


@pytest.mark.parametrize("name", [1, None, b"a", ("a",)])
def test_wrong_name(name: Any) -> None:
    """A name that is no text is a TypeError at its assignment."""

    def view(session: Session) -> None:
        with pytest.raises(TypeError, match="named by text"):
            session[name] = 1

    assert stored_after(view)[1] == BASE


def test_wrong_type_at_commit(memcached: Memcached) -> None:
    """What a container holds is looked at when it is saved: a TypeError that names the attribute; nothing is stored."""
    views: dict[str, View] = {"/login": put("a", 1), "/bad": lambda s: s.update(b=2, cart=[Stranger()]), "/show": show}
    client = logged_in(pages(views, nodes=memcached.node))
    with pytest.raises(TypeError, match=r"'cart'.*Stranger"):
        client.get("/bad")
    assert client.get("/show").text == "{'a': 1}"


def test_too_large(memcached: Memcached) -> None:
    """A session that memcached has no room for raises an error that tells its size; what was stored stays."""
    views: dict[str, View] = {"/login": put("a", 1), "/big": put("big", os.urandom(2_000_000)), "/show": show}
    client = logged_in(pages(views, nodes=memcached.node))
    with pytest.raises(SessionTooLargeError) as caught:
        client.get("/big")
    assert caught.value.size > 1_000_000
    assert client.get("/show").text == "{'a': 1}"
