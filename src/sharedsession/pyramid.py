"""Pyramid: `config.set_session_factory(session_factory)` makes `request.session` one session on every node."""

from __future__ import annotations

import secrets
from typing import Any, cast

from pyramid.interfaces import ISession
from zope.interface import classImplements

from .errors import ConfigError
from .middleware import get_session
from .session import Session

# Names of Pyramid's own session, so that its helpers and an application that moves here find what they know.
_FLASH = "_f_"
_CSRF_TOKEN = "_csrft_"  # noqa: S105  # an attribute's name


class PyramidSession(Session):
    """`request.session`: our session with the rest of Pyramid's `ISession`, and its methods for CSRF tokens."""

    __slots__ = ()

    def __init__(self, session: Session) -> None:
        super().__init__(session._life)  # noqa: SLF001  # the same session under another class
        _ = self._life  # has begun: what was done by way of the other is known here

    @property
    def created(self) -> int:
        """When the session was created, in whole seconds since the epoch; for a new one: now."""
        return int(self.creation_time)

    @property
    def new(self) -> bool:
        """Same as `is_new`."""
        return self.is_new

    def changed(self) -> None:
        """Do nothing: a change inside a value is noticed by itself."""

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Append a message to a queue that `pop_flash` empties, in this request or a later one.

        Args:
            msg: text, or anything that can be stored.
            queue: name of the queue.
            allow_duplicate: False: not if the same message is in the queue already.
        """
        messages = self.setdefault(_FLASH + queue, [])
        if allow_duplicate or msg not in messages:
            messages.append(msg)

    def pop_flash(self, queue: str = "") -> list[Any]:
        """Return the messages of a queue, the oldest first, and remove them."""
        return cast("list[Any]", self.pop(_FLASH + queue, []))

    def peek_flash(self, queue: str = "") -> list[Any]:
        """Return the messages of a queue, the oldest first, and leave them there."""
        return cast("list[Any]", self.get(_FLASH + queue, []))

    def new_csrf_token(self) -> str:
        """Store and return a new random CSRF token, in place of the one before."""
        token = self[_CSRF_TOKEN] = secrets.token_hex(20)
        return token

    def get_csrf_token(self) -> str:
        """Return the session's CSRF token; a new one if there is none."""
        return self.get(_CSRF_TOKEN) or self.new_csrf_token()


classImplements(PyramidSession, ISession)


def session_factory(request: Any) -> PyramidSession:
    """Return the request's session: the one of the innermost `SessionMiddleware` around the Pyramid application.

        config.set_session_factory(session_factory)
        application = SessionMiddleware(config.make_wsgi_app(), nodes=...)

    Asks nothing of the store.

    Raises:
        ConfigError: no middleware is around the application, or its `ignore_paths` covers the request's path.
    """
    try:
        session = get_session(request.environ)
    except KeyError as error:
        example = "SessionMiddleware(config.make_wsgi_app(), ...)"
        raise ConfigError("session_factory", f"{error.args[0]} (Pyramid: {example})") from None
    return PyramidSession(session)


def includeme(config: Any) -> None:
    """Set the session factory: `config.include("sharedsession.pyramid")`, or `pyramid.includes` in the .ini file."""
    config.set_session_factory(session_factory)
