"""Where SVG and MathML begin and end in an HTML page (HTML Standard, 13.2.6.5): there, elements and CDATA differ."""

from __future__ import annotations

from typing import NamedTuple

from .tags import Tag

#: How deep SVG, MathML and what is HTML in them may be nested, before it is not followed any more.
MOST = 256
# A name of this length may have been cut.
_LONGEST_NAME = 32

_HTML = b""
_ROOTS = frozenset([b"svg", b"math"])
#: What holds HTML in SVG, and in MathML ("integration points").
_POINTS = {
    b"svg": frozenset([b"foreignobject", b"desc", b"title"]),
    b"math": frozenset([b"mi", b"mo", b"mn", b"ms", b"mtext"]),
}
_HTML_TYPES = ("text/html", "application/xhtml+xml")
#: HTML tags that end SVG and MathML.
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta "
    b"nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)
_VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split()
)
#: HTML tags that end what is open in a table around the SVG; and the children of MathML's that are MathML's again.
_UNSURE = frozenset(b"table caption colgroup col tbody thead tfoot tr td th mglyph malignmark".split())


class _Element(NamedTuple):
    name: bytes
    #: "svg", "math", or empty for HTML.
    kind: bytes
    #: It holds HTML.
    point: bool


class Foreign:
    """The SVG and MathML elements that are open, and the HTML elements in them."""

    def __init__(self) -> None:
        self.stack: list[_Element] = []
        #: What browsers make of the page depends on what is open outside: it is not followed any more.
        self.lost: bool = False

    @property
    def inside(self) -> bool:
        """Whether a start tag here is SVG's or MathML's."""
        return bool(self.stack) and self.stack[-1].kind != _HTML and not self.stack[-1].point

    @property
    def has_cdata(self) -> bool:
        """Whether the innermost element is SVG's or MathML's: "<![CDATA[" counts there (13.2.5.42)."""
        return bool(self.stack) and self.stack[-1].kind != _HTML

    @property
    def in_svg(self) -> bool:
        """Whether the innermost element is SVG's."""
        return bool(self.stack) and self.stack[-1].kind == b"svg"

    def asks_for(self, name: bytes) -> bool:
        """Say whether a start tag is needed with its attributes."""
        return bool(self.stack) and name in (b"annotation-xml", b"font")

    def concerns(self, name: bytes) -> bool:
        """Say whether a start tag matters here."""
        return bool(self.stack) or name in _ROOTS

    def start(self, name: bytes, tag: Tag | None, *, self_closing: bool) -> bool:
        """Take a start tag; say whether it is HTML's.

        Args:
            name: its name.
            tag: the tag, where it was asked for and is not too long.
            self_closing: it ends with "/>".
        """
        if self.inside and tag is None and self.asks_for(name):
            self.lost = True
        if self.inside and (name in _BREAKOUT or (name == b"font" and tag is not None and _is_html_font(tag))):
            while self.inside:
                self.stack.pop()
        is_html = not self.inside and name not in _ROOTS
        if is_html:
            self.lost = self.lost or (bool(self.stack) and name in _UNSURE)
            if self.stack and name not in _VOID:
                self._push(_Element(name, _HTML, point=False))
        elif not self_closing:
            kind = self._kind(name)
            self._push(_Element(name, kind, point=_holds_html(name, kind, tag)))
        return is_html

    def _kind(self, name: bytes) -> bytes:
        if not self.inside:
            return name
        top = self.stack[-1]
        return name if (top.name, top.kind, name) == (b"annotation-xml", b"math", b"svg") else top.kind

    def _push(self, element: _Element) -> None:
        self.stack.append(element)
        self.lost = self.lost or len(self.stack) > MOST or len(element.name) >= _LONGEST_NAME

    def end(self, name: bytes) -> None:
        """Take an end tag: of HTML in SVG or MathML only that of the innermost element closes it for sure."""
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at].name != name and self.stack[at].kind != _HTML:
            at -= 1
        if at >= 0 and self.stack[at].name == name and (self.stack[at].kind != _HTML or at == len(self.stack) - 1):
            del self.stack[at:]
        else:
            self.lost = True


def _holds_html(name: bytes, kind: bytes, tag: Tag | None) -> bool:
    if name == b"annotation-xml" and kind == b"math":
        return tag is not None and tag.text(b"encoding").lower() in _HTML_TYPES
    return name in _POINTS[kind]


def _is_html_font(tag: Tag) -> bool:
    return any(name in tag for name in (b"color", b"face", b"size"))
