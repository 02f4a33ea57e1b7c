"""What a session stands on: what is behind the mapping, from its first use on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from .attributes import Attributes
from .compiling import mypyc_attr
from .dialogue import Source

T = TypeVar("T")


class Life(Protocol):
    """One request's session behind the mapping: loads when first asked, saves when told."""

    #: The store could be reached, as far as is known.
    available: bool
    #: Something was read or written.
    accessed: bool

    def begin(self) -> Life:
        """Return itself: whoever has a life may hand it out in place of what begins one."""
        ...

    @property
    def attributes(self) -> Attributes:
        """The attributes; loads the session at the first use."""
        ...

    @property
    def writable(self) -> Attributes:
        """The attributes, to be changed."""
        ...

    @property
    def id(self) -> str | None: ...

    @property
    def is_new(self) -> bool: ...

    @property
    def source(self) -> Source | None: ...

    @property
    def creation_time(self) -> float: ...

    @property
    def last_accessed_time(self) -> float: ...

    @property
    def interval(self) -> int:
        """Max inactive interval in seconds; 0: never."""
        ...

    @property
    def principal(self) -> str | None: ...

    @property
    def principal_session(self) -> int | None: ...

    def name(self, principal: str | None) -> None: ...

    def ensure_id(self) -> str: ...

    def invalidate(self) -> None: ...

    def change_id(self) -> None: ...

    def commit(self) -> None: ...

    def tell_again(self) -> None: ...

    def check_values(self) -> None: ...

    def transaction(self, fn: Callable[[], T]) -> T: ...

    def lock(self, timeout: float | None) -> AbstractContextManager[None]: ...


class Opener(Protocol):
    """One request, as far as its session has not been used."""

    def begin(self) -> Life:
        """Begin the session's life; asks nothing of the store."""
        ...


# Compiled, unlike the classes that applications derive from it: every request makes one.
@mypyc_attr(allow_interpreted_subclasses=True)
class Facade:
    """Begins a session's life when it is first asked for: few requests do.

    Args:
        opener: begins it.
    """

    __slots__ = ("_begun", "_opener")

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        # A life, once there is one; whoever knows its class may say so without asking.
        self._begun: Any = None

    @property
    def _life(self) -> Life:
        if self._begun is None:
            self._begun = self._opener.begin()
        life: Life = self._begun
        return life
