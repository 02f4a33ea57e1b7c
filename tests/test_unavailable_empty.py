"""on_unavailable="empty": reads see an empty session while memcached is away, writes still raise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from outage import BOUND, NODE_NAME, application, assert_refused
from servers import Memcached
from webclient import pages, put, show

from sharedsession import Session, StoreUnavailableError

if TYPE_CHECKING:
    from webclient import View


@pytest.fixture
def server(start_memcached: Any) -> Memcached:
    """Return a memcached whose name must not be seen by clients."""
    started: Memcached = start_memcached(NODE_NAME)
    return started


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_empty(server: Memcached, fault: str) -> None:
    """With "empty" a read sees an empty session that says it is not available; the cookie is not touched."""
    client = application(server, on_unavailable="empty")
    client.app = pages(
        {"/": lambda session: (show(session), session.available)}, nodes=server.node, on_unavailable="empty"
    )
    assert client.get("/").text == "({'a': 1}, True)"
    server.kill() if fault == "killed" else server.hang()
    begun = time.monotonic()
    answer = client.get("/")
    assert time.monotonic() - begun < BOUND
    assert (answer.text, answer.set_cookie) == ("({}, False)", None)
    if fault == "hung":
        server.resume()
        assert client.get("/").text == "({'a': 1}, True)"


WRITES: dict[str, View] = {
    "set": put("b", 2),
    "invalidate": lambda session: session.invalidate(),
    "clear": lambda session: session.clear(),
    "change_id": lambda session: session.change_id(),
    "ensure_id": lambda session: session.ensure_id(),
    "interval": lambda session: setattr(session, "max_inactive_interval", 60),
    "transaction": lambda session: session.transaction(lambda s: s.update(b=2)),
    "setdefault": lambda session: session.setdefault("b", 2),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_empty_writes(server: Memcached, write: View) -> None:
    """With "empty" whatever would have to be stored still raises, which is the 503; the cookie is not touched."""
    client = application(server, on_unavailable="empty")
    client.app = pages({"/": write}, nodes=server.node, on_unavailable="empty")
    server.kill()
    assert_refused(client.get("/"))
    assert client.cookies


def test_empty_write_after_read(server: Memcached) -> None:
    """With "empty" an application that catches the error of a write keeps its answer."""

    def view(session: Session) -> object:
        with pytest.raises(StoreUnavailableError):
            session["b"] = session.get("a")
        session.commit()
        return session.copy()

    client = application(server, on_unavailable="empty")
    client.app = pages({"/": view}, nodes=server.node, on_unavailable="empty")
    server.kill()
    assert client.get("/").text == "{}"
