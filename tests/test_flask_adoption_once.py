"""Flask: a signed cookie is taken over once, by whichever request comes first; then no copy of it brings it back."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask
from servers import Memcached, StartMemcached
from signedcookies import ANN, DELETED, MONTH, cookie, names, node, remaining, visitor
from webclient import SECRET, Client

from sharedsession.memcached.outcomes import Loaded
from sharedsession.memcached.store import Store
from sharedsession.record import SLACK, Changes


@pytest.fixture
def ann() -> str:
    """Return the signed cookie of a user."""
    return cookie({"_user_id": "ann", "cart": ["tea"]})


# -- first requests at one moment ----------------------------------------------------------------------------------


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let two requests both find nothing stored before either of them stores it."""
    both = threading.Barrier(2, timeout=30)
    create = Store.create

    def late(self: Store, key: str, changes: Changes, interval: int) -> Loaded:
        if not changes.empty:
            both.wait()
        return create(self, key, changes, interval)

    monkeypatch.setattr(Store, "create", late)
    yield
    both.abort()


def ask_together(clients: list[Client], *paths: str) -> None:
    """Have each client ask for its path, in threads."""
    asked = [threading.Thread(target=client.get, args=[path]) for client, path in zip(clients, paths, strict=True)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(60)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("_", range(5))
def test_two_first_requests_at_one_moment(nodes: list[Memcached], ann: str, _: int) -> None:
    """On two application nodes they end in one session under one id, and what each of them changed survives."""
    listed = " ".join(server.node for server in nodes)
    clients = [visitor(node(nodes=listed), ann) for _ in range(2)]
    for number, client in enumerate(clients):
        app: Any = client.app
        app.add_url_rule("/put", "put", lambda number=number: str(flask.session.update({f"by{number}": number})))
        app.add_url_rule("/add", "add", lambda: str(flask.session["cart"].append("cake")))
    ask_together(clients, "/put", "/add")
    assert clients[0].id == clients[1].id
    assert clients[0].get("/show").text == "{'_user_id': 'ann', 'by0': 0, 'cart': ['tea', 'cake']}"


@pytest.mark.usefixtures("together")
def test_first_request_beside_a_log_out(memcached: Memcached, ann: str) -> None:
    """A first request that runs beside another which logs out brings nothing back."""
    clients = [visitor(node(memcached), ann) for _ in range(2)]
    ask_together(clients, "/logout", "/show")
    for client in clients:
        assert client.get("/show").text == "{}"
        assert visitor(client.app, ann).get("/show").text == "{}"  # type: ignore[arg-type]


def test_log_out_between_question_and_answer(memcached: Memcached, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first request that found nothing stored, and is overtaken by one that goes in and out, brings nothing back."""
    create = Store.create

    def overtaken(self: Store, key: str, changes: Changes, interval: int) -> Loaded:
        monkeypatch.setattr(Store, "create", create)
        visitor(node(memcached), ann).get("/logout")
        return create(self, key, changes, interval)

    monkeypatch.setattr(Store, "create", overtaken)
    answer = visitor(node(memcached), ann).get("/show")
    assert (answer.text, names(answer)) == ("{}", ["session"])


# -- a cookie is spent ---------------------------------------------------------------------------------------------


def expire(memcached: Memcached, key: str) -> None:
    """Do what time does: a session that nobody used is no longer there."""
    assert memcached.command(f"md {key}".encode()) == b"HD\r\n"


@pytest.mark.parametrize("path", ["/logout", "/end", "/pop-user", "/change-id"])
def test_replay_after_a_log_out(memcached: Memcached, ann: str, path: str) -> None:
    """After a log-out, in whatever way, a copy of Flask's cookie brings nobody back: not at once, and on no node."""
    apps = [node(memcached), node(memcached)]
    client = visitor(apps[0], ann)
    client.get("/show")
    client.get(path)
    for app in apps:
        assert "ann" not in visitor(app, ann).get("/show").text


@pytest.mark.parametrize("path", ["/pop-user", "/show"])
def test_replay_after_the_session_expired(memcached: Memcached, ann: str, path: str) -> None:
    """Nor when the session has expired since: the log-out may have left other attributes, and no tombstone."""
    client = visitor(node(memcached), ann)
    client.get(path)
    expire(memcached, client.key)
    answer = visitor(node(memcached), ann).get("/show")
    assert answer.text == "{}"
    assert answer.all("Set-Cookie") == [DELETED]


def test_log_out_with_the_first_request(memcached: Memcached, ann: str) -> None:
    """A first request that logs out ends the session it has just taken over, for good."""
    client = visitor(node(memcached), ann)
    answer = client.get("/logout")
    assert names(answer) == ["JSESSIONID", "session"]
    assert client.cookies == {}
    assert visitor(node(memcached), ann).get("/show").text == "{}"


def test_log_in_with_the_first_request(memcached: Memcached, ann: str) -> None:
    """A first request that changes the id tells the new one; Flask's cookie does not lead there."""
    client = visitor(node(memcached), ann)
    client.get("/change-id")
    assert client.get("/show").text == ANN
    stranger = visitor(node(memcached), ann)
    answer = stranger.get("/login")
    assert names(answer) == ["session"]
    assert stranger.get("/show").text == "{}"


@pytest.mark.parametrize("change", ["{}=", "{}=!", "!!!!{}", "!!{}!!"])
def test_replay_in_another_spelling(memcached: Memcached, ann: str, change: str) -> None:
    """The signature's base64 can be written in several ways, and Flask reads them all: they are one cookie here."""
    head, _, signature = ann.rpartition(".")
    respelled = f"{head}.{change.format(signature)}"
    plain = Flask("shop")
    plain.secret_key = SECRET
    plain.add_url_rule("/show", "show", lambda: str(dict(sorted(flask.session.items()))))
    assert visitor(plain, respelled).get("/show").text == ANN
    visitor(node(memcached), ann).get("/logout")
    assert visitor(node(memcached), respelled).get("/show").text == "{}"


def test_replay_after_a_change_of_keys(memcached: Memcached) -> None:
    """A cookie that was spent under a former secret is spent under the present one."""
    former = "a former secret of these tests"
    old, new = node(memcached), node(memcached)
    old.secret_key = former
    new.config["SECRET_KEY_FALLBACKS"] = [former]
    value = cookie({"_user_id": "ann"}, former)
    client = visitor(old, value)
    client.get("/show")
    other = visitor(new, value)
    assert other.get("/show").text == "{'_user_id': 'ann'}"
    assert other.id[:32] == client.id[:32]
    other.get("/logout")
    assert visitor(new, value).get("/show").text == "{}"


def mark_of(value: str) -> str:
    """Return the storage key of the mark that the session in this cookie was taken over, under the test's secret."""
    derived = hmac.digest(SECRET.encode(), b"sharedsession.adopt.v1:sharedsession:", "sha256")
    token = hashlib.blake2b(value.rpartition(".")[0].encode(), key=derived, digest_size=16).hexdigest()
    return f"sharedsession:{hashlib.sha256(f'adopted:{token}'.encode()).hexdigest()}"


@pytest.mark.parametrize("limit", [None, 600])
def test_mark_outlives_the_cookie(memcached: Memcached, ann: str, limit: int | None) -> None:
    """The mark that a cookie is spent lasts as long as any cookie opens, whatever limits the life of sessions here."""
    visitor(node(memcached, max_lifetime=limit, max_inactive_interval=60), ann).get("/show")
    assert remaining(memcached, mark_of(ann)) == pytest.approx(MONTH + SLACK, abs=5)


def test_mark_that_was_not_written(memcached: Memcached, ann: str) -> None:
    """Where the session stands without its mark, because a node died in between, the next request writes that."""
    visitor(node(memcached), ann).get("/show")
    expire(memcached, mark_of(ann))
    client = visitor(node(memcached), ann)
    assert client.get("/show").text == ANN
    expire(memcached, client.key)
    assert visitor(node(memcached), ann).get("/show").text == "{}"


def test_replay_when_a_memcached_node_is_gone(start_memcached: StartMemcached, ann: str) -> None:
    """A memcached node that dies after the log-out takes neither the tombstone nor the mark with it."""
    servers = [start_memcached(name) for name in ("n1", "n2")]
    nodes = " ".join(server.node for server in servers)
    client = visitor(node(nodes=nodes), ann)
    client.get("/pop-user")
    for server in servers:
        server.command(f"md {client.key}".encode())
    for server in servers:
        server.restart()
        assert visitor(node(nodes=nodes), ann).get("/show").text == "{}"
