"""What is told of a page's tags, and says what stands in their place."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from .tags import Tag


class Handler(Protocol):
    """Is told of tags, and says what stands in their place."""

    #: The rest of the page is to pass as it is.
    done: bool

    @property
    def held(self) -> Container[bytes]:
        """Start tags that are asked for."""
        ...

    @property
    def ends(self) -> Container[bytes]:
        """End tags that are told."""
        ...

    def start(self, tag: Tag) -> None:
        """Take a start tag, complete, and edit it."""
        ...

    def end(self, name: bytes) -> None:
        """Take an end tag."""
        ...

    def rest(self, data: bytes) -> bytes:
        """Take what is left of a page that is `done`; return what stands in its place."""
        ...

    def end_of_rest(self) -> bytes:
        """Return what was held back of that."""
        ...

    def overlong(self, name: bytes) -> bytes:
        """Take a start tag of more than `html.LONGEST` bytes, which passes; return what is put behind its name."""
        ...
