"""What is told of a page's tags, and says what stands in their place."""

from __future__ import annotations

from collections.abc import Container

from .tags import Tag


class Handler:
    """Is told of tags, and says what stands in their place. This one asks for none and lets all pass."""

    #: Start tags that are asked for.
    held: Container[bytes] = frozenset()
    #: End tags that are told.
    ends: Container[bytes] = frozenset()
    #: The rest of the page is to pass as it is.
    done: bool = False

    def start(self, tag: Tag) -> None:
        """Take a start tag, complete, and edit it."""

    def end(self, name: bytes) -> None:
        """Take an end tag."""

    def rest(self, data: bytes) -> bytes:
        """Take what is left of a page that is `done`; return what stands in its place."""
        return data

    def end_of_rest(self) -> bytes:
        """Return what was held back of that."""
        return b""

    def overlong(self, name: bytes) -> bytes:
        """Take a start tag of more than `html.LONGEST` bytes, which passes; return what is put behind its name."""
        return b""
