"""The values that the two arms exchange: what a client showed, and what it must be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

#: How an id came: in a cookie, in the URL or in a form field.
Source = Literal["cookie", "url", "form"]


class Requested:
    """An id as the client sent it: not yet verified."""

    __slots__ = ("source", "text")

    def __init__(self, text: str, source: Source) -> None:
        self.text: str = text
        self.source: Source = source

    def __repr__(self) -> str:
        """Never show the id."""
        return f"<Requested by {self.source}>"


class FormerSession(NamedTuple):
    """A session that another library kept in a signed cookie: opened and verified, to be taken over."""

    #: What was signed, exactly: no other text opens as the same cookie. Nobody else's cookie may hold the same.
    signed: str
    attributes: Mapping[str, Any]
    #: The max inactive interval in seconds that the session gets here; 0: never.
    interval: int
    #: Seconds during which the cookie opens, at most.
    lasts: int

    def __repr__(self) -> str:
        """Never show a value."""
        return f"<FormerSession of {len(self.attributes)} attributes>"


class Request:
    """What a session asks of the request that it belongs to. This one shows no id, and nothing speaks against it.

    Nothing is asked before the session is used.
    """

    __slots__ = ()

    @property
    def binds(self) -> bool:
        """Whether sessions carry the fingerprint of their client."""
        return False

    def requested(self) -> Sequence[Requested]:
        """Return the ids the client showed, best first."""
        return ()

    def slides(self) -> bool:
        """Say whether using the session starts its idle time anew."""
        return True

    def former(self) -> FormerSession | None:
        """Return the session that another library left with the client, to be taken over."""
        return None

    def exclusive(self) -> bool:
        """Say whether this request must have the session for itself."""
        return False

    def fingerprint(self) -> Sequence[bytes] | None:
        """Return what the client looks like, hashed under the present key, then under former ones.

        Empty: the application's function told nothing. None: there is no such function.
        """
        return None

    def may_create(self) -> bool:
        """Ask the application whether this client may have a new session."""
        return True

    def from_elsewhere(self) -> bool:
        """Say whether another site caused the request, so that the browser has kept its cookie back."""
        return False


class Shown(Request):
    """A request of which nothing is known but the ids that it shows.

    Args:
        ids: best first.
        slides: using the session starts its idle time anew.
        exclusive: it must have the session for itself.
    """

    __slots__ = ("_exclusive", "_ids", "_slides")

    def __init__(self, ids: Sequence[Requested], *, slides: bool = True, exclusive: bool = False) -> None:
        self._ids = ids
        self._slides = slides
        self._exclusive = exclusive

    def requested(self) -> Sequence[Requested]:
        """Return the ids."""
        return self._ids

    def slides(self) -> bool:
        """Say whether using the session starts its idle time anew."""
        return self._slides

    def exclusive(self) -> bool:
        """Say whether this request must have the session for itself."""
        return self._exclusive


class Tell(Enum):
    """What the response must say about the session."""

    NOTHING = "nothing"
    #: Nothing new; but a cookie with an age is sent again, or it would die under an active user.
    AGE = "age"
    ID = "id"
    EXPIRED = "expired"


class Update:
    """What the client must be told.

    Args:
        tell: what.
        id: the id to send; with `Tell.AGE` the one the client has.
        max_age: seconds the client keeps the id; None: until the browser closes.
        by_cookie: the id may go into a cookie: False for one that came by URL or form, which stays where it is.
    """

    __slots__ = ("by_cookie", "id", "max_age", "tell")

    def __init__(self, tell: Tell, id: str = "", max_age: int | None = None, by_cookie: bool = True) -> None:  # noqa: A002
        self.tell: Tell = tell
        self.id: str = id
        self.max_age: int | None = max_age
        self.by_cookie: bool = by_cookie

    def __repr__(self) -> str:
        """Never show the id."""
        return f"<Update {self.tell.value}>"


NOTHING: Final = Update(Tell.NOTHING)
