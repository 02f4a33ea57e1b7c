"""Where a browser that runs scripts sees the end of <noscript>: its content is text to it (HTML Standard, 13.2.6.4)."""

from __future__ import annotations

_END = b"</noscript"
_END_OF_NAME = frozenset(b" \t\n\f\r/>")


class Fence:
    """Gives a page out in pieces that do not reach beyond the end of <noscript>."""

    def __init__(self) -> None:
        self._later = b""
        #: The next piece begins with the end tag.
        self.reached: bool = False
        self._up = False

    def add(self, data: bytes) -> None:
        """Take the next bytes of the page."""
        self._later += data

    def put_up(self, rest: bytes) -> None:
        """Note that <noscript> has begun; `rest` is what stands behind it and has been given out already."""
        self._later = rest + self._later
        self._up = True

    def take(self) -> bytes:
        """Return the next piece; empty: more is needed."""
        end = self._find() if self._up else len(self._later)
        self.reached = self._up and end == 0 and len(self._later) > len(_END)
        if self.reached:
            self._up = False
            end = len(self._later)
        piece, self._later = self._later[:end], self._later[end:]
        return piece

    def rest(self) -> bytes:
        """Return what has not been given out."""
        rest, self._later = self._later, b""
        return rest

    def _find(self) -> int:
        """Return where the end tag begins, or may begin: as far as the next piece may go."""
        text = self._later.lower()
        at = text.find(_END)
        while 0 <= at < len(text) - len(_END) and text[at + len(_END)] not in _END_OF_NAME:
            at = text.find(_END, at + 1)
        if at >= 0:
            return at
        begun = text.rfind(b"<", max(0, len(text) - len(_END)))
        return begun if begun >= 0 and _END.startswith(text[begun:]) else len(text)
