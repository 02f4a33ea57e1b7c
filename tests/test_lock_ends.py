"""`locking="writes"`: who is locked, and that every way in which a request can end lets the next one in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flask.testing import FlaskClient
from locks import LONG, Stopped, add, application_node, both, new_session, owner_of, request, stored, wait_until
from servers import Memcached
from webclient import SECRET, TEXT, Answer, Client, Server, commands, sent

from sharedsession import Session, SessionLockedError, SessionMiddleware, get_session, lock
from sharedsession.errors import RETRY_AFTER
from sharedsession.flask import SharedSession
from sharedsession.testing import in_memory

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


@pytest.fixture
def other(nodes: list[Memcached]) -> SessionMiddleware:
    """Return another application node, which looks on."""
    return application_node(nodes)


def answering(use: Callable[[Session], object], status: str = "200 OK") -> WSGIApplication:
    """Return an application that uses its session and answers with a list."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        use(get_session(environ))
        start_response(status, TEXT)
        return [b"done"]

    return app


Serve = Callable[..., "Served"]


class Served:
    """An application under `locking="writes"` with one session, and the other node that looks on."""

    def __init__(self, nodes: list[Memcached], other: SessionMiddleware, app: WSGIApplication, **options: Any) -> None:
        self.node = application_node(nodes, app, **{"locking": "writes", **options})
        self.other = other
        self.id = new_session(other, n=0)
        self.client = Client(self.node, {"JSESSIONID": self.id})

    def ask(self, method: str = "POST") -> Answer:
        """Send a request."""
        return self.client.get(method=method)

    def is_free(self) -> bool:
        """Say whether nobody has the lock, nor believes to have it."""
        return owner_of(self.other, self.id) == 0 and not any(held.held for held in lock._KEEPER._held)

    @property
    def stored(self) -> object:
        """What is stored."""
        return stored(self.other, self.id)


@pytest.fixture
def serve(nodes: list[Memcached], other: SessionMiddleware) -> Callable[..., Served]:
    """Return a function that serves an application: serve(app, **options)."""
    return lambda app, **options: Served(nodes, other, app, **options)


def ask_in_part(served: Served, method: str = "POST") -> Any:
    """Send a request; return the body as the server gets it."""
    return served.node(served.client.environ(method=method), Server().start)


# -- who is locked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "locks"),
    [("POST", True), ("PUT", True), ("PATCH", True), ("DELETE", True), ("GET", False), ("HEAD", False)],
)
def test_writes_have_the_session_for_themselves(serve: Serve, method: str, locks: bool) -> None:
    """A request that may write has the lock from its first use of the session to its commit; one that reads has not."""
    owners: list[int] = []

    def use(session: Session) -> None:
        add(session)
        owners.append(owner_of(served.other, served.id))

    served = serve(answering(use))
    assert served.ask(method).status == 200
    assert (bool(owners[0]), served.is_free(), served.stored) == (locks, True, {"n": 1})


@pytest.mark.parametrize("options", [{}, {"slide_always": True}], ids=["", "slide_always"])
def test_an_untouched_session_is_not_locked(serve: Serve, nodes: list[Memcached], options: dict[str, Any]) -> None:
    """A POST that leaves its session alone neither waits nor writes; without `slide_always` it asks nothing at all."""
    served = serve(answering(lambda session: None), **options)
    with request(served.other, served.id).lock():
        before = [commands(server) for server in nodes]
        assert served.ask().status == 200
        after = [sent(server, since) for server, since in zip(nodes, before, strict=True)]
    assert sum(each.writes for each in after) == 0
    assert bool(sum(each.reads for each in after)) == bool(options)


def test_a_new_session_is_not_locked(serve: Serve) -> None:
    """A POST that makes a session waits for nobody, and is not told to."""
    served = serve(answering(add))
    served.client.cookies.clear()
    assert served.ask().status == 200
    assert stored(served.other, served.client.id) == {"n": 1}
    assert served.node.stats() == {"created": 1}


def test_a_lock_costs_two_writes_a_copy(serve: Serve, nodes: list[Memcached]) -> None:
    """A POST that changes its session reads it once and writes it twice: to lock it, and to save and unlock it."""
    served = serve(answering(add))
    before = [commands(server) for server in nodes]
    assert served.ask().status == 200
    after = [sent(server, since) for server, since in zip(nodes, before, strict=True)]
    assert (sum(each.reads for each in after), sum(each.writes for each in after)) == (2, 4)


# -- ways out ----------------------------------------------------------------------------------------------------------


def raising_before(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Raise before the response has begun."""
    add(get_session(environ))
    raise LookupError


def raising_after(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Raise when the response has begun and nothing has left."""
    add(get_session(environ))
    start_response("200 OK", TEXT)
    raise LookupError


def leaving(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """End as a worker does that is told to stop."""
    add(get_session(environ))
    raise SystemExit


def bad_status(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer what is no HTTP status."""
    add(get_session(environ))
    start_response("fine", TEXT)
    return []


def body_raising(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Raise in the body, before anything has left."""
    add(get_session(environ))
    start_response("200 OK", TEXT)
    raise LookupError
    yield b""


FAILURES: dict[str, WSGIApplication] = {
    "exception before start_response": raising_before,
    "exception after start_response": raising_after,
    "SystemExit": leaving,
    "no status": bad_status,
    "exception in the body": body_raising,
    "unstorable": answering(lambda session: session.update(a=[object()])),
    "too large": answering(lambda session: session.update(a=random.randbytes(2_000_000))),
    "exception in a block": answering(lambda session: failing_block(session)),
}


def failing_block(session: Session) -> None:
    """Raise in a block of lock()."""
    with session.lock():
        add(session)
        raise LookupError


@pytest.mark.parametrize("failure", FAILURES)
def test_a_request_that_fails_saves_nothing_and_unlocks(serve: Serve, failure: str) -> None:
    """Whatever ends a request, an unstorable session included, the next one need not wait."""
    served = serve(FAILURES[failure])
    with suppress(Exception, SystemExit):
        assert served.ask().status >= 500
    assert served.is_free()
    assert served.stored == {"n": 0}


@pytest.mark.parametrize(("status", "saved"), [("500 Sorry", 0), ("503 Later", 0), ("404 Not Found", 1)])
def test_an_error_page_without_saving(serve: Serve, status: str, saved: int) -> None:
    """With `save_on_5xx=False` a 5xx saves nothing, and unlocks."""
    served = serve(answering(add, status), save_on_5xx=False)
    assert served.ask().status == int(status[:3])
    assert served.is_free()
    assert served.stored == {"n": saved}


def two_blocks(session: Session) -> None:
    """Use lock() in a request that has the lock, first without having used the session."""
    with session.lock(0):
        add(session)
        with session.lock(0):
            add(session)


def committing(session: Session) -> None:
    """Save in between, in a transaction too."""
    add(session)
    session.commit()
    session.transaction(add)
    assert session["n"] == 2


def failing_inside(session: Session) -> None:
    """Raise in a block, and go on."""
    add(session)
    with suppress(LookupError):
        failing_block(session)
    add(session)


SUCCESSES: dict[str, tuple[Callable[[Session], object], object]] = {
    "read": (lambda session: session.get("n"), {"n": 0}),
    "write": (add, {"n": 1}),
    "clear": (lambda session: session.clear(), {}),
    "log-out": (lambda session: session.invalidate(), {}),
    "log-out and more": (both(Session.invalidate, add), {}),
    "blocks": (two_blocks, {"n": 2}),
    "commits": (committing, {"n": 2}),
    "block that raises": (failing_inside, {"n": 2}),
}


@pytest.mark.parametrize("use", SUCCESSES)
def test_a_request_that_succeeds_unlocks(serve: Serve, use: str) -> None:
    """However a request has used its session, it saves and unlocks it, and waits for nobody, least of all itself."""
    do, result = SUCCESSES[use]
    served = serve(answering(do), lock_timeout=0.5)
    assert served.ask().status == 200
    assert served.is_free()
    assert served.stored == result
    assert not served.node.stats().keys() & {"locks_waited", "locks_refused", "locks_lost", "unavailable"}


def test_a_new_id_unlocks_too(serve: Serve) -> None:
    """change_id() under the lock carries the session to its new id, unlocked."""
    served = serve(answering(both(add, Session.change_id)))
    assert served.ask().status == 200
    assert served.client.id != served.id
    assert stored(served.other, served.client.id) == {"n": 1}
    assert owner_of(served.other, served.client.id) == 0
    assert served.is_free()


@pytest.mark.parametrize("end", ["invalidate", "clear", "change_id"])
def test_another_ends_or_moves_it(serve: Serve, end: str) -> None:
    """A log-out, or a new id, by a request without the lock: the answer is 200, and no lock is left where it is now."""

    def use(session: Session) -> None:
        add(session)
        getattr(rival, end)()
        rival.commit()

    served = serve(answering(use))
    rival = request(served.other, served.id)
    assert rival["n"] == 0
    assert served.ask().status == 200
    assert served.is_free()
    assert served.stored == {}
    if end == "change_id":
        assert (dict(request(served.other, rival.id or "")), owner_of(served.other, rival.id or "")) == ({"n": 1}, 0)
    assert "locks_lost" not in served.node.stats()


# -- bodies ------------------------------------------------------------------------------------------------------------


def streaming(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Add before the response begins, and once more while it is being sent."""
    session = get_session(environ)
    add(session)
    start_response("200 OK", TEXT)
    yield b"one"
    yield b"two"
    add(session)
    yield b"three"


def test_a_body_that_goes_on_with_the_session(serve: Serve) -> None:
    """The lock is given up when the headers leave, and taken again for what a body does with the session after that."""
    served = serve(streaming)
    body = ask_in_part(served)
    chunks = iter(body)
    assert next(chunks) == b"one"
    assert served.is_free()
    with request(served.other, served.id).lock() as session:
        add(session)
    assert next(chunks) == b"two"
    assert served.is_free()
    assert next(chunks) == b"three"
    assert not served.is_free()
    assert list(chunks) == []
    body.close()
    assert served.is_free()
    assert served.stored == {"n": 3}


@pytest.mark.parametrize("chunks", range(4))
def test_a_body_that_is_not_sent_to_its_end(serve: Serve, chunks: int) -> None:
    """Wherever a client leaves, closing the body gives the lock up; what has been done until then is saved."""
    served = serve(streaming)
    body = ask_in_part(served)
    for _ in zip(range(chunks), body, strict=False):
        pass
    body.close()
    assert served.is_free()
    assert served.stored == {"n": [0, 1, 1, 2][chunks]}


def blocks_in_the_body(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Be in a block when the headers leave, and once more later."""
    session = get_session(environ)
    start_response("200 OK", TEXT)
    with session.lock():
        add(session)
        yield b"one"
        session.commit()
        add(session)
        yield b"two"
    yield b"three"
    with session.lock():
        add(session)
        session.commit()
        yield b"four"
        add(session)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("chunks", range(6))
def test_blocks_in_a_body(serve: Serve, chunks: int, method: str) -> None:
    """A block that spans the sending of the headers, or begins after it, has the lock to its end."""
    served = serve(blocks_in_the_body)
    body = ask_in_part(served, method)
    for number, _ in enumerate(zip(range(chunks), body, strict=False), 1):
        assert served.is_free() == (number == 3)
    body.close()
    assert served.is_free()
    # A block that a client's leaving cuts off saves what it had committed itself.
    assert served.stored == {"n": [0, 1, 1, 2, 3, 4][chunks]}


def test_a_change_after_write(serve: Serve) -> None:
    """What an application changes after write(), which sends the headers, is saved under a lock of its own."""
    owners: list[int] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        add(session)
        write = start_response("200 OK", TEXT)
        write(b"one")
        owners.append(owner_of(served.other, served.id))
        add(session)
        owners.append(owner_of(served.other, served.id))
        return [b"two"]

    served = serve(app)
    assert served.ask().body == b"onetwo"
    assert (owners[0], owners[1] != 0, served.is_free()) == (0, True, True)
    assert served.stored == {"n": 2}


def test_a_late_change_that_cannot_be_stored(serve: Serve) -> None:
    """An unstorable change in a body raises when the body is closed, and unlocks."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"one"
        get_session(environ)["a"] = [object()]

    served = serve(app)
    with pytest.raises(TypeError):
        served.ask()
    assert served.is_free()
    assert served.stored == {"n": 0}


def test_a_session_looked_at_after_the_response(serve: Serve) -> None:
    """A test, or a log, that reads the session of a request that is over locks nobody out."""
    kept: list[Session] = []
    served = serve(answering(both(add, kept.append)))
    assert served.ask().status == 200
    assert kept[0]["n"] == 1
    assert served.is_free()


class CountedAtClose:
    """A body whose `close()` counts, as Flask's `call_on_close` does."""

    def __init__(self, session: Session, tell: Callable[[], object]) -> None:
        self._session = session
        self._tell = tell
        self._chunks = iter([b"one"])

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Count."""
        n = self._session["n"]
        self._tell()
        self._session["n"] = n + 1


@pytest.mark.parametrize("before", [False, True], ids=["", "used before"])
def test_a_body_that_uses_the_session_when_it_is_closed(serve: Serve, before: bool) -> None:
    """What closing a body does with the session is done under the lock too, and the lock is given up after that."""
    owners: list[int] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        if before:
            add(session)
        start_response("200 OK", TEXT)
        return CountedAtClose(session, lambda: owners.append(owner_of(served.other, served.id)))

    served = serve(app)
    assert served.ask().body == b"one"
    assert owners[0] != 0
    assert (served.is_free(), served.stored) == (True, {"n": 1 + before})


def test_requests_that_count_when_their_bodies_are_closed(serve: Serve) -> None:
    """However many requests use the session only when their bodies are closed, one does so after the other."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return CountedAtClose(get_session(environ), lambda: time.sleep(0.02))

    served = serve(app)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: served.ask(), range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert served.stored == {"n": 5}


def test_a_session_first_used_after_the_response(serve: Serve) -> None:
    """Nor does who uses, after the last byte of a body, a session that the request left alone."""
    kept: list[Session] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        kept.append(get_session(environ))
        start_response("200 OK", TEXT)
        yield b"one"

    served = serve(app)
    assert served.ask().body == b"one"
    assert [kept[0]["n"], kept[0]["n"]] == [0, 0]
    assert served.is_free()


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_unavailable", ["error", "empty"])
def test_a_request_that_waits_in_vain(serve: Serve, on_unavailable: str) -> None:
    """Whose session others keep locked gets 503 with Retry-After and keeps its cookie; never an empty session."""
    seen: list[object] = []
    served = serve(
        answering(lambda session: seen.append(session.get("n"))), lock_timeout=0.1, on_unavailable=on_unavailable
    )
    with request(served.other, served.id).lock():
        refused = served.ask()
        assert served.ask("GET").status == 200
    assert (refused.status, refused.get("Retry-After"), refused.set_cookie) == (503, str(RETRY_AFTER), None)
    assert seen == [0]
    assert served.node.stats() == {"locks_waited": 1, "locks_refused": 1}
    assert served.ask().status == 200


def test_an_application_that_goes_on_without(serve: Serve) -> None:
    """An application that ignores that it has not got the lock cannot use the session in this request."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        for use in (add, lambda s: s.clear(), lambda s: s.change_id(), lambda s: s.invalidate(), lambda s: s.commit()):
            with suppress(SessionLockedError, Exception):
                use(session)
        start_response("200 OK", TEXT)
        return [b""]

    served = serve(app, lock_timeout=0.1)
    with request(served.other, served.id).lock() as session:
        served.ask()
        add(session)
    assert served.stored == {"n": 1}


def test_a_lost_lock_is_a_503(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that lost its lock while it ran gets 503 with Retry-After, and saves nothing."""
    monkeypatch.setattr(lock, "LEASE", 0.1)
    monkeypatch.setattr(lock, "_KEEPER", Stopped())

    def use(session: Session) -> None:
        add(session)
        with request(served.other, served.id).lock() as rival:
            add(rival)

    served = serve(answering(use))
    answer = served.ask()
    assert (answer.status, answer.get("Retry-After"), answer.set_cookie) == (503, str(RETRY_AFTER), None)
    assert (served.stored, owner_of(served.other, served.id)) == ({"n": 1}, 0)
    assert served.node.stats() == {"locks_lost": 1}


def test_logged_out_while_waiting(serve: Serve) -> None:
    """A request whose session ends while it waits begins a new one, if it needs one: a log-in is not swallowed."""
    served = serve(answering(lambda session: session.update(user=session.get("n", "new"))))
    with ThreadPoolExecutor(1) as pool, request(served.other, served.id).lock() as session:
        asked = pool.submit(served.ask)
        wait_until(lambda: served.node.stats().get("locks_waited"))
        session.invalidate()
        session.commit()
        assert asked.result(LONG).status == 200
    assert stored(served.other, served.client.id) == {"user": "new"}
    assert served.client.id != served.id
    assert served.node.stats().items() >= {"locks_waited": 1, "ids_ended": 1, "created": 1}.items()


def test_the_store_fails_when_saving(serve: Serve, nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch) -> None:
    """When memcached fails before the session is saved, the answer is 503, and the lock ends with its lease."""
    monkeypatch.setattr(lock, "LEASE", 0.3)
    hung: list[Memcached] = []

    def use(session: Session) -> None:
        add(session)
        if not hung:
            for server in nodes:
                server.hang()
                hung.append(server)

    served = serve(answering(use), timeout=0.3, connect_timeout=0.3)
    answer = served.ask()
    for server in nodes:
        server.resume()
    assert (answer.status, answer.get("Retry-After")) == (503, str(RETRY_AFTER))
    wait_until(lambda: served.ask().status == 200)
    assert not any(held.held for held in lock._KEEPER._held)
    # What was sent before the nodes hung for good may have been done or not; nothing counts twice.
    assert served.stored in ({"n": 1}, {"n": 2})


# -- frameworks --------------------------------------------------------------------------------------------------------


def make_flask(nodes: list[Memcached], **options: Any) -> flask.Flask:
    """Return a Flask app under `locking="writes"`: POST /add, /fails and /stream."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    SharedSession(
        app, nodes=[server.node for server in nodes], timeout=10, connect_timeout=10, locking="writes", **options
    )

    @app.post("/add")
    def increment() -> str:
        add(flask.session)  # type: ignore[arg-type]
        return str(flask.session["n"])

    @app.post("/fails")
    def fails() -> str:
        increment()
        raise LookupError

    @app.post("/stream")
    def stream() -> Iterator[str]:
        return flask.stream_with_context(increment() for _ in range(2))

    @app.errorhandler(LookupError)
    def sorry(error: LookupError) -> tuple[str, int]:
        return f"sorry, {flask.session['n']}", 500

    return app


@pytest.fixture
def shop(nodes: list[Memcached], other: SessionMiddleware) -> tuple[FlaskClient, str]:
    """Return a client of a Flask app, and the id of its session."""
    client = make_flask(nodes, lock_timeout=0.5).test_client()
    session_id = new_session(other, n=0)
    client.set_cookie("JSESSIONID", session_id)
    return client, session_id


Shop = tuple[FlaskClient, str]


@pytest.mark.parametrize(("path", "text", "n"), [("/add", "1", 1), ("/fails", "sorry, 1", 1), ("/stream", "12", 2)])
def test_flask(shop: Shop, other: SessionMiddleware, path: str, text: str, n: int) -> None:
    """A Flask view, one with an error handler that uses the session, and a generator save and unlock at their end."""
    client, session_id = shop
    assert client.post(path).text == text
    assert (owner_of(other, session_id), stored(other, session_id)) == (0, {"n": n})


def test_flask_refuses(shop: Shop, other: SessionMiddleware) -> None:
    """A view whose session others keep locked becomes a 503 with Retry-After, in Flask's own error handling too."""
    client, session_id = shop
    shown = client.application.errorhandler(SessionLockedError)(lambda error: ("busy", 503, {"Retry-After": "9"}))
    assert shown is not None
    with request(other, session_id).lock():
        answers = [client.post("/add"), client.post("/add")]
    assert [(each.status_code, each.text, each.headers["Retry-After"]) for each in answers] == [(503, "busy", "9")] * 2
    assert client.post("/add").text == "1"


def test_flask_tests(shop: Shop, other: SessionMiddleware) -> None:
    """session_transaction() takes blocks of lock(), and a kept request context locks nobody out."""
    client, session_id = shop
    with client.session_transaction() as session, session.lock():  # type: ignore[attr-defined]
        add(session)  # type: ignore[arg-type]
        assert owner_of(other, session_id)
    assert (owner_of(other, session_id), stored(other, session_id)) == (0, {"n": 1})
    with client.session_transaction(method="POST") as session:
        add(session)  # type: ignore[arg-type]
        assert owner_of(other, session_id)
    assert (owner_of(other, session_id), stored(other, session_id)) == (0, {"n": 2})
    with client:
        assert client.post("/add").text == "3"
        assert flask.session["n"] == 3
        assert client.post("/add").text == "4"
        assert flask.session["n"] == 4
    assert owner_of(other, session_id) == 0


def test_sessions_in_memory() -> None:
    """In tests of applications the lock is as real as anywhere, and nothing of it is seen there."""
    options: dict[str, Any] = {"nodes": "n1:127.0.0.1:1", "locking": "writes", "lock_timeout": 0.1}
    app = SessionMiddleware(answering(add), secret_key=SECRET, **options)
    with in_memory(app) as sessions:
        session_id = sessions.create({"n": 0})
        client = Client(app, {"JSESSIONID": session_id})
        assert client.get(method="POST").status == 200
        assert (sessions.get(session_id), sessions.all()) == ({"n": 1}, [{"n": 1}])
        with sessions.open(session_id) as session, session.lock():
            assert client.get(method="POST").status == 503
            assert (sessions.get(session_id), sessions.all()) == ({"n": 1}, [{"n": 1}])
        sessions.advance(1000)
        assert client.get(method="POST").status == 200
        assert sessions.get(session_id) == {"n": 2}
