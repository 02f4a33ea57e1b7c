"""A principal's sessions, for the application: "your devices", "log out everywhere else". Never an id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .attributes import Attributes
from .memcached.outcomes import Loaded
from .principals import named

if TYPE_CHECKING:
    from .manager import Manager


class OfPrincipal(Protocol):
    """A session of the present request, as any framework has it."""

    @property
    def principal_session(self) -> int | None:
        """What names it among its principal's sessions."""
        ...


@dataclass(frozen=True)
class PrincipalSession:
    """One live session of a principal, as it was stored a moment ago. Looking at it does not keep it alive."""

    #: Names it among the principal's sessions, for `Sessions.invalidate`; opens nothing, so it may stand in a page.
    handle: str
    #: When the principal was set (the log-in), and when the session began and was last used: seconds since the epoch.
    logged_in_time: float
    creation_time: float
    last_accessed_time: float
    #: Its attributes, a copy; those of types that are not known here are left out.
    attributes: Mapping[str, Any] = field(repr=False)


class Sessions:
    """The sessions of principals, on all nodes. A session is one of them from the moment `session.principal` is saved.

    Args:
        manager: the middleware's.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def of(self, principal: str) -> list[PrincipalSession]:
        """Return the principal's live sessions, the oldest log-in first.

        Raises:
            StoreUnavailableError: they cannot be read.
        """
        return [self._show(session) for session in self._manager.principals.of(principal)]

    def invalidate_all(self, principal: str, *, keep: OfPrincipal | None = None) -> int:
        """End the principal's sessions, on all nodes and for good; return how many there were.

        A log-in that has not been answered yet ends too.

        Args:
            principal: whose.
            keep: the one that stays: the present request's, for "log out my other devices".

        Raises:
            StoreUnavailableError: not all could be ended; those that could are.
        """
        kept = keep.principal_session if keep is not None else None
        return self._manager.principals.end(principal, lambda session: session != kept)

    def invalidate(self, principal: str, handle: str) -> bool:
        """End one of the principal's sessions; return False if it is not there (any more).

        Args:
            principal: whose: nobody ends another's session by a handle that was made up.
            handle: `PrincipalSession.handle`.

        Raises:
            StoreUnavailableError: it could not be ended.
        """
        return self._manager.principals.end(principal, lambda session: f"{session:x}" == handle) > 0

    def _show(self, session: Loaded) -> PrincipalSession:
        attributes = Attributes(self._manager.values, session.record.entries)
        who = named(session.record)
        return PrincipalSession(
            _handle(session),
            who.since / 1000 if who else 0.0,
            float(session.record.created),
            session.last_accessed,
            {name: attributes.get(name) for name in attributes.names()},
        )


def _handle(session: Loaded) -> str:
    who = named(session.record)
    return f"{who.session:x}" if who else ""
