"""For tests in which memcached goes away: a client, and the 503 that it must get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servers import Memcached
from webclient import Answer, Client, logged_in, pages, put, show

from sharedsession import StoreUnavailableError
from sharedsession.errors import RETRY_AFTER

if TYPE_CHECKING:
    from webclient import View

#: Seconds in which a request must be answered whatever memcached does: a connection's and two answers' time-outs.
BOUND = 2.5
NODE_NAME = "node_in_the_cellar"


def application(server: Memcached, **options: Any) -> Client:
    """Return a logged-in client of an application with a view for every kind of use."""
    views: dict[str, View] = {
        "/login": put("a", 1),
        "/show": show,
        "/put": put("b", 2),
        "/logout": lambda session: session.invalidate(),
        "/move": lambda session: session.change_id(),
        "/none": lambda session: "untouched",
    }
    return logged_in(pages(views, nodes=server.node, **options))


def assert_refused(answer: Answer) -> None:
    """Check the whole 503."""
    assert answer.status == 503
    assert answer.text == StoreUnavailableError.description
    assert answer.get("Retry-After") == str(RETRY_AFTER)
    assert answer.get("Content-Length") == str(len(answer.body))
    assert answer.get("Cache-Control") == "no-store"
    assert answer.set_cookie is None
    assert NODE_NAME not in str(answer)
    assert "127.0.0.1" not in str(answer)
