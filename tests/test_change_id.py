"""change_id(): the new id has the data, the old one is worth nothing, and late requests do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers import Memcached, StartMemcached
from webclient import Client, logged_in, pages, put, show

from sharedsession import Session
from sharedsession.record import MOVE_GRACE

if TYPE_CHECKING:
    from webclient import View


def log_in(session: Session) -> None:
    """Log in, as an application should."""
    session.change_id()
    session["user"] = "u"


def slow_write(session: Session) -> None:
    """Write to a session that another request moves meanwhile."""
    session["slow"] = session.get("a")
    WHILE[0].get("/log_in")


def slow_log_out(session: Session) -> None:
    """Log out of a session that another request moves meanwhile."""
    assert session["a"] == 1
    WHILE[0].get("/log_in")
    session.invalidate()


def slow_transaction(session: Session) -> None:
    """Run a transaction on a session that another request moves meanwhile."""

    def fn(session: Session) -> None:
        if session.get("user") is None:
            WHILE[0].get("/log_in")
        session["counted"] = session["a"] + 1

    session.transaction(fn)


def slow_log_in(session: Session) -> None:
    """Log in to a session that another request moves meanwhile."""
    session["second"] = session["a"]
    WHILE[0].get("/log_in")
    session.change_id()


#: Who sends the requests that come in between.
WHILE: list[Client] = []


@pytest.fixture(params=[1, 2], ids=["one-copy", "two-copies"])
def client(request: pytest.FixtureRequest, start_memcached: StartMemcached) -> Client:
    """Return a client that has the session {"a": 1}."""
    servers: list[Memcached] = [start_memcached(f"n{number + 1}") for number in range(request.param)]
    views: dict[str, View] = {
        "/login": put("a", 1),
        "/log_in": log_in,
        "/show": show,
        "/put": put("late", 1),
        "/slow": slow_write,
        "/slow_logout": slow_log_out,
        "/slow_transaction": slow_transaction,
        "/slow_log_in": slow_log_in,
        "/logout": lambda session: session.invalidate(),
        "/ensure": lambda session: session.ensure_id(),
        "/transaction": lambda session: session.transaction(put("late", 1)),
    }
    cookie = {"max_age": 600} if "max_age" in request.node.name else {}
    made = logged_in(pages(views, nodes=[server.node for server in servers], cookie=cookie))
    WHILE[:] = [made]
    return made


def test_old_and_new_id(client: Client) -> None:
    """At once the new id has the data, all of it, and the old one none."""
    old = client.id
    client.get("/log_in")
    assert client.id != old
    assert client.id[:32] != old[:32]
    assert client.get("/show").text == "{'a': 1, 'user': 'u'}"
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_fixation(client: Client) -> None:
    """Who planted an id before the log-in sees nothing of what comes after it."""
    planted = Client(client.app, {"JSESSIONID": client.id})
    client.get("/log_in")
    client.get("/put")
    assert planted.get("/show").text == "{}"


@pytest.mark.parametrize("path", ["/put", "/ensure", "/transaction", "/logout", "/show"])
def test_late_request_gets_no_cookie(client: Client, path: str) -> None:
    """A late request with the old id sets no cookie: it would overwrite the one that the log-in is bringing."""
    old = client.id
    client.get("/log_in")
    late = client.get(path, cookie=f"JSESSIONID={old}")
    assert late.status == 200
    assert late.set_cookie is None
    assert client.get("/show").text == "{'a': 1, 'user': 'u'}"


def test_late_log_in_gets_its_cookie(client: Client) -> None:
    """A late request with the old id that itself logs in gets a session of its own."""
    old = client.id
    client.get("/log_in")
    other = Client(client.app, {"JSESSIONID": old})
    assert other.get("/log_in").set_cookie is not None
    assert other.id not in (old, client.id)
    assert other.get("/show").text == "{'user': 'u'}"


def test_old_id_is_unknown_in_the_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace time the old id is like any unknown one: a request with it may get a new session."""
    old = client.id
    client.get("/log_in")
    monkeypatch.setattr("sharedsession.memcached.store.MOVE_GRACE", -1)
    assert MOVE_GRACE == 30
    other = Client(client.app, {"JSESSIONID": old})
    assert other.get("/put").set_cookie is not None
    assert other.get("/show").text == "{'late': 1}"


def test_write_that_was_on_its_way(client: Client) -> None:
    """A request that had read the session before the log-in saves to it after, without a cookie."""
    old = client.id
    answer = client.get("/slow")
    assert answer.set_cookie is None
    assert client.id != old
    assert client.get("/show").text == "{'a': 1, 'slow': 1, 'user': 'u'}"
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_log_out_that_was_on_its_way(client: Client) -> None:
    """A log-out by a request that had read the session before the log-in ends it under its new id too."""
    client.get("/slow_logout")
    assert client.get("/show").text == "{}"


def test_transaction_that_was_on_its_way_with_max_age(client: Client) -> None:
    """A transaction that meets a log-in runs again on the moved session, and does not send the old id again."""
    old = client.id
    slow = Client(client.app, {"JSESSIONID": old})
    assert slow.get("/slow_transaction").set_cookie is None
    assert client.id != old
    assert client.get("/show").text == "{'a': 1, 'counted': 2, 'user': 'u'}"


def test_write_that_was_on_its_way_with_max_age(client: Client) -> None:
    """A request whose session was moved meanwhile does not prolong the old id's cookie."""
    slow = Client(client.app, {"JSESSIONID": client.id})
    assert slow.get("/slow").set_cookie is None


def test_two_log_ins_at_once(client: Client) -> None:
    """Of two log-ins that overlap the first to be saved has the session; the other's change follows it there."""
    old = client.id
    loser = Client(client.app, {"JSESSIONID": old})
    assert loser.get("/slow_log_in").set_cookie is None
    assert client.get("/show").text == "{'a': 1, 'second': 1, 'user': 'u'}"
    assert loser.get("/show").text == "{}"


def test_change_id_of_a_new_session(client: Client) -> None:
    """change_id() before anything is stored is what a log-in does: one session, one cookie."""
    stranger = Client(client.app)
    assert stranger.get("/log_in").set_cookie is not None
    assert stranger.get("/show").text == "{'user': 'u'}"
