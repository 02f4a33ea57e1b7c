"""Elements in which browsers, or some, ignore most others (HTML Standard, 13.2.6.4.16 "in select", 13.2.6.4.20)."""

from __future__ import annotations

_NAMES = (b"select", b"frameset")


class Ignored:
    """Notes whether such an element is open. What it holds cannot be told from the page alone."""

    def __init__(self) -> None:
        self._open: set[bytes] = set()

    def start(self, name: bytes) -> None:
        """Take a start tag."""
        if name in _NAMES:
            self._open.add(name)

    def end(self, name: bytes) -> None:
        """Take an end tag; that of a frameset changes nothing any more."""
        if name == b"select":
            self._open.discard(name)

    def hides(self, name: bytes) -> bool:
        """Say whether an element without tags, or one of SVG and MathML, may not be seen by all browsers here."""
        if not self._open:
            return False
        # In <select>, scripts are scripts, and a text area ends it.
        return name != b"noframes" if b"frameset" in self._open else name not in (b"script", b"textarea")

    @property
    def hides_forms(self) -> bool:
        """Whether the end of a form may not be seen by all browsers here."""
        return bool(self._open)
