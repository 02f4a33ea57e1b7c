"""Where SVG and MathML begin and end in an HTML page (HTML Standard, 13.2.6.5): there, elements and CDATA differ."""

from __future__ import annotations

from .tags import Tag

#: How deep SVG, MathML and what is HTML in them may be nested, before it is not followed any more.
MOST = 64

_ROOTS = frozenset([b"svg", b"math"])
#: What holds HTML in SVG, and in MathML ("integration points").
_POINTS = {
    b"svg": frozenset([b"foreignobject", b"desc", b"title"]),
    b"math": frozenset([b"mi", b"mo", b"mn", b"ms", b"mtext"]),
}
_ALL_POINTS = _POINTS[b"svg"] | _POINTS[b"math"] | {b"annotation-xml"}
_HTML_TYPES = ("text/html", "application/xhtml+xml")
#: HTML tags that end SVG and MathML.
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta "
    b"nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)


class Foreign:
    """The SVG and MathML elements that are open."""

    def __init__(self) -> None:
        #: Roots, and what holds HTML in them.
        self.stack: list[bytes] = []
        #: There were too many, or what browsers make of them depends on what is open: they are not followed any more.
        self.lost: bool = False

    @property
    def inside(self) -> bool:
        """Whether the innermost of them is SVG or MathML, not HTML in it."""
        return bool(self.stack) and self.stack[-1] in _ROOTS

    def asks_for(self, name: bytes) -> bool:
        """Say whether a start tag is needed with its attributes."""
        return name in _ROOTS or (bool(self.stack) and (name in _ALL_POINTS or name == b"font"))

    def concerns(self, name: bytes) -> bool:
        """Say whether a start tag matters here."""
        return bool(self.stack) or name in _ROOTS

    def start(self, name: bytes, tag: Tag | None) -> bool:
        """Take a start tag; say whether it is HTML's.

        Args:
            name: its name.
            tag: the tag, where it was asked for and is not too long.
        """
        inside = self.inside
        if inside and (name in _BREAKOUT or (name == b"font" and tag is not None and _is_html_font(tag))):
            self._break_out()
            return True
        if not inside and name in (b"mglyph", b"malignmark") and self.stack:
            self.lost = True  # MathML in what holds HTML there
        opens = name in _ROOTS or (inside and self._holds_html(name, tag))
        if opens and not (tag is not None and tag.self_closing):
            self.stack.append(name)
            self.lost = self.lost or len(self.stack) > MOST
        return not inside and name not in _ROOTS

    def _holds_html(self, name: bytes, tag: Tag | None) -> bool:
        root = self.stack[-1]
        if name == b"annotation-xml" and root == b"math":
            return tag is not None and tag.text(b"encoding").lower() in _HTML_TYPES
        return name in _POINTS[root]

    def end(self, name: bytes) -> None:
        """Take an end tag."""
        if self.inside and name in (b"p", b"br"):
            self._break_out()
        elif name in self.stack:
            # From HTML inside, only its own element can be closed for sure.
            self.lost = self.lost or not (self.inside or name == self.stack[-1])
            while self.stack.pop() != name:
                pass

    def _break_out(self) -> None:
        while self.inside:
            self.stack.pop()

    @property
    def in_svg(self) -> bool:
        """Whether the innermost of them is SVG."""
        return bool(self.stack) and self.stack[-1] == b"svg"


def _is_html_font(tag: Tag) -> bool:
    return any(name in tag for name in (b"color", b"face", b"size"))
