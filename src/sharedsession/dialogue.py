"""The values that the two arms exchange: what a client showed, and what it must be told."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, NamedTuple

#: How an id came: in a cookie, in the URL or in a form field.
Source = Literal["cookie", "url", "form"]


class Requested(NamedTuple):
    """An id as the client sent it: not yet verified."""

    text: str
    source: Source

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


class Tell(Enum):
    """What the response must say about the session."""

    NOTHING = "nothing"
    #: Nothing new; but a cookie with an age is sent again, or it would die under an active user.
    AGE = "age"
    ID = "id"
    EXPIRED = "expired"


class Update(NamedTuple):
    """What the client must be told."""

    tell: Tell
    #: The id to send; with `Tell.AGE` the one the client has.
    id: str = ""
    #: Seconds the client keeps the id; None: until the browser closes.
    max_age: int | None = None
    #: The id may go into a cookie: False for one that came by URL or form, which stays where it is.
    by_cookie: bool = True

    def __repr__(self) -> str:
        """Never show the id."""
        return f"<Update {self.tell.value}>"


NOTHING = Update(Tell.NOTHING)
