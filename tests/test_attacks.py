"""An intruder with full access to memcached, but without the secret, on live nodes: what holds, and what does not.

They may delete sessions, and put back an older version on every copy of one. They cannot read (with encryption),
forge or swap, nor have anything run.
"""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from intruder import Item, look, replace, write
from locks import application_node, key_of, new_session, request, stored
from servers import Memcached

from sharedsession import SessionMiddleware

CANARY = "a word that must not be seen"


@pytest.fixture(params=[False, True], ids=["signed", "encrypted"])
def node(nodes: list[Memcached], request: pytest.FixtureRequest) -> SessionMiddleware:
    """Return an application node over three memcached nodes."""
    return application_node(nodes, encrypt=request.param)


def of(node: SessionMiddleware, session_id: str, items: list[Item]) -> list[Item]:
    """Return a session's copies among the items."""
    return [item for item in items if item.key == key_of(node, session_id)]


def flip(position: int) -> Callable[[bytes], bytes]:
    """Return what changes one bit, counted from the end."""
    return lambda value: value[: -position - 1] + bytes([value[-position - 1] ^ 1]) + value[len(value) - position :]


def forged(value: bytes) -> bytes:
    """Return a record of the intruder's making with a head like the real one's."""
    body: bytes = msgpack.packb([1, [0, 9, 9], 9, {"admin": [9, 9, b"\xc3", 0, 0]}, [], 0, "", 0, [9, "n1"], [], False])
    return value[:3] + b"\0" + len(body).to_bytes(4, "big") + value[8:16] + body + bytes(16)


class Run:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "a bit of the MAC": flip(0),
    "a bit of the body": flip(30),
    "a bit of the head": lambda value: value[:3] + bytes([value[3] ^ 1]) + value[4:],
    "said to be plain, or encrypted": lambda value: value[:3] + bytes([value[3] ^ 2]) + value[4:],
    "cut": lambda value: value[:-1],
    "longer": lambda value: value + b"\0",
    "nothing": lambda value: b"",
    "forged": forged,
    "a pickle": lambda value: pickle.dumps(Run()),
    "a zip bomb": lambda value: value[:3] + b"\1" + value[4:16] + zlib.compress(bytes(10_000_000)),
    "another format": lambda value: b"SS\0" + value[3:],
}


@pytest.mark.parametrize("change", WRITTEN)
def test_what_was_written_on_one_copy_is_healed(nodes: list[Memcached], node: SessionMiddleware, change: str) -> None:
    """Whatever an intruder puts in place of one copy, the other is served, and takes its place again."""
    session_id = new_session(node, a=CANARY)
    before = of(node, session_id, look(nodes))
    replace(before[:1], WRITTEN[change])
    assert stored(node, session_id) == {"a": CANARY}
    after = of(node, session_id, look(nodes))
    assert [item.node for item in after] == [item.node for item in before]
    assert len({item.value for item in after}) == 1


@pytest.mark.parametrize("change", WRITTEN)
def test_what_was_written_on_every_copy_is_not_served(
    nodes: list[Memcached], node: SessionMiddleware, change: str
) -> None:
    """Where every copy was written over, the session is gone: deleting is what an intruder can do, not more."""
    session_id = new_session(node, a=CANARY)
    replace(of(node, session_id, look(nodes)), WRITTEN[change])
    assert stored(node, session_id) == {}


def test_nobody_gets_anothers_session(nodes: list[Memcached], node: SessionMiddleware) -> None:
    """The record of one session under the key of another, on every node, is served to nobody."""
    victim, thief = new_session(node, user="ann"), new_session(node, user="thief")
    for item in of(node, victim, look(nodes)):
        for each in nodes:
            write(each, key_of(node, thief), item.value)
    assert stored(node, thief) == {}
    assert stored(node, victim) == {"user": "ann"}


def test_an_older_version_loses_against_a_newer_copy(nodes: list[Memcached], node: SessionMiddleware) -> None:
    """A version that is put back on one copy loses against the other, which may be the mark of a log-out."""
    session_id = new_session(node, n=1)
    old = of(node, session_id, look(nodes))
    session = request(node, session_id)
    session["n"] = 2
    session.commit()
    write(old[0].node, old[0].key, old[0].value)
    assert stored(node, session_id) == {"n": 2}
    session = request(node, session_id)
    session.invalidate()
    session.commit()
    write(old[1].node, old[1].key, old[1].value)
    assert stored(node, session_id) == {}


def test_an_older_version_on_every_copy_is_what_it_was(nodes: list[Memcached], node: SessionMiddleware) -> None:
    """What does not hold: whoever replaces every copy at once can put a session back to an earlier state of its own."""
    session_id = new_session(node, n=1)
    old = of(node, session_id, look(nodes))
    session = request(node, session_id)
    session["n"] = 2
    session.commit()
    replace(old, lambda value: old[0].value)
    assert stored(node, session_id) == {"n": 1}


def test_a_plain_version_takes_encryption_back_nowhere(nodes: list[Memcached]) -> None:
    """A version from before encryption, put back on a copy, is not what is served, and is encrypted over at once."""
    plain, encrypting = application_node(nodes), application_node(nodes, encrypt=True)
    session_id = new_session(plain, a=CANARY)
    old = of(plain, session_id, look(nodes))
    session = request(encrypting, session_id)
    session["a"] = "new"
    session.commit()
    write(old[0].node, old[0].key, old[0].value)
    assert stored(encrypting, session_id) == {"a": "new"}
    assert not any(CANARY.encode() in item.value for item in look(nodes))


def test_planted_keys_make_no_session(nodes: list[Memcached], node: SessionMiddleware) -> None:
    """A record under a key of the intruder's own choice is no session: the id that leads there needs a signature."""
    session_id = new_session(node, user="ann")
    value = of(node, session_id, look(nodes))[0].value
    for each in nodes:
        write(each, "sharedsession:" + hashlib.sha256(b"0" * 32).hexdigest(), value)
    before = [each.stats()["cmd_get"] + each.stats()["cmd_touch"] for each in nodes]
    assert stored(node, "0" * 64) == {}
    assert [each.stats()["cmd_get"] + each.stats()["cmd_touch"] for each in nodes] == before
