"""What the application holds: a dict of attributes with the life cycle of a session. Knows neither store nor HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from .dialogue import Source
from .facade import Facade
from .record import FOREVER

T = TypeVar("T")


class Session(Facade, MutableMapping[str, Any]):
    """The session of one client: a dict that every application node sees.

    Nothing is asked of memcached until the session is first read or written, and it is saved before the first byte of
    the response leaves. Values keep their types (see `ValueCodec`); a change inside a list or dict is noticed by
    itself. Changes to different attributes by concurrent requests all survive; within one attribute the last writer
    wins, and `transaction` is for what must be exact. An object belongs to one request: neither keep nor share it.

    Raises (on first access):
        StoreUnavailableError: memcached is away; with `on_unavailable="empty"` only writes raise.
    """

    # No dict: what is set on the object itself would be lost, so `session.user = ...` is an AttributeError.
    __slots__ = ("__weakref__",)

    # -- mapping ---------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        return self._life.attributes.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._life.writable.set(name, value)

    def __delitem__(self, name: str) -> None:
        self._life.writable.delete(name)

    # Mapping's own two would go by way of an exception, for a name that is not there.

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or the default where there is none."""
        return self._life.attributes.find(name, default)

    def __contains__(self, name: object) -> bool:
        return self._life.attributes.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._life.attributes.names()))

    def __len__(self) -> int:
        return sum(1 for _ in self._life.attributes.names())

    def clear(self) -> None:
        """Delete every attribute for good: what a concurrent request writes without having seen this goes too."""
        self._life.writable.clear()

    def __copy__(self) -> Self:
        return self  # as a dict's copy can be had by `copy()`; there is but one session

    def copy(self) -> dict[str, Any]:
        """Return the attributes as a plain dict (the values themselves are not copied)."""
        return dict(self)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other)

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | dict(self)

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        """Never show the id or a value, and never load."""
        return f"<{type(self).__name__} {'in use' if self.accessed else 'not loaded'}>"

    # -- what is known of it ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The session id, `<64 hex>` or `<64 hex>.<route>`; None while no session is stored or needed."""
        return self._life.id

    @property
    def is_new(self) -> bool:
        """True when the client showed no id of a live session (or it was invalidated in this request)."""
        return self._life.is_new

    @property
    def source(self) -> Source | None:
        """How the id came: "cookie", "url", "form"; None for a new session."""
        return self._life.source

    @property
    def available(self) -> bool:
        """False when memcached was away (only seen with `on_unavailable="empty"`); loads the session."""
        _ = self._life.attributes
        return self._life.available

    @property
    def creation_time(self) -> float:
        """When the session was created, in seconds since the epoch; for a new one: now."""
        return self._life.creation_time

    @property
    def last_accessed_time(self) -> float:
        """When it was last used before this request, in seconds since the epoch, exact to about a second."""
        return self._life.last_accessed_time

    @property
    def max_inactive_interval(self) -> int | None:
        """Seconds without a request after which the session ends; None: never. Settable; saved with the session.

        Raises:
            ValueError: set to something else than None or a whole number of seconds from 1 to ten years.
        """
        return self._life.interval or None

    @max_inactive_interval.setter
    def max_inactive_interval(self, seconds: int | None) -> None:
        if seconds is not None and (type(seconds) is not int or not 1 <= seconds <= FOREVER):
            raise ValueError(f"max_inactive_interval {seconds!r} is not None or whole seconds from 1 to {FOREVER}")
        self._life.writable.interval = seconds or 0

    @property
    def principal(self) -> str | None:
        """The authenticated user's name, or what names them for good; None: nobody. Settable; saved with the session.

        From then on `middleware.sessions` knows the session as the principal's, on every node: to show a user their
        devices, and to log them out everywhere. Django's and Flask-Login's log-in set it. Log-in also needs
        `change_id()`. A `clear()` takes it away.

        Raises:
            TypeError: set to something else than text or None.
        """
        return self._life.principal

    @principal.setter
    def principal(self, name: str | None) -> None:
        self._life.name(name)

    @property
    def principal_session(self) -> int | None:
        """What names this session among its principal's; None: it has none. For `Sessions`."""
        return self._life.principal_session

    @property
    def accessed(self) -> bool:
        """True once the session was read or written in this request."""
        return self._begun is not None and self._life.accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        # Frameworks set this when they hand the session out; only a real access costs anything here.
        pass

    @property
    def modified(self) -> bool:
        """True once an attribute was assigned or deleted in this request.

        Setting it is allowed, for code written for other libraries, and never needed: changes are noticed.
        """
        return self.accessed and self._life.attributes.touched()

    @modified.setter
    def modified(self, value: bool) -> None:
        pass

    # -- life cycle ------------------------------------------------------------------------------------------------

    def ensure_id(self) -> str:
        """Return the id, of a new session too; that is then stored even if it stays empty.

        Except under an id that was given up by `change_id` less than 30 seconds ago: nothing a late request makes of a
        new session is stored then, nor sent: its cookie would overwrite the one that the log-in's response brings. Nor
        in a POST from another site that shows no cookie, unless `change_id` is called, nor where `may_create` refuses.
        """
        return self._life.ensure_id()

    def invalidate(self) -> None:
        """End the session for good (log out). This object is a new, empty session from now on.

        The tombstone is written when the response's headers leave; nothing brings the old session back after that.
        """
        self._life.invalidate()

    def change_id(self) -> None:
        """Give the session a new id and let the old one die: call it whenever privileges change (log in).

        Attributes stay. Against session fixation: an id known before the log-in is worth nothing after it.
        """
        self._life.change_id()

    def commit(self) -> None:
        """Save now, instead of when the response's headers leave.

        Raises:
            StoreUnavailableError, SessionTooLargeError: it was not saved.
            HeadersSentError: it needs a cookie, but the headers have left.
            TypeError: an attribute holds something that cannot be stored.
        """
        self._life.commit()

    def check_values(self) -> None:
        """Encode what changed without saving it; if that cannot be done, this request's changes are dropped.

        Raises:
            TypeError: an attribute holds something that cannot be stored; names it.
        """
        if self._begun is not None:
            self._life.check_values()

    def transaction(self, fn: Callable[[Any], T]) -> T:
        """Run `fn(session)` so that its changes depend on exactly what it read, and save them; return its result.

        `fn` may run several times, each time on the newest data, and takes effect exactly once: keep other effects
        out of it. What was changed before is saved first. If `fn` raises, nothing of it is saved. If the session has
        ended meanwhile, by another request's log-out, nothing is saved either.

            session.transaction(lambda s: s.update(n=s.get("n", 0) + 1))

        Raises:
            StoreUnavailableError: it was not saved on enough copies; whether on any, nobody can say.
        """
        return self._life.transaction(lambda: fn(self))

    @contextmanager
    def lock(self, timeout: float | None = None) -> Iterator[Self]:
        """Have the session for this request alone while a block runs; the block sees its newest state.

            with session.lock():
                session["n"] += 1

        What was changed before is saved first, and what the block changes is saved at its end; if it raises, nothing
        of it is saved. The lock keeps out those who ask for it too (this, and `locking="writes"`), not others. It is
        renewed while it is held; when its holder dies, it is free after five seconds. Blocks may be nested.

        Args:
            timeout: seconds to wait for it; None: `lock_timeout`.

        Raises:
            SessionLockedError: others had it all that time, or it was lost; nothing of the block is saved.
            StoreUnavailableError: memcached is away.
        """
        with self._life.lock(timeout):
            yield self
