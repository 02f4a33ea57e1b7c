"""commit() and transaction() in the middle of a request."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from locks import application_node, new_session, request
from servers import Memcached
from webclient import SECRET, TEXT, Client, Commands, checked, commands, ending_in, logged_in, pages, put, sent, show

from sharedsession import Session, SessionMiddleware, get_session
from sharedsession.dialogue import Request, Requested, Shown, Tell
from sharedsession.life import Life

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from webclient import View


def increment(session: Session) -> int:
    """Count, for a transaction."""
    n = int(session.get("n", 0)) + 1
    session["n"] = n
    return n


def client_of(view: View, nodes: Any = None, *, known: bool = True) -> Client:
    """Return a client of an application: / is the view, /show shows; logged in with {"a": 1} if `known`."""
    client = Client(pages({"/login": put("a", 1), "/show": show, "/": view}, nodes=nodes))
    if known:
        client.get("/login")
    return client


# -- commit() ------------------------------------------------------------------------------------------------------


def test_commit_then_redirect(memcached: Memcached) -> None:
    """What commit() has saved is seen by another request before this one has answered; the redirect has the cookie."""
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        session["a"] = 1
        session.commit()
        seen.append(Client(client.app).get("/show", cookie=f"JSESSIONID={session.id}").text)
        start_response("302 Found", [*TEXT, ("Location", "/show")])
        return [b""]

    client = Client(checked(ending_in(app), nodes=memcached.node))
    before = commands(memcached)
    assert client.get("/").status == 302
    assert seen == ["{'a': 1}"]
    assert client.get("/show").text == "{'a': 1}"
    assert sent(memcached, before) == Commands(2, 1, 0)


def commit_twice(session: Session) -> None:
    """Save two changes one by one."""
    session["b"] = 2
    session.commit()
    session["c"] = 3
    session.commit()


def move_and_commit_twice(session: Session) -> None:
    """Change the id, save, and save again."""
    session.change_id()
    session.commit()
    commit_twice(session)


def change_and_transaction(session: Session) -> None:
    """Change something, then run two transactions."""
    session["b"] = 2
    session.transaction(increment)
    session.transaction(increment)


def end_and_commit(session: Session) -> None:
    """Log out and save, then look at the new session."""
    session.invalidate()
    session.commit()
    session.commit()
    assert "a" not in session


SAVED = [
    (commit_twice, {"b": 2, "c": 3}),
    (move_and_commit_twice, {"b": 2, "c": 3}),
    (change_and_transaction, {"b": 2, "n": 2}),
]


@pytest.mark.parametrize(("view", "added"), SAVED, ids=["commits", "moved", "transactions"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_client_is_told_after_several_commits(view: View, added: dict[str, int], known: bool) -> None:
    """However often a request saves, the client learns the id at the end of it."""
    client = client_of(view, known=known)
    client.get("/")
    assert client.get("/show").text == str({**({"a": 1} if known else {}), **added})


def test_client_is_told_of_an_early_end() -> None:
    """A log-out that was committed early expires the cookie at the end of the request."""
    client = client_of(end_and_commit)
    client.get("/")
    assert client.cookies == {}


def test_end_commit_and_use() -> None:
    """After a committed log-out the session is a new one: the client gets its id and the old one is dead."""

    def view(session: Session) -> None:
        end_and_commit(session)
        session["b"] = 2

    client = client_of(view)
    old = client.id
    client.get("/")
    assert client.get("/show").text == "{'b': 2}"
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_change_after_commit() -> None:
    """A container that was saved by commit() can be changed further, and is saved again."""

    def view(session: Session) -> None:
        session["list"] = [1]
        session.commit()
        session["list"].append(2)

    client = client_of(view)
    client.get("/")
    assert client.get("/show").text == "{'a': 1, 'list': [1, 2]}"


def test_commit_sees_the_others() -> None:
    """After commit() the request sees what other requests have saved meanwhile."""

    def view(session: Session) -> object:
        session["mine"] = 1
        client.get("/theirs")
        session.commit()
        return show(session)

    client = Client(pages({"/login": put("a", 1), "/theirs": put("theirs", 2), "/": view}))
    client.get("/login")
    assert client.get("/").text == "{'a': 1, 'mine': 1, 'theirs': 2}"


# -- transaction() -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_transaction_returns_the_result(known: bool) -> None:
    """transaction(fn) returns what fn returns, and has saved."""
    client = client_of(lambda session: session.transaction(increment), known=known)
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]


def test_transaction_meets_another(memcached: Memcached) -> None:
    """When another request comes first, fn runs again on what that one has saved; nothing is counted twice or lost."""
    runs: list[int] = []

    def contended(session: Session) -> object:
        runs.append(session.get("n", 0))
        if len(runs) == 1:
            assert client.get("/inc").text == "1"
        return increment(session)

    views: dict[str, View] = {
        "/login": put("a", 1),
        "/inc": lambda session: session.transaction(increment),
        "/": lambda session: session.transaction(contended),
        "/show": show,
    }
    client = logged_in(pages(views, nodes=memcached.node))
    assert client.get("/").text == "2"
    assert runs == [0, 1]
    assert client.get("/show").text == "{'a': 1, 'n': 2}"


def test_earlier_changes_are_saved_first() -> None:
    """What was changed before the transaction is saved even when fn raises."""

    def view(session: Session) -> object:
        session["before"] = 1
        with pytest.raises(LookupError):
            session.transaction(failing(increment))
        return show(session)

    client = client_of(view)
    assert client.get("/").text == "{'a': 1, 'before': 1}"
    assert client.get("/show").text == "{'a': 1, 'before': 1}"


def failing(action: View) -> View:
    """Return a function that does something to the session and raises."""

    def fn(session: Session) -> object:
        action(session)
        raise LookupError("no")

    return fn


ACTIONS: dict[str, View] = {
    "set": put("a", 2),
    "delete": lambda session: session.pop("a"),
    "in place": lambda session: session["deep"].append(2),
    "clear": lambda session: session.clear(),
    "interval": lambda session: setattr(session, "max_inactive_interval", 60),
    "invalidate": lambda session: session.invalidate(),
    "change_id": lambda session: session.change_id(),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_raising_saves_nothing(memcached: Memcached, action: View) -> None:
    """If fn raises, nothing of what it did is saved, whatever it did; the session stays as it was under its id."""

    def view(session: Session) -> object:
        with pytest.raises(LookupError):
            session.transaction(failing(action))
        return show(session), session.max_inactive_interval

    views: dict[str, View] = {"/login": lambda s: s.update(a=1, deep=[1]), "/": view, "/show": show}
    client = logged_in(pages(views, nodes=memcached.node))
    before = commands(memcached)
    answer = client.get("/")
    assert (answer.text, answer.set_cookie) == ("({'a': 1, 'deep': [1]}, 1800)", None)
    assert sent(memcached, before).writes == 0
    assert client.get("/show").text == "{'a': 1, 'deep': [1]}"


def test_raising_in_a_new_session_stores_none() -> None:
    """If fn raises in a request without a session, none is created."""

    def view(session: Session) -> None:
        with pytest.raises(LookupError):
            session.transaction(failing(lambda s: s.ensure_id()))

    assert client_of(view, known=False).get("/").set_cookie is None


def test_reading_transaction_costs_no_write(memcached: Memcached) -> None:
    """A transaction that changes nothing writes nothing."""
    client = client_of(lambda session: session.transaction(lambda s: s["a"]), memcached.node)
    before = commands(memcached)
    assert client.get("/").text == "1"
    assert sent(memcached, before) == Commands(1, 0, 0)


def test_transaction_that_logs_in(memcached: Memcached) -> None:
    """fn may change the id: the new id has what fn has set."""

    def log_in(session: Session) -> None:
        session.change_id()
        session["user"] = "u"

    client = client_of(lambda session: session.transaction(log_in), memcached.node)
    old = client.id
    client.get("/")
    assert client.id != old
    assert client.get("/show").text == "{'a': 1, 'user': 'u'}"
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_transaction_after_a_log_out_makes_no_session() -> None:
    """A transaction that finds its session logged out meanwhile stores nothing and gives the client no new one."""
    app = SessionMiddleware(lambda environ, start: [], secret_key=SECRET)
    manager = app.parts.policy.manager
    first = Session(Life(manager, Request()))
    first["user"] = "alice"
    first.commit()
    shown = [Requested(str(first.id), "cookie")]
    slow = Life(manager, Shown(shown))
    session = Session(slow)
    assert session["user"] == "alice"
    other = Session(Life(manager, Shown(shown)))
    other.invalidate()
    other.commit()
    session.transaction(lambda found: found.update(user="alice", n=1))
    assert slow.finish().tell is Tell.NOTHING
    assert app.stats()["created"] == 1


def test_many_transactions_cost_no_more_than_few(nodes: list[Memcached]) -> None:
    """The three-hundredth transaction of a session finds its copies equal: nothing has to be repaired."""
    node = application_node(nodes)
    session_id = new_session(node)
    for number in range(300):
        assert request(node, session_id).transaction(increment) == number + 1
    assert node.stats() == {"created": 1}


def test_transactions_of_one_process_wait_for_each_other(nodes: list[Memcached]) -> None:
    """Twenty at a time in one process hardly run into each other's compare-and-swap."""
    node = application_node(nodes)
    session_id = new_session(node)
    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(lambda _: request(node, session_id).transaction(increment), range(200))) == list(
            range(1, 201)
        )
    assert node.stats().get("transaction_retries", 0) < 150


def test_changes_of_one_process_wait_for_each_other(nodes: list[Memcached]) -> None:
    """Nor do the commits of twenty requests that had all read the session before; all that they set is there."""
    node = application_node(nodes)
    session_id = new_session(node)
    everyone = threading.Barrier(20)

    def change(number: int) -> None:
        session = request(node, session_id)
        session[f"k{number}"] = number
        everyone.wait(60)
        session.commit()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(change, range(20)))
    assert dict(request(node, session_id)) == {f"k{number}": number for number in range(20)}
    assert node.stats().get("conflicts", 0) < 60


def test_a_transaction_within_a_transaction(nodes: list[Memcached]) -> None:
    """One whose function changes the same session in another transaction does not wait for itself."""
    node = application_node(nodes)
    session_id = new_session(node)
    inner = request(node, session_id)

    def outer(session: Session) -> object:
        if "n" not in inner:
            inner.transaction(increment)
        return increment(session)

    assert request(node, session_id).transaction(outer) == 2
