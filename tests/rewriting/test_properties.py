"""Any page at all: what rewriting must never do, whatever it is given (Hypothesis)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tracking.walker import resolve

from rewriting.pages import FIELD, ID, PLACE, SUFFIX, bytewise, page, plain, rewrite, rewrite_pieces
from rewriting.strategies import PAGES, cuts
from sharedsession.tracking.handler import Handler
from sharedsession.tracking.html import LONGEST, Tokenizer
from sharedsession.tracking.references import change, decode
from sharedsession.tracking.tags import Tag

CUT = PAGES.flatmap(lambda data: st.tuples(st.just(data), cuts(data)))


@settings(max_examples=250)
@given(CUT, st.booleans(), st.booleans())
def test_pieces(cut: tuple[bytes, list[bytes]], urls: bool, forms: bool) -> None:
    """Where a page is split never changes what becomes of it."""
    data, pieces = cut
    whole = rewrite(data, urls=urls, forms=forms)
    assert rewrite_pieces(pieces, urls=urls, forms=forms) == whole
    assert rewrite_pieces(bytewise(data), urls=urls, forms=forms) == whole


def keeps(data: bytes) -> bool:
    """Say whether a page has nothing that rewriting takes out: an old id, an opt-out, a way to another site."""
    return not any(word in data for word in (b"old", b"data-no-session", b"other.example.net", b"\\", b"&"))


@settings(max_examples=250)
@given(PAGES.filter(keeps))
def test_twice_is_once(data: bytes) -> None:
    """A page that was rewritten is not changed by being rewritten again."""
    once = rewrite(data)
    assert rewrite(once) == once


@settings(max_examples=250)
@given(PAGES.filter(keeps))
def test_stripped(data: bytes) -> None:
    """Without what was put in, a rewritten page is the page: no byte is lost, moved or changed."""
    out = rewrite(data)
    if b'href=""' not in out and b"<base>" not in out and b"<button>" not in out:
        assert unquoted(plain(out)) == unquoted(plain(data))


def unquoted(data: bytes) -> bytes:
    """Return a page without what an empty address without quotes brings with it."""
    return data.replace(b'"', b"").replace(b"=", b"").replace(b" action", b"")


@settings(max_examples=150)
@given(st.text("ab;/<>!-'\"= \n\r\f&x?#", max_size=60))
def test_markup_alone(text: str) -> None:
    """A page in which nothing has an address stays as it is."""
    assert rewrite(text.encode(), forms=False) == text.encode() or "<a" in text


class Links(Handler):
    """Takes note of the links of a page."""

    held = frozenset([b"a", b"area", b"base", b"button", b"iframe", b"input", b"meta"])

    def __init__(self) -> None:
        self.found: list[str] = []

    def start(self, tag: Tag) -> None:
        self.found += [tag.text(name) for name in (b"href", b"src", b"formaction") if tag.name != b"base"]

    def end(self, name: bytes) -> None:
        raise AssertionError(name)

    def overlong(self, name: bytes) -> bytes:
        return b""


@settings(max_examples=250)
@given(PAGES.filter(lambda data: b"<base" not in data))
def test_never_to_another_site(data: bytes) -> None:
    """A link with the id leads to the page's own origin, below its mount point."""
    links = Links()
    Tokenizer(links).push(rewrite(data))
    for link in links.found:
        if ID in link:
            url = resolve(f"http://{PLACE.host}{PLACE.path}", link.strip())
            assert (url.scheme, url.host.removesuffix(":80")) == ("http", PLACE.host)
            assert url.path.startswith(PLACE.mount)


@settings(max_examples=200)
@given(CUT)
def test_memory(cut: tuple[bytes, list[bytes]]) -> None:
    """What is held back is never more than a tag, and what was put in is all that a page grows by."""
    rewriter = page()
    taken = given_back = 0
    for piece in cut[1]:
        taken += len(piece)
        given_back += len(plain(rewriter.push(piece)))
        assert taken - given_back <= LONGEST + len(SUFFIX + FIELD)


VALUES = st.lists(
    st.sampled_from(["&", "amp", ";", "lt", "#47", "#x2f", "a", "=", "é", "copy", "\0", "#", "notit"]), max_size=8
)


@settings(max_examples=250)
@given(VALUES.map(lambda parts: "".join(parts).encode("latin-1")), st.integers(0, 8), st.text("a;/&é\"'", max_size=4))
def test_change_of_a_value(value: bytes, at: int, added: str) -> None:
    """A value that is changed reads as it should, and else is not changed at all."""
    text = decode(value)
    new = text[:at] + added + text[at:]
    changed = change(value, new)
    assert changed is None or decode(changed) == new
    assert changed is None or changed.replace(b"&amp;", b"").count(b'"') == value.count(b'"')
