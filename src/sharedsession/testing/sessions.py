"""Gives an application sessions in this process for the length of a test, and the test a hand on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from ..assembly import VALUES, Parts, Reach, assemble
from ..attributes import Attributes
from ..config import MEMORY
from ..errors import ConfigError
from ..exchange import Visit
from ..ids import BadId
from ..memcached.commands import Answer, Command, Failed, Transport
from ..memcached.health import AlwaysUp
from ..memcached.outcomes import Loaded
from ..memory import MemoryTransport
from ..session import Session
from ..stats import Stats


@runtime_checkable
class Face(Protocol):
    """What serves sessions, such as a `SessionMiddleware`, and can be given other parts for a while."""

    @property
    def parts(self) -> Parts:
        """What it serves with; read from the configuration, if that has not happened."""
        ...

    def serve_with(self, parts: Parts) -> None:
        """Serve the next requests with these parts."""
        ...


class HasExtensions(Protocol):
    """A Flask app, whose `SharedSession` is found among its extensions."""

    extensions: dict[str, Any]


class Sessions:
    """The sessions of an application under test, as `in_memory` gives them.

    The clock shows the time at which the test began and stands still until `advance` or `now` sets it. What the test
    does here works during `unavailable()` too, prolongs nothing and moves none of the application's counters.
    """

    def __init__(self, parts: Parts, memory: _Memory, switch: _Switch, clock: _Clock) -> None:
        self._parts = parts
        self._memory = memory
        self._switch = switch
        self._clock = clock
        #: Name of the cookie that carries the id: `client.set_cookie(sessions.cookie_name, session_id)`.
        self.cookie_name: str = parts.config.cookie.name

    # -- sessions --------------------------------------------------------------------------------------------------

    def create(self, attributes: Mapping[str, Any] | None = None) -> str:
        """Store a new session; return its id, to be sent in a cookie.

        Args:
            attributes: what it holds; None: nothing.

        Raises:
            TypeError: an attribute cannot be stored.
        """
        visit = Visit(self._parts.policy, None)
        visit.session.update(attributes or {})
        session_id = visit.session.ensure_id()
        visit.save()
        return session_id

    def get(self, session_id: str) -> dict[str, Any] | None:
        """Return the attributes of a stored session; None when no live session has this id.

        An id that expired, was logged out or given up by `change_id()`, or that was never issued, has none.
        """
        parsed = self._parts.ids.parse(session_id)
        return None if isinstance(parsed, BadId) else self._read(parsed.key)

    def all(self) -> list[dict[str, Any]]:
        """Return the attributes of every live session, in the order in which they were stored first."""
        found = [self._read(key) for key in self._memory.stored() if not self._parts.ids.is_list(key)]
        return [attributes for attributes in found if attributes is not None]

    @contextmanager
    def open(self, session_id: str) -> Iterator[Session]:
        """Open a stored session as another request with this id in its cookie would; what is changed is saved.

            with sessions.open(session_id) as session:
                session.max_inactive_interval = 60

        Nothing is saved when the block raises.

        Raises:
            KeyError: no live session has this id.
        """
        visit = Visit(self._parts.policy, session_id, slide=False)
        if visit.session.is_new:
            raise KeyError("no live session has this id")
        yield visit.session
        visit.save()

    def _read(self, key: str) -> dict[str, Any] | None:
        found = self._parts.store.load(key, slide=False)
        if not isinstance(found, Loaded):
            return None
        attributes = Attributes(VALUES, found.record.entries)
        return {name: attributes.get(name) for name in attributes.names()}

    # -- clock and faults ------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time that the application's sessions live by, in seconds since the epoch. Settable."""
        return self._clock.now

    @now.setter
    def now(self, seconds: float) -> None:
        self._clock.now = seconds

    def advance(self, seconds: float) -> None:
        """Let time pass: what nobody used for that long expires.

        Raises:
            ValueError: the number of seconds is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards ({seconds!r} seconds); set `now` if that is meant")
        self._clock.now += seconds

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Let the application find no memcached node inside the block; what was stored is there again after it."""
        before, self._switch.off = self._switch.off, True
        try:
            yield
        finally:
            self._switch.off = before


#: What the fixture `shared_sessions` is: called with an application, it does what `in_memory` does until the test ends.
UseSessions = Callable[[Face | HasExtensions], Sessions]


@contextmanager
def in_memory(app: Face | HasExtensions) -> Iterator[Sessions]:
    """Let an application keep its sessions in this process inside the block; everything else is as configured.

    No memcached node is asked or connected to, whatever `nodes` says. Every block begins without sessions, and at its
    end the application has its own again.

    Args:
        app: a `SessionMiddleware`, or a Flask app with `SharedSession`. The options are read now, if they were not yet.

    Raises:
        ConfigError: the application has no sessions of this library, or its options are wrong.
    """
    face = _face_of(app)
    own = face.parts
    clock = _Clock()
    memory = _Memory(clock)
    switch = _Switch(memory)
    face.serve_with(_rebuild(own, switch, clock))
    try:
        yield Sessions(_rebuild(own, memory, clock), memory, switch, clock)
    finally:
        face.serve_with(own)


def _face_of(app: Face | HasExtensions) -> Face:
    extensions = getattr(app, "extensions", None)
    found = extensions.get("sharedsession") if isinstance(extensions, dict) else app
    if not isinstance(found, Face):
        raise ConfigError(
            "app",
            f"a {type(app).__name__} without sessions of this library; give the SessionMiddleware itself, not what is "
            "around it, or a Flask app with SharedSession",
        )
    return found


def _rebuild(own: Parts, transport: Transport, clock: _Clock) -> Parts:
    """Build the same parts, whatever the face has put into them, with another way to the nodes and another clock."""
    # One node has one copy, whatever the real ones have.
    config = replace(own.config, nodes=MEMORY, copies=1, required_copies=1)
    fresh = assemble(config, reach=Reach(Stats(), transport, AlwaysUp()), clock=clock)
    manager = own.policy.manager.over(fresh.store, fresh.stats, clock, fresh.policy.manager.principals)
    return replace(fresh, policy=own.policy.over(manager))


class _Clock:
    """Seconds since the epoch; stands still until it is set."""

    def __init__(self) -> None:
        self.now: float = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


class _Memory(MemoryTransport):
    """The store in this process, which tells what lies in it."""

    def stored(self) -> list[str]:
        """Return the storage keys, of tombstones and expired sessions too."""
        with self._lock:
            return list(self._items)


class _Switch:
    """The application's way to the store, which can be cut."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.off: bool = False

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Pass the commands on, or say that nobody answers."""
        if self.off:
            return [Failed("made unavailable by the test") for _ in requests]
        return self._transport.ask(requests)

    def close(self) -> None:
        """Do nothing: there are no connections."""
