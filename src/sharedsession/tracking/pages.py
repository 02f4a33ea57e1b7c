"""What is rewritten in an HTML page for a client without cookies: its links and its forms get the session id."""

from __future__ import annotations

from .forms import Forms
from .guard import Guard
from .handler import Handler
from .html import Tokenizer
from .rules import BLANK, Rules
from .tags import Tag
from .url import encode_refresh

#: A tag with this attribute is left alone; the attribute is taken out.
OPT_OUT = b"data-no-session"

#: Encodings (Encoding Standard, 4.2) in which the bytes of a tag are those of ASCII, by the beginning of their labels.
_LIKE_ASCII = (
    *("utf-8", "utf8", "unicode-1-1-utf-8", "us-ascii", "ascii", "iso-8859", "iso8859", "iso_8859", "latin", "l1"),
    *("windows-", "cp125", "x-cp125", "cp819", "cp866", "ibm819", "ibm866", "koi8", "macintosh", "mac", "x-mac-"),
    *("tis-620", "shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "ms932", "csshiftjis", "euc-", "x-euc-jp"),
    *("cseuc", "ks_c_", "ksc", "gb2312", "gb_2312", "chinese", "gbk", "x-gbk", "gb18030", "big5", "cn-big5"),
)
#: What a page that says so of itself is not (HTML Standard, 13.2.3.3): browsers take UTF-8.
_UTF_16 = ("utf-16", "unicode", "ucs-2", "iso-10646-ucs-2", "csunicode", "x-user-defined")

_MARKS = (b"\xfe\xff", b"\xff\xfe")
_ESC = b"\x1b"
_LINKS = {b"a": b"href", b"area": b"href", b"iframe": b"src", b"frame": b"src"}


def is_like_ascii(label: str) -> bool:
    """Say whether a page in an encoding of this name can be rewritten."""
    return label.strip(BLANK).lower().startswith(_LIKE_ASCII)


class Page(Handler):
    """One page on its way: `push` its bytes, then `finish`.

    Args:
        rules: which URLs get the id.
        hidden: the hidden field of forms; empty when forms carry no ids.
        sniffs: the response does not name an encoding.
    """

    held: frozenset[bytes] = frozenset(b"a area base button form frame iframe input meta noscript template".split())
    ends: frozenset[bytes] = frozenset([b"form", b"noscript", b"template"])

    def __init__(self, rules: Rules, hidden: bytes, *, sniffs: bool) -> None:
        self.done: bool = False
        self._rules = rules
        self._forms = Forms(rules, hidden)
        self._sniffs = sniffs
        self._tokenizer = Tokenizer(self)
        self._guard: Guard | None = None
        # The first byte, while it may begin a byte order mark.
        self._first: bytes | None = b""

    def push(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what is certain by now."""
        if self._first is not None:
            data = self._begin(self._first + data)
        if self._sniffs and not self.done and _ESC in data:
            # Browsers guess ISO-2022-JP, where what looks like ASCII is not.
            before, _, after = data.partition(_ESC)
            out = self._tokenizer.push(before) + self._tokenizer.finish()
            self.done = True
            return out + self.rest(_ESC + after)
        return self._tokenizer.push(data)

    def _begin(self, data: bytes) -> bytes:
        """Look for the mark of UTF-16, which counts above all else (Encoding Standard, 6)."""
        if data in (b"", b"\xfe", b"\xff"):
            self._first = data
            return b""
        self._first = None
        if data.startswith(_MARKS):
            self.done = True
            self._tokenizer.finish()
        return data

    def finish(self) -> bytes:
        """Say that the page has ended; return what was held back."""
        first, self._first = self._first or b"", None
        return first + self._tokenizer.finish()

    def rest(self, data: bytes) -> bytes:
        """Take what is left of a page that is not followed any more; return it without what would lead an id away."""
        if self._guard is None:
            self._guard = Guard(base=self._rules.relies, action=self._forms.any_field)
        return self._guard.push(data)

    def end_of_rest(self) -> bytes:
        """Return what was held back of that."""
        return b"" if self._guard is None else self._guard.finish()

    # -- tags ------------------------------------------------------------------------------------------------------

    def start(self, tag: Tag) -> None:
        """Rewrite a start tag."""
        opted_out = OPT_OUT in tag
        tag.remove(OPT_OUT)
        if tag.name in (b"noscript", b"template"):
            self._forms.enter(tag.name)
        elif tag.name == b"form":
            self._forms.start(tag, plain=opted_out or _keeps_referrer(tag))
        elif tag.name in (b"button", b"input"):
            self._forms.button(tag, plain=opted_out)
        elif tag.name == b"base":
            self._base(tag)
        elif not opted_out:
            self._link(tag)

    def _link(self, tag: Tag) -> None:
        if tag.name == b"meta":
            self._meta(tag)
        elif _keeps_referrer(tag) or b"ping" in tag:
            return  # "ping" tells others where the link leads (HTML Standard, 4.6.7)
        elif tag.is_html or b"href" in tag:
            # A frame without an address is empty (HTML Standard, 4.8.5).
            if tag.name in (b"a", b"area") or tag.text(_LINKS[tag.name]).strip(BLANK):
                tag.change_url(_LINKS[tag.name], self._rules.link)
        else:
            tag.change_url(b"xlink:href", self._rules.link)

    def _base(self, tag: Tag) -> None:
        if b"href" in tag and not self._rules.base(tag.text(b"href")):
            tag.remove(b"href")

    def _meta(self, tag: Tag) -> None:
        kind = tag.text(b"http-equiv").lower()
        if kind == "refresh":
            tag.change(b"content", lambda content: encode_refresh(content, self._rules.link))
        says = tag.text(b"content").lower().rpartition("charset=")[2] if kind == "content-type" else ""
        label = (tag.text(b"charset") or says).strip(BLANK + "'\"").lower()
        if self._sniffs and label and not is_like_ascii(label) and not label.startswith(_UTF_16):
            self.done = True

    def end(self, name: bytes) -> None:
        """Take an end tag."""
        self._forms.end(name)

    def overlong(self, name: bytes) -> bytes:
        """Take a start tag that is too long to be read; return an attribute that is to come first in it.

        Of several attributes of one name the first counts: so what may follow does no harm.
        """
        if name == b"base":
            return b"" if self._rules.base("//") else b' href=""'
        return self._forms.overlong(name)


def _keeps_referrer(tag: Tag) -> bool:
    """Say whether a link is not to tell where it came from, or is to be left by crawlers (HTML Standard, 4.6.7)."""
    return b"rel" in tag and not {"nofollow", "noreferrer"}.isdisjoint(tag.text(b"rel").lower().split())
