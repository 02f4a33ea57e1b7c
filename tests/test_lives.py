"""How long things live: neither a client's other cookies nor a poller's read change the life of a record."""

from __future__ import annotations

import pytest
from servers import Memcached
from webclient import SECRET, Client, pages, show

from sharedsession.ids import IdFactory
from sharedsession.session import Session

IDS = IdFactory((SECRET.encode(),), "sharedsession:", "")
MONTH = 31 * 86400


def long_lived(session: Session) -> object:
    """Make a session that lives a month."""
    session["a"] = 1
    session.max_inactive_interval = MONTH
    return "made"


def end(session: Session) -> object:
    """Log out."""
    session.invalidate()
    return "ended"


def life(node: Memcached, session_id: str) -> int:
    """Return the remaining life in seconds of the record under an id."""
    key = IDS.storage_key(session_id[:32])
    reply = node.command(f"mg {key} t".encode())
    return int(reply.split()[1][1:])


@pytest.fixture
def client(memcached: Memcached) -> Client:
    """Return a client of an application whose sessions usually live a minute."""
    return Client(
        pages({"/long": long_lived, "/show": show, "/end": end}, nodes=memcached.node, max_inactive_interval=60)
    )


def another_id(client: Client) -> str:
    """Return the id of one more session."""
    other = Client(client.app)
    other.get("/long")
    return other.id


def test_a_second_cookie_leaves_the_session_behind_it_its_life(client: Client, memcached: Memcached) -> None:
    """Of two live sessions the first counts, and the second keeps the life it had."""
    client.get("/long")
    second = another_id(client)
    assert client.get("/show", cookie=f"JSESSIONID={client.id}; JSESSIONID={second}").text == "{'a': 1}"
    assert life(memcached, second) > MONTH - 60
    assert life(memcached, client.id) > MONTH - 60


def test_a_second_cookie_leaves_a_tombstone_its_life(client: Client, memcached: Memcached) -> None:
    """A tombstone outlives every copy that it must defeat, whatever ids come along with it."""
    client.get("/long")
    ended, live = client.id, another_id(client)
    client.get("/end")
    for cookie in (f"JSESSIONID={live}; JSESSIONID={ended}", f"JSESSIONID={ended}; JSESSIONID={live}"):
        assert client.get("/show", cookie=cookie).text == "{'a': 1}"
        assert life(memcached, ended) > MONTH + 300 - 60


def test_a_pollers_repair_does_not_prolong(nodes: list[Memcached]) -> None:
    """A read that must not keep the session alive puts a missing copy back with the life that the other has left."""
    addresses = [node.node for node in nodes[:2]]
    client = Client(pages({"/long": long_lived, "/show": show}, nodes=addresses, max_inactive_interval=60))
    client.get("/long")
    key = IDS.storage_key(client.id[:32])
    nodes[0].command(f"mg {key} T100".encode())
    nodes[1].command(f"md {key}".encode())
    client.defaults = {"sharedsession.slide": False}
    assert client.get("/show").text == "{'a': 1}"
    assert [life(node, client.id) <= 100 for node in nodes[:2]] == [True, True]
