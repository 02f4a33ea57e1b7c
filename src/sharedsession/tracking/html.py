"""The tags of an HTML page, found as it streams (HTML Standard, 13.2.5 Tokenization); all else passes as it is.

Works on bytes: in every encoding that is compatible with ASCII the bytes of a tag are those of ASCII. A tag that is
asked for is held until it is complete, anything else passes at once. Of the tree construction (13.2.6) only what
tokenizing depends on is followed: which elements hold no tags, and what lies in SVG and MathML.
"""

from __future__ import annotations

from collections.abc import Callable

from .fence import Fence
from .foreign import Foreign
from .handler import Handler
from .ignored import Ignored
from .tags import Scan, Tag, plain_end

#: Bytes of a tag that are held at most; a longer one passes as it is.
LONGEST = 16384
# A longer name is none that is asked for.
_LONGEST_NAME = 32
# White space held after a tag, while it is not known whether what is to stand there stands there already.
_MOST_BLANK = 256

_BLANK = b" \t\n\f\r"
_END_OF_NAME = frozenset(b" \t\n\f\r/>")
# Makes letters small, and blanks of what ends a name.
_NAMES = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\t\n\f\r/>", b"abcdefghijklmnopqrstuvwxyz      ")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SLASH, _BANG, _QUESTION = _OTHERS = b"/!?"

#: Tags that mean nothing to pages outside of SVG and MathML, and are most of them; as they are written mostly.
PLAIN = frozenset(
    slash + name
    for name in b"b br dd div dl dt em h1 h2 h3 h4 i li ol option p small span strong table tbody td th tr u ul".split()
    for slash in (b"", b"/")
) | {b"/a"}
_LONGEST_PLAIN = 10

#: Elements whose content is text (RCDATA and RAWTEXT). Not noscript, which depends on the client: its tags are taken
#: for tags.
_TEXT = frozenset([b"title", b"textarea", b"style", b"xmp", b"iframe", b"noembed", b"noframes"])


class Tokenizer:
    """Passes a page on, with the edits of a handler.

    Args:
        handler: edits tags.
        plain: tags without attributes, as written, that it is never told of.
    """

    def __init__(self, handler: Handler, plain: frozenset[bytes] = PLAIN) -> None:
        self._plain = plain
        self._handler = handler
        self._foreign = Foreign()
        self._fence = Fence()
        self._ignored = Ignored()
        self._buffer = b""
        # Places in the buffer: what has been passed on, what has been understood, what must be kept.
        self._sent = 0
        self._at = self._kept = 0
        # Where the tag ends that is being told of.
        self._end = 0
        self._out: list[bytes] = []
        self._step: Callable[[], bool] | None = self._data
        self._scan = Scan(b"", closing=False, base=0, at=0)
        self._held = False
        # What stands behind the tag just passed, unless it does already.
        self._behind = b""
        self._text = b""
        # How deep in comments a script is (13.2.5.20 and 13.2.5.27, "escaped" and "double escaped").
        self._escaped = 0

    def push(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what is certain by now."""
        # In pieces, since finding what ends a comment, a script or <noscript> looks at all there is.
        if len(data) > LONGEST:
            return b"".join([self._push(data[at : at + LONGEST]) for at in range(0, len(data), LONGEST)])
        return self._push(data)

    def _push(self, data: bytes) -> bytes:
        if self._step is None:
            return self._handler.rest(self._fence.rest() + data)
        self._fence.add(data)
        out: list[bytes] = []
        while piece := self._fence.take():
            if self._fence.reached and not self._is_between_tags():
                # A comment, a text or a tag hides the end of <noscript>: what a browser sees depends on the browser.
                self._handler.done = True
            out.append(self._run(piece))
        return out[0] if len(out) == 1 else b"".join(out)

    def _is_between_tags(self) -> bool:
        return (self._step == self._data and not self._buffer) or self._step == self._before_content

    def _run(self, data: bytes) -> bytes:
        self._buffer += data
        while self._step is not None and (self._handler.done or self._step()):
            if self._handler.done:
                self._step = None
        if self._step is not None:
            return self._pass_on(self._kept)
        followed = self._pass_on(self._at)
        rest, self._buffer = self._buffer, b""
        return followed + self._handler.rest(rest)

    def finish(self) -> bytes:
        """Say that the page has ended; return what was held back."""
        if self._behind:
            self._put(self._at, self._at, self._behind)
            self._behind = b""
        self._step = None
        return self._pass_on(len(self._buffer)) + self._fence.rest() + self._handler.end_of_rest()

    def _pass_on(self, end: int) -> bytes:
        out, self._out = self._out, []
        out.append(self._buffer[self._sent : end])
        self._buffer = self._buffer[end:]
        self._scan.move(end)
        self._at -= end
        self._sent = self._kept = 0
        return out[0] if len(out) == 1 else b"".join(out)

    def _put(self, start: int, end: int, text: bytes) -> None:
        """Put a text in the place of bytes."""
        self._out += (self._buffer[self._sent : start], text)
        self._sent = end

    def _wait(self, start: int) -> bool:
        """Wait for more, with the bytes from `start` on kept."""
        self._at = self._kept = start
        return False

    def _go(self, at: int, step: Callable[[], bool]) -> bool:
        self._at = at
        self._step = step
        return True

    # -- between tags (13.2.5.1, 13.2.5.6, 13.2.5.7, 13.2.5.42) ----------------------------------------------------

    def _data(self) -> bool:
        buffer, at, last = self._buffer, self._at, len(self._buffer) - 1
        plain = frozenset[bytes]() if self._foreign.stack else self._plain
        while True:
            at = buffer.find(b"<", at)
            if at < 0 or at == last:
                return self._wait(last + 1 if at < 0 else at)
            stop = buffer.find(b">", at, at + _LONGEST_PLAIN)
            if stop >= 0 and buffer[at + 1 : stop] in plain:
                at = stop
                continue
            if buffer[at + 1] in _LETTERS:
                return self._go(at, self._tag)
            if buffer[at + 1] in _OTHERS:
                return self._other(at)
            at += 1

    def _other(self, at: int) -> bool:
        """Take a "<" with "/", "!" or "?" behind it."""
        second, third = self._buffer[at + 1], self._buffer[at + 2 : at + 3]
        if second != _SLASH:
            return self._go(at + 1, self._bogus_comment) if second == _QUESTION else self._go(at, self._declaration)
        if not third:
            return self._wait(at)
        if third[0] in _LETTERS:
            return self._go(at, self._tag)
        # "</>" is nothing.
        return self._go(at + 3, self._data) if third == b">" else self._go(at + 2, self._bogus_comment)

    def _declaration(self) -> bool:
        start = self._at + 2
        if self._buffer.startswith(b"--", start):
            return self._go(self._at, self._comment_start)
        text = self._buffer[start : start + 7]
        if b"--".startswith(text) or (self._foreign.has_cdata and b"[CDATA[".startswith(text)):
            if text == b"[CDATA[":
                return self._go(start + 7, self._cdata)
            return self._wait(self._at)
        # A DOCTYPE too ends with the first ">", inside of its quotes as well (13.2.5.59).
        return self._go(start, self._bogus_comment)

    def _bogus_comment(self) -> bool:
        end = self._buffer.find(b">", self._at)
        return self._wait(len(self._buffer)) if end < 0 else self._go(end + 1, self._data)

    def _comment_start(self) -> bool:
        start = self._at + 4
        text = self._buffer[start : start + 2]
        if text[:1] == b">" or text == b"->":
            return self._go(start + text.index(b">") + 1, self._data)
        return self._wait(self._at) if text in (b"", b"-") else self._go(start, self._comment)

    def _comment(self) -> bool:
        """Look for "-->" or "--!>"."""
        buffer, at, length = self._buffer, self._at, len(self._buffer)
        end = buffer.find(b"-->", at)
        bang = buffer.find(b"--!>", at, length if end < 0 else end)
        if bang >= 0:
            return self._go(bang + 4, self._data)
        if end >= 0:
            return self._go(end + 3, self._data)
        begun = next((text for text in (b"--!", b"--", b"-") if buffer.endswith(text, at)), b"")
        return self._wait(length - len(begun))

    def _cdata(self) -> bool:
        end = self._buffer.find(b"]]>", self._at)
        return self._go(end + 3, self._data) if end >= 0 else self._wait(max(self._at, len(self._buffer) - 2))

    # -- tags ------------------------------------------------------------------------------------------------------

    def _tag(self) -> bool:
        """Read a tag's name, and the rest of it if nothing stands in the way."""
        buffer, start = self._buffer, self._at
        closing = buffer[start + 1] == _SLASH
        first = start + 1 + closing
        name, ends, _ = buffer[first : first + _LONGEST_NAME].translate(_NAMES).partition(b" ")
        end = first + len(name)
        if not ends and len(name) < _LONGEST_NAME:
            return self._wait(start)
        if name in self._plain and not self._foreign.stack and (stop := plain_end(buffer, end)) >= 0:
            return self._go(stop, self._data)
        self._held = not closing and (name in self._handler.held or self._foreign.asks_for(name))
        stop = plain_end(buffer, end)
        if 0 <= stop <= start + LONGEST:
            return self._end_of_tag(name, stop, closing=closing, self_closing=buffer[stop - 2] == _SLASH)
        self._scan = Scan(name, closing=closing, base=start, at=end)
        return self._go(start, self._rest_of_tag)

    def _rest_of_tag(self) -> bool:
        scan = self._scan
        complete = scan.run(self._buffer)
        if self._held and scan.at - scan.base > LONGEST:
            behind = scan.base + 1 + len(scan.name)
            self._put(behind, behind, self._handler.overlong(scan.name))
            self._held = False
        if not complete:
            return self._wait(scan.base if self._held else len(self._buffer))
        self._at = scan.base
        return self._end_of_tag(scan.name, scan.at, closing=scan.closing, self_closing=scan.self_closing)

    def _end_of_tag(self, name: bytes, end: int, *, closing: bool, self_closing: bool) -> bool:
        self._end = end
        if not closing:
            return self._go(end, self._content(name, is_html=self._start_tag(name, end, self_closing=self_closing)))
        if self._foreign.stack:
            self._foreign.end(name)
        self._ignored.end(name)
        # Whether a form ends in such a place depends on the browser, and on what is open.
        if name in self._handler.ends and not (name == b"form" and (self._ignored.hides_forms or self._foreign.stack)):
            self._handler.end(name)
        self._handler.done = self._handler.done or self._foreign.lost
        return self._go(end, self._data)

    def _start_tag(self, name: bytes, end: int, *, self_closing: bool) -> bool:
        """Tell of a start tag that ends here; say whether it is HTML's."""
        foreign = self._foreign
        if not self._held:
            return not foreign.concerns(name) or foreign.start(name, None, self_closing=self_closing)
        start = self._at
        tag = Tag(self._buffer[start:end], name)
        tag.is_html = foreign.start(name, tag, self_closing=self_closing)
        if name in self._handler.held and (tag.is_html or (name == b"a" and foreign.in_svg)):
            self._handler.start(tag)
            self._put(start, end, tag.edited())
            self._behind = tag.behind
        return tag.is_html

    def _content(self, name: bytes, *, is_html: bool) -> Callable[[], bool]:
        """Return how to go on behind a start tag (13.2.6.4)."""
        if self._behind:
            return self._before_content
        has_tags = is_html and name not in _TEXT and name != b"script"
        self._handler.done = self._handler.done or self._foreign.lost or (not has_tags and self._ignored.hides(name))
        self._ignored.start(name)
        if not is_html:
            return self._data
        if name == b"noscript":
            rest, self._buffer = self._buffer[self._end :], self._buffer[: self._end]
            self._fence.put_up(rest)
        if name in _TEXT:
            self._text = name
            return self._raw_text
        if name == b"script":
            self._escaped = 0
            return self._script
        if name == b"plaintext":
            self._handler.done = True
        return self._data

    def _before_content(self) -> bool:
        """Put a text behind a tag, unless it stands there already."""
        buffer, start, behind = self._buffer, self._at, self._behind
        blank = (
            len(buffer)
            - start
            - len(buffer[start : start + _MOST_BLANK].lstrip(_BLANK) + buffer[start + _MOST_BLANK :])
        )
        rest = buffer[start + blank : start + blank + len(behind)]
        if len(rest) < len(behind) and behind.startswith(rest) and blank < _MOST_BLANK:
            return self._wait(start)
        if rest != behind:
            self._put(start, start, behind)
        self._behind = b""
        return self._go(start, self._data)

    # -- elements without tags -------------------------------------------------------------------------------------

    def _raw_text(self) -> bool:
        """Look for the end tag of the element (13.2.5.9 and following)."""
        at = self._at
        while True:
            at = self._buffer.find(b"</", at)
            if at < 0:
                return self._wait(len(self._buffer) - self._buffer.endswith(b"<"))
            found = self._is_tag(at + 2, self._text)
            if found is None:
                return self._wait(at)
            if found:
                return self._go(at, self._tag)
            at += 2

    def _is_tag(self, start: int, name: bytes) -> bool | None:
        """Say whether a tag's name stands at a place; None: nobody can tell yet."""
        text = self._buffer[start : start + len(name) + 1]
        if len(text) <= len(name):
            return None if name.startswith(text.lower()) else False
        return text[-1] in _END_OF_NAME and text[:-1].lower() == name

    def _script(self) -> bool:
        """Look for the end of a script, where comments hide "</script>" (13.2.5.15 to 13.2.5.31)."""
        buffer, at = self._buffer, self._at
        out = buffer.find(b"-->", at)
        while True:
            at = buffer.find(b"<", at)
            if self._escaped and out >= 0 and (at < 0 or out < at):
                self._escaped = 0
                return self._go(out + 3, self._script)
            if at < 0:
                return self._wait(self._script_tail())
            going_on = self._script_tag(at)
            if going_on is None:
                return self._wait(at)
            if going_on != self._script:
                return self._go(at, going_on)
            # The dashes of "<!--" may be those of "-->" too.
            at += 2 if buffer.startswith(b"<!--", at) else 1
            if out >= 0 and out < at:
                out = buffer.find(b"-->", at)

    def _script_tag(self, at: int) -> Callable[[], bool] | None:
        """Take a "<" in a script: return how to go on; None: nobody can tell yet."""
        buffer = self._buffer
        closes = buffer.startswith(b"</", at)
        if self._escaped == 0 and not closes:
            text = buffer[at : at + 4]
            self._escaped = int(text == b"<!--")
            return self._script if text == b"<!--" or not b"<!--".startswith(text) else None
        if at + 1 == len(buffer):
            return None
        if self._escaped == 1 or closes:
            found = self._is_tag(at + 1 + closes, b"script")
            if found is None:
                return None
            if found and self._escaped < 2 and closes:
                return self._tag
            if found:
                self._escaped = 1 if closes else 2
        return self._script

    def _script_tail(self) -> int:
        """Return where to wait when no "<" is left: what may begin "-->" is kept."""
        kept = len(self._buffer)
        for _ in range(2):
            if kept > self._at and self._escaped and self._buffer[kept - 1 : kept] == b"-":
                kept -= 1
        return kept
