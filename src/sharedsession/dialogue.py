"""The values that the two arms exchange: what a client showed, and what it must be told."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

#: How an id came: in a cookie, in the URL or in a form field.
Source = Literal["cookie", "url", "form"]


class Requested(NamedTuple):
    """An id as the client sent it: not yet verified."""

    text: str
    source: Source

    def __repr__(self) -> str:
        """Never show the id."""
        return f"<Requested by {self.source}>"


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
