"""For tests of the lock: application nodes in this process, requests side by side, holders that are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from servers import Memcached
from webclient import SECRET, show

from sharedsession import Session, SessionMiddleware, lock
from sharedsession.exchange import Visit
from sharedsession.lock import Holder, holder_of
from sharedsession.memcached.outcomes import Loaded

#: Seconds until a test gives up.
LONG = 60.0


def application_node(servers: Sequence[Memcached], app: Any = None, **options: Any) -> SessionMiddleware:
    """Return one application node; several have nothing in common but their memcacheds. Generous: machines are slow."""
    options = {"secret_key": SECRET, "timeout": 10, "connect_timeout": 10, "lock_timeout": LONG, **options}
    return SessionMiddleware(app, nodes=" ".join(server.node for server in servers), **options)


def new_session(node: SessionMiddleware, **attributes: Any) -> str:
    """Store a session; return its id."""
    visit = Visit(node.parts.policy, None)
    visit.session.update(attributes)
    session_id = visit.session.ensure_id()
    visit.save()
    return session_id


def request(node: SessionMiddleware, session_id: str) -> Session:
    """Return the session as one more request has it, without the request around it."""
    return Visit(node.parts.policy, session_id).session


def stored(node: SessionMiddleware, session_id: str) -> object:
    """Return what a request finds in the session."""
    return show(request(node, session_id))


def add(session: Session) -> None:
    """Add one, which is exact only if nobody else does at the same time."""
    session["n"] = session.get("n", 0) + 1


def both(*steps: Callable[[Session], object]) -> Callable[[Session], None]:
    """Return a function that does one after the other."""

    def do(session: Session) -> None:
        for step in steps:
            step(session)

    return do


def key_of(node: SessionMiddleware, session_id: str) -> str:
    """Return a session's storage key."""
    parsed: Any = node.parts.ids.parse(session_id)
    return str(parsed.key)


def holder(node: SessionMiddleware, session_id: str) -> Holder:
    """Return who has the session's lock; owner 0: nobody, or there is no such session."""
    found = node.parts.store.find(key_of(node, session_id))
    return (holder_of(found.record) if isinstance(found, Loaded) else None) or Holder(0, 0)


def owner_of(node: SessionMiddleware, session_id: str) -> int:
    """Return the owner of the session's lock; 0: it has none."""
    return holder(node, session_id).owner


class Stopped:
    """In place of what renews locks: nobody does, as in a process that gets no time (SIGSTOP)."""

    def keep(self, held: object) -> None:
        """Do nothing."""


@contextmanager
def stopped_holder(session: Session, lease: float = 0.2) -> Iterator[None]:
    """Lock the session, and show no sign of life; leases are short here."""
    with mock.patch.object(lock, "LEASE", lease):
        with mock.patch.object(lock, "_KEEPER", Stopped()):
            held = session.lock()
            held.__enter__()
        try:
            yield
        except BaseException as error:
            if not held.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            held.__exit__(None, None, None)


def wait_until(reached: Callable[[], object]) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)
