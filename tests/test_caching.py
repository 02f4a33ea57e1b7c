"""Vary and Cache-Control: one client's session must not come out of a shared cache for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from webclient import Client, checked, logged_in, page, put

if TYPE_CHECKING:
    from webclient import Headers

#: Cache-Control lines of the application, and the only line that is sent along with a cookie.
CACHE_CONTROL = [
    ([], "private"),
    (["public"], "private"),
    (["public, max-age=60"], "max-age=60, private"),
    (["Public, S-MaxAge=60, max-age=5"], "max-age=5, private"),
    (["max-age=60", "public"], "max-age=60, private"),
    (["no-store"], "no-store"),
    (["NO-STORE"], "NO-STORE"),
    (["private, max-age=60"], "private, max-age=60"),
    (["no-cache"], "no-cache"),
    (['no-cache="Set-Cookie"'], 'no-cache="Set-Cookie", private'),
    (['private="X-A", max-age=1'], 'private="X-A", max-age=1, private'),
    (["must-revalidate, s-maxage = 9"], "must-revalidate, private"),
]


@pytest.mark.parametrize(("lines", "expected"), CACHE_CONTROL, ids=[" + ".join(row[0]) for row in CACHE_CONTROL])
def test_cache_control_with_a_cookie(lines: list[str], expected: str) -> None:
    """A response that sets the cookie cannot be kept by a shared cache; what is strict enough stays as it is."""
    headers = [("Cache-Control", line) for line in lines]
    answer = Client(checked(page(put("a", 1), headers=headers))).get()
    assert answer.set_cookie is not None
    assert answer.get("Cache-Control") == expected


def test_cache_control_of_a_deleted_cookie() -> None:
    """The response that deletes the cookie is private too."""
    client = logged_in(checked(page(put("a", 1))), "/")
    client.app = checked(page(lambda session: session.invalidate()))
    assert client.get().get("Cache-Control") is None  # another embedded store: nothing was ended

    app = checked(page(lambda session: session.invalidate() if "a" in session else put("a", 1)(session)))
    client = logged_in(app, "/")
    answer = client.get()
    assert answer.set_cookie is not None
    assert answer.get("Cache-Control") == "private"


def test_cache_control_without_a_cookie() -> None:
    """A response that sets no cookie keeps its Cache-Control."""
    headers = [("Cache-Control", "public, s-maxage=60")]
    answer = Client(checked(page(lambda session: session.get("a"), headers=headers))).get()
    assert answer.set_cookie is None
    assert answer.get("Cache-Control") == "public, s-maxage=60"


VARY: list[tuple[Headers, list[str]]] = [
    ([], ["Cookie"]),
    ([("Vary", "Accept")], ["Accept, Cookie"]),
    ([("vary", "Accept-Encoding, Accept")], ["Accept-Encoding, Accept, Cookie"]),
    ([("Vary", "cookie")], ["cookie"]),
    ([("Vary", "Accept, COOKIE")], ["Accept, COOKIE"]),
    ([("Vary", "*")], ["*"]),
    ([("Vary", "")], ["Cookie"]),
    ([("Vary", "X-Cookie")], ["X-Cookie, Cookie"]),
]


@pytest.mark.parametrize(("headers", "expected"), VARY, ids=[str(row[0]) for row in VARY])
@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
def test_vary(headers: Headers, expected: list[str], write: bool) -> None:
    """A response whose request looked at the session says so in Vary, once."""
    view = put("a", 1) if write else (lambda session: session.get("a"))
    assert Client(checked(page(view, headers=headers))).get().all("Vary") == expected


def test_vary_untouched() -> None:
    """A response that does not depend on the session has no Vary, whatever cookie came."""
    assert Client(checked(page(repr))).get(cookie="JSESSIONID=" + "0" * 64).get("Vary") is None
