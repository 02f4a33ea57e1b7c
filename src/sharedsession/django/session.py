"""The session as Django knows it: a `SessionBase` over our session, in the middleware or as an engine of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self, TypeVar, cast

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError

from ..assembly import Parts
from ..exchange import Exchange, Visit
from ..session import Session
from . import types as types  # registers Django's own
from .expiry import EXPIRY, ends_with_browser, interval_of, is_over
from .options import DjangoSession, current_parts

T = TypeVar("T")
_RAISE = object()
#: Characters of a key that Django takes for one.
_SHORTEST = 8


class SessionStore(SessionBase):
    """`request.session`, and the engine's store: the shared session with everything that Django's code expects.

    Besides Django's own methods there are those of `Session`: `transaction`, `lock`, `ensure_id`, `is_new`, `source`,
    `available`, `creation_time`, `last_accessed_time`; `shared` is that session itself.

    Args:
        session_key: the id, as a cookie brought it; None: a new session.
        exchange: the request that it belongs to; None: it stands alone, and is saved by `save`.

    Raises (on first access):
        StoreUnavailableError: memcached is away.
    """

    def __init__(self, session_key: str | None = None, *, exchange: Exchange | None = None) -> None:
        self._exchange = exchange
        self._visit: Visit | None = exchange
        # The key that this was given; in a request the client's ids are asked in its place.
        self._given: str | None = None
        # What "modified" was set to; None: the session knows by itself.
        self._flag: bool | None = None
        self._deleted = False
        self._flushed_nothing = False
        self._expiry_before: object = None
        super().__init__(session_key)
        self._flag = None

    # -- the session behind it -------------------------------------------------------------------------------------

    @property
    def exchange(self) -> Exchange | None:
        """The request that it belongs to; None where it stands alone."""
        return self._exchange

    @cached_property
    def _parts(self) -> Parts:
        """The settings that this began with, though a test may have changed them since."""
        return current_parts()

    @property
    def visit(self) -> Visit:
        """The session as the library opened it."""
        if self._visit is None:
            self._visit = Visit(self._parts.policy, self._given)
        return self._visit

    @property
    def shared(self) -> Session:
        """The library's own session under this one."""
        return self.visit.session

    def _get_session(self, no_load: bool = False) -> Any:
        """Return the attributes, loaded; Django's own methods all go through here."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache = self._opened()
        return self._session_cache

    _session = property(_get_session)

    async def _aget_session(self, no_load: bool = False) -> Any:
        if not hasattr(self, "_session_cache"):
            await sync_to_async(self._get_session)(no_load)
        return self._get_session(no_load)

    def _loaded(self) -> Session:
        self._get_session()
        return self.shared

    def _opened(self) -> Session:
        session = self.shared
        self._expiry_before = session.get(EXPIRY)
        if is_over(self._expiry_before):
            session.invalidate()
            self.visit.save()
        return session

    # -- the key ---------------------------------------------------------------------------------------------------

    def _known_key(self) -> str | None:
        """Return the key as far as it is known without asking the store."""
        return self.shared.id if self.visit.session.accessed else self._given

    def _set_key(self, value: str | None) -> None:
        if self._exchange is not None:
            return  # the id is the library's
        self._given = value if value and len(value) >= _SHORTEST else None
        self._visit = None
        self.__dict__.pop("_session_cache", None)

    _session_key = property(_known_key, _set_key)

    @property
    def session_key(self) -> str | None:
        """The session id, `<64 hex>` or `<64 hex>.<route>`; None while there is no session.

        In a request it is that of a live session, never just what the client claims. It changes with `cycle_key`,
        and with `sticky=True` or a new SECRET_KEY its ending may change: to keep track of a visitor in a table of
        yours, put a key of your own into the session.
        """
        if self._exchange is not None:
            self._get_session()
        return self._known_key()

    def is_empty(self) -> bool:
        """Return True when there is no session key and the session is empty."""
        if self._exchange is not None:
            return not self.session_key and not self._session
        return super().is_empty()

    @property
    def flushed_nothing(self) -> bool:
        """True when `flush` found no session and there is none yet: what the client's cookie names had ended before."""
        return self._flushed_nothing and self.is_empty()

    # -- modified --------------------------------------------------------------------------------------------------

    @property
    def modified(self) -> bool:
        """True when there is something to save; changes inside lists and dicts are noticed by themselves.

        Set it to False to have the changes of this request dropped, as in Django; to True never needs to be said.
        """
        if self._flag is not None:
            return self._flag
        return self._visit is not None and self._visit.changed()

    @modified.setter
    def modified(self, value: bool) -> None:
        # False is a decision only where there is something to drop: `modified = modified or ...` is none.
        self._flag = True if value else (False if self.modified else None)

    # -- mapping ---------------------------------------------------------------------------------------------------

    def pop(self, key: str, default: Any = _RAISE) -> Any:
        """Remove an attribute and return its value, or the default."""
        if key in self._session:
            self._flag = True
        return self._session.pop(key) if default is _RAISE else self._session.pop(key, default)

    async def apop(self, key: str, default: Any = _RAISE) -> Any:
        """As `pop`."""
        await self._aget_session()
        return self.pop(key, default)

    def clear(self) -> None:
        """Delete every attribute for good, also what a concurrent request is writing."""
        self._session.clear()
        self._flag = True

    # -- life cycle ------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Get a new key and save the session under it; attributes set before stay."""
        if self.shared.is_new:
            self.shared.ensure_id()
        elif self._exchange is None:
            data = dict(self.shared) if hasattr(self, "_session_cache") else {}
            self._session_key = None
            self.shared.update(data)
            self.shared.ensure_id()
        else:
            self.shared.change_id()
        self._save()
        self._flag = True

    def save(self, must_create: bool = False) -> None:
        """Save now.

        Raises:
            CreateError: it must be new, and is not.
            UpdateError: it was deleted meanwhile, or (engine only) another request gave it a new key.
            StoreUnavailableError, SessionTooLargeError, TypeError: see `Session.commit`.
        """
        if self._deleted:
            raise UpdateError
        if must_create and not self.shared.is_new:
            raise CreateError
        if self.shared.is_new:
            self.create()
            return
        if not self._save() or (self._exchange is None and self.shared.id is None):
            raise UpdateError

    def prepare(self) -> None:
        """Get ready for being saved with the response: after this nothing of Django's is left to do.

        Raises:
            UpdateError: it was changed after it was deleted.
        """
        if self._flag:
            self._get_session()  # "modified = True" prolongs a session that was not looked at
        if not self.shared.accessed or self.visit.failure is not None:
            return
        if self._flag is False:
            self.visit.revert()
        elif self._deleted and self.modified:
            raise UpdateError
        elif self._flag or self.shared.modified:
            self._keep_time()

    def _save(self) -> bool:
        self._keep_time()
        return self.visit.save()

    def _keep_time(self) -> None:
        """Let the session live as long as `set_expiry`, or SESSION_COOKIE_AGE, says."""
        expiry = self._session.get(EXPIRY)
        if expiry != self._expiry_before and ends_with_browser(expiry) and not self.shared.is_new:
            # The browser's cookie may have an age, which only another cookie takes from it.
            cast("DjangoSession", self.shared).tell_again()
        interval = interval_of(self.get_expiry_age())
        if (self.shared.max_inactive_interval or interval_of(self.get_session_cookie_age())) != interval:
            self.shared.max_inactive_interval = interval

    def delete(self, session_key: str | None = None) -> None:
        """End a session for good, this one if no key is given; an unknown key is no error."""
        key = session_key or self.session_key
        self._deleted = self._deleted or (key is not None and key == self.session_key)
        if key:
            doomed = Visit(self._parts.policy, key, slide=False)
            doomed.session.invalidate()
            doomed.save()

    def flush(self) -> None:
        """End the session for good and go on with a new, empty one: log out. Takes effect at once."""
        self._get_session()
        nothing = self.shared.is_new
        self.shared.invalidate()
        self.visit.save()
        self._flushed_nothing = nothing
        self._given = self._expiry_before = None
        self._deleted = False
        self._flag = True

    def cycle_key(self) -> None:
        """Give the session a new key and keep its attributes; the old key is dead."""
        self._get_session()
        self.shared.change_id()
        if self.shared.is_new:
            self.shared.ensure_id()
        if self._exchange is None:
            self._save()
        self._flag = True

    async def aflush(self) -> None:
        """As `flush`."""
        await sync_to_async(self.flush)()

    async def acycle_key(self) -> None:
        """As `cycle_key`."""
        await sync_to_async(self.cycle_key)()

    def exists(self, session_key: str | None) -> bool:
        """Say whether there is a live session of this key; does not prolong it."""
        found = Visit(self._parts.policy, session_key, slide=False).session
        return not (found.is_new or is_over(found.get(EXPIRY)))

    def load(self) -> dict[str, Any]:
        """Return what is stored now, apart from what this object holds; {} and no key when nothing is."""
        found = Visit(self._parts.policy, self.session_key).session
        if found.is_new or is_over(found.get(EXPIRY)):
            self._session_key = None
            return {}
        return dict(found)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: memcached drops expired sessions itself."""

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session lasts unless `set_expiry` says otherwise (SESSION_COOKIE_AGE)."""
        return self._parts.config.max_inactive_interval or interval_of(2**40)

    # -- what the library adds -------------------------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """See `Session.is_new`."""
        return self._loaded().is_new

    @property
    def source(self) -> str | None:
        """See `Session.source`."""
        return self._loaded().source

    @property
    def available(self) -> bool:
        """See `Session.available`."""
        return self._loaded().available

    @property
    def creation_time(self) -> float:
        """See `Session.creation_time`."""
        return self._loaded().creation_time

    @property
    def last_accessed_time(self) -> float:
        """See `Session.last_accessed_time`."""
        return self._loaded().last_accessed_time

    @property
    def principal(self) -> str | None:
        """See `Session.principal`; the log-in sets it to the text of the user's primary key."""
        return self._loaded().principal

    @principal.setter
    def principal(self, name: str | None) -> None:
        self._loaded().principal = name

    @property
    def principal_session(self) -> int | None:
        """See `Session.principal_session`."""
        return self._loaded().principal_session

    def ensure_id(self) -> str:
        """See `Session.ensure_id`."""
        return self._loaded().ensure_id()

    def transaction(self, fn: Callable[[Session], T]) -> T:
        """See `Session.transaction`: `fn` is given the library's session."""
        return self._loaded().transaction(fn)

    @contextmanager
    def lock(self, timeout: float | None = None) -> Iterator[Self]:
        """See `Session.lock`; what the block changes is saved at its end."""
        with self._loaded().lock(timeout):
            yield self

    def __repr__(self) -> str:
        """Never show the key or a value, and never load."""
        return f"<{type(self).__name__} {'in use' if self.accessed else 'not loaded'}>"
