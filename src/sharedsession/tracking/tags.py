"""One HTML tag: its end, its attributes (HTML Standard, 13.2.5.32 to 13.2.5.40), and how its bytes are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .references import change, decode

_BLANKS = b" \t\n\f\r"
_BLANK = frozenset(_BLANKS)
#: Where an "=" follows one of these it begins a name.
_BEFORE_NAMES = frozenset(b" \t\n\f\r/")
_END_OF_TAG_NAME = frozenset(b" \t\n\f\r/>")
_END_OF_NAME = frozenset(b" \t\n\f\r/>=")
#: What ends a value without quotes; other characters, such as the "=" of an id, do no harm there (13.2.5.38).
_END_OF_VALUE = frozenset(b" \t\n\f\r>")
_GT, _SLASH, _EQUALS, _DOUBLE, _SINGLE = b">/=\"'"

# Where in a tag we are.
_TAG_NAME, _BEFORE_NAME, _NAME, _AFTER_NAME, _BEFORE_VALUE, _QUOTED, _UNQUOTED = range(7)


class Scan:
    """Looks for the end of a tag; can stop at any byte and keeps none.

    Args:
        name: the tag's name.
        closing: it is an end tag.
        base: where the tag begins.
        at: where its name ends, as far as it was read.
    """

    __slots__ = ("_quote", "_slash", "_state", "at", "base", "closing", "name", "self_closing")

    def __init__(self, name: bytes, *, closing: bool, base: int, at: int) -> None:
        self.name: bytes = name
        self.closing: bool = closing
        self.base: int = base
        #: What has been read.
        self.at: int = at
        self._state = _TAG_NAME
        self._quote = b""
        # The last byte read is a "/" outside of values.
        self._slash = False
        #: The tag, complete, ends with "/>".
        self.self_closing: bool = False

    def move(self, by: int) -> None:
        """Note that so many bytes of the buffer are gone."""
        self.base -= by
        self.at -= by

    def run(self, buffer: bytes) -> bool:
        """Read on; say whether the tag is complete."""
        length = len(buffer)
        while self.at < length:
            state = self._state
            if state == _QUOTED:
                self._find_quote(buffer)
            elif state == _TAG_NAME:
                self._skip(buffer, _END_OF_TAG_NAME, _BEFORE_NAME)
            elif state == _NAME:
                self._skip(buffer, _END_OF_NAME, _AFTER_NAME)
            elif state == _UNQUOTED:
                self._skip(buffer, _END_OF_VALUE, _BEFORE_NAME)
            elif self._next(buffer[self.at], buffer):
                return True
        return False

    def _skip(self, buffer: bytes, ends: frozenset[int], state: int) -> None:
        """Go to the next of some bytes; there another state begins."""
        at = _until(buffer, self.at, ends)
        if at < len(buffer):
            self._state = state
        self.at = at
        self._slash = False

    def _find_quote(self, buffer: bytes) -> None:
        end = buffer.find(self._quote, self.at)
        self.at = len(buffer) if end < 0 else end + 1
        self._slash = False
        if end >= 0:
            self._state = _BEFORE_NAME

    def _next(self, byte: int, buffer: bytes) -> bool:
        """Take a byte between names and values; say whether it ends the tag."""
        self.at += 1
        if byte == _GT:
            self.self_closing = self._slash
            return True
        self._slash = byte == _SLASH and self._state != _BEFORE_VALUE
        if byte in _BLANK:
            return False
        if self._state == _BEFORE_VALUE:
            self._state = _QUOTED if byte in (_DOUBLE, _SINGLE) else _UNQUOTED
            self._quote = buffer[self.at - 1 : self.at]
        elif byte == _SLASH:
            self._state = _BEFORE_NAME
        elif byte == _EQUALS and self._state == _AFTER_NAME:
            self._state = _BEFORE_VALUE
        else:
            self._state = _NAME  # an "=" before a name begins one
        return False


def plain_end(buffer: bytes, at: int) -> int:
    """Return where a tag ends whose values all have quotes; -1 where that is not so, or more is needed to tell.

    Args:
        buffer: holds the tag.
        at: where its name ends.
    """
    stop = buffer.find(b">", at)
    while stop >= 0:
        equals = buffer.find(b"=", at, stop)
        if equals < 0:
            return stop + 1
        quote = buffer[equals + 1]
        if quote not in (_DOUBLE, _SINGLE) or equals == at or buffer[equals - 1] in _BEFORE_NAMES:
            return -1
        at = buffer.find(quote, equals + 2) + 1
        if not at:
            return -1
        if at > stop:
            stop = buffer.find(b">", at)
    return -1


def _until(buffer: bytes, at: int, ends: frozenset[int]) -> int:
    length = len(buffer)
    while at < length and buffer[at] not in ends:
        at += 1
    return at


class Attribute(NamedTuple):
    """Where an attribute stands in its tag, and its value in that, without quotes; one without a value has it empty."""

    start: int
    end: int
    first: int
    last: int
    quoted: bool


class Tag:
    """A complete start tag.

    Args:
        raw: its bytes.
        name: its name, in lower case.
        is_html: it is HTML's; False: SVG's or MathML's.
    """

    def __init__(self, raw: bytes, name: bytes, *, is_html: bool = True) -> None:
        self.raw = raw
        self.name = name
        self.is_html = is_html
        #: By name in lower case; of several of one name the first counts.
        self.attributes: dict[bytes, Attribute] = {}
        #: The tag ends with "/>".
        self.self_closing: bool = False
        #: What is put behind the tag, unless it stands there already.
        self.behind: bytes = b""
        self._every: list[tuple[bytes, Attribute]] = []
        self._edits: list[tuple[int, int, bytes]] = []
        at = len(name) + 1
        while at < len(raw):
            at = self._read(at)

    def _read(self, at: int) -> int:
        """Read one attribute; return where it ends."""
        raw = self.raw
        start = _over(raw, at, _BLANK | {_SLASH})
        if raw[start] == _GT:
            self.self_closing = start > at and raw[start - 1] == _SLASH
            return len(raw)
        stop = _until(raw, start + 1, _END_OF_NAME)
        equals = _over(raw, stop, _BLANK)
        if raw[equals] != _EQUALS:
            return self._note(start, stop, Attribute(start, stop, stop, stop, quoted=False))
        first = _over(raw, equals + 1, _BLANK)
        quoted = raw[first] in (_DOUBLE, _SINGLE)
        first += quoted
        last = raw.index(raw[first - 1], first) if quoted else _until(raw, first, _END_OF_VALUE)
        return self._note(start, stop, Attribute(start, last + quoted, first, last, quoted))

    def _note(self, start: int, stop: int, attribute: Attribute) -> int:
        name = self.raw[start:stop].lower()
        self.attributes.setdefault(name, attribute)
        self._every.append((name, attribute))
        return attribute.end

    def __contains__(self, name: bytes) -> bool:
        return name in self.attributes

    def text(self, name: bytes) -> str:
        """Return an attribute's value, decoded; "" if it has none or is not there."""
        attribute = self.attributes.get(name)
        return "" if attribute is None else decode(self.raw[attribute.first : attribute.last])

    # -- edits -----------------------------------------------------------------------------------------------------

    def change(self, name: bytes, function: Callable[[str], str]) -> None:
        """Give an attribute, if it is there, what a function makes of its value."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return
        value = self.raw[attribute.first : attribute.last]
        old = decode(value)
        new = function(old)
        changed = None if new == old else change(value, new)
        if changed is not None:
            self._write(name, attribute, changed)

    def change_url(self, name: bytes, function: Callable[[str], str]) -> None:
        """Same as `change`, for a function of a URL that passes on what follows the first "?" or "#"."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return
        value = self.raw[attribute.first : attribute.last]
        path = value.partition(b"?")[0].partition(b"#")[0]
        if b"&" in path or not path.strip(_BLANKS):
            self.change(name, function)
            return
        # Nothing is decoded and encoded again: the id has no characters that mean something in HTML.
        old = value.decode("latin-1")
        new = function(old)
        if new != old:
            self._write(name, attribute, new.encode("latin-1"))

    def _write(self, name: bytes, attribute: Attribute, value: bytes) -> None:
        start, _, first, last, quoted = attribute
        if not quoted and (first == last or _END_OF_VALUE.intersection(value)):
            equals = b"" if first > start + len(name) else b"="
            value = equals + b'"' + value.replace(b'"', b"&#34;") + b'"'
        self._edits.append((first, last, value))

    def add(self, attribute: bytes) -> None:
        """Write an attribute before all others: it counts, whatever follows."""
        at = len(self.name) + 1
        self._edits.append((at, at, b" " + attribute))

    def remove(self, name: bytes) -> None:
        """Take an attribute out, with the blanks before it."""
        for start, end, *_ in (attribute for every, attribute in self._every if every == name):
            while self.raw[start - 1] in _BLANK:
                start -= 1
            # What follows is not to become part of what stands before.
            self._edits.append((start, end, b"" if self.raw[end] in _BLANK or self.raw[end] == _GT else b" "))

    def edited(self) -> bytes:
        """Return the tag as edited."""
        raw, at = b"", 0
        for start, end, text in sorted(self._edits):
            raw += self.raw[at:start] + text
            at = end
        return raw + self.raw[at:]


def _over(buffer: bytes, at: int, over: frozenset[int]) -> int:
    while buffer[at] in over:
        at += 1
    return at
