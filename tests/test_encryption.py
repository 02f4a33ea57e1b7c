"""`encrypt=True` over real memcached: switched on and off, and secrets changed, under running sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from intruder import look
from locks import application_node, new_session, request, stored
from servers import Memcached
from webclient import SECRET, Client, page, put

from sharedsession import ConfigError, Session, SessionMiddleware, cipher

CANARY = "a word that must not be seen"
NEW_SECRET = "another secret, the new one of the tests"


def contents(nodes: Sequence[Memcached]) -> list[bytes]:
    """Return all values that the nodes hold."""
    return [item.value for item in look(nodes)]


@pytest.mark.parametrize("encrypt", [False, True])
def test_memcached_holds_nothing_that_can_be_read(nodes: list[Memcached], encrypt: bool) -> None:
    """With encryption no attribute's name or value is found in memcached; without, they are (the check sees them)."""
    node = application_node(nodes, encrypt=encrypt)
    session_id = new_session(node, **{"secret-name": CANARY})
    held = b"".join(contents(nodes))
    assert (CANARY.encode() in held, b"secret-name" in held) == (not encrypt, not encrypt)
    assert stored(node, session_id) == {"secret-name": CANARY}
    assert session_id[:32].encode() not in held


def test_equal_copies_stay_equal(nodes: list[Memcached]) -> None:
    """Encrypted copies are equal bytes after every kind of change, so a read asks two nodes and repairs nothing."""
    node = application_node(nodes, encrypt=True)
    session_id = new_session(node, n=0)
    for _ in range(3):
        request(node, session_id).transaction(lambda session: session.update(n=session["n"] + 1))
        session = request(node, session_id)
        session["m"] = session["n"]
        session.commit()
    assert len(set(contents(nodes))) == 1
    assert node.stats() == {"created": 1}


@pytest.mark.parametrize("encrypt", [True, False])
def test_it_can_be_switched_while_sessions_live(nodes: list[Memcached], encrypt: bool) -> None:
    """Nodes with encryption and without serve the same sessions, so it is switched on, or off, node by node."""
    old, new = application_node(nodes, encrypt=not encrypt), application_node(nodes, encrypt=encrypt)
    session_id = new_session(old, a=CANARY)
    for node in (new, old, new, old):
        session = request(node, session_id)
        session["n"] = session.get("n", 0) + 1
        session.commit()
    assert stored(new, session_id) == stored(old, session_id) == {"a": CANARY, "n": 4}


def test_reading_encrypts_what_is_not(nodes: list[Memcached]) -> None:
    """A session stored before encryption was switched on is encrypted at its next use, though nothing is changed."""
    session_id = new_session(application_node(nodes), a=CANARY)
    assert stored(application_node(nodes, encrypt=True), session_id) == {"a": CANARY}
    assert not any(CANARY.encode() in value for value in contents(nodes))


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_new_secret_logs_nobody_out(nodes: list[Memcached], encrypt: bool) -> None:
    """A client who came by while both secrets were known is still logged in when the old one has been removed."""

    def node(secret: str, *fallbacks: str) -> SessionMiddleware:
        show = page(lambda session: dict(session))
        return application_node(nodes, show, secret_key=secret, secret_key_fallbacks=fallbacks, encrypt=encrypt)

    old = application_node(nodes, page(put("user", "ann")), encrypt=encrypt)
    client, other = Client(old), Client(old)
    for each in (client, other):
        each.get("/")
    client.app = node(NEW_SECRET, SECRET)
    assert client.get("/").text == "{'user': 'ann'}"
    client.app = other.app = node(NEW_SECRET)
    assert client.get("/").text == "{'user': 'ann'}"
    assert other.get("/").text == "{}"  # what was not used in between is not ours any more


def test_nodes_may_know_the_new_secret_first(nodes: list[Memcached]) -> None:
    """While the new secret is rolled out as a fallback, nodes of before and after serve each other's sessions."""
    before = application_node(nodes, secret_key_fallbacks=[NEW_SECRET], encrypt=True)
    after = application_node(nodes, secret_key=NEW_SECRET, secret_key_fallbacks=[SECRET], encrypt=True)
    for maker, reader in ((before, after), (after, before)):
        session_id = new_session(maker, a=1)
        assert stored(reader, session_id) == stored(maker, session_id) == {"a": 1}


def test_without_the_package_it_fails_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`encrypt=True` where the package cryptography is missing is a ConfigError that says what to install."""
    monkeypatch.setattr(cipher, "INSTALLED", False)
    with pytest.raises(ConfigError, match=r"encrypt: needs .*pip install 'sharedsession\[encrypt\]'"):
        SessionMiddleware(page(dict), secret_key=SECRET, encrypt=True)


def test_a_node_that_cannot_decrypt_destroys_nothing(nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, an encrypted session is 503, not a new one in its place; elsewhere it lives on."""
    show = page(lambda session: dict(session))
    session_id = new_session(application_node(nodes, encrypt=True), a=1)
    node = application_node(nodes, show)
    with monkeypatch.context() as patch:
        patch.setattr(cipher, "INSTALLED", False)
        answer = Client(node, {"JSESSIONID": session_id}).get("/")
        assert (answer.status, answer.set_cookie) == (503, None)
    assert Client(node, {"JSESSIONID": session_id}).get("/").text == "{'a': 1}"


def test_sessions_in_memory() -> None:
    """The store in this process encrypts as well: one code for both."""

    def count(session: Session) -> Any:
        session["n"] = session.get("n", 0) + 1
        return session["n"]

    client = Client(SessionMiddleware(page(count), secret_key=SECRET, encrypt=True))
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]
