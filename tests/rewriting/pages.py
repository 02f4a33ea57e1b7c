"""Pages for the tests, and what rewrites them."""

from __future__ import annotations

from collections.abc import Iterable

from sharedsession.tracking.pages import Page
from sharedsession.tracking.rules import Rules
from sharedsession.tracking.url import Place, UrlParameter

ID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.web1"
#: What a link gets, and a form.
SUFFIX = f";jsessionid={ID}"
FIELD = f'<input type="hidden" name="jsessionid" value="{ID}">'
#: A request for a page of an application that is mounted.
PLACE = Place("http", "www.example.com", "/app", "/app/dir/page", "q=1")
PARAMETER = UrlParameter("jsessionid")


def page(*, urls: bool = True, forms: bool = True, place: Place = PLACE, sniffs: bool = True) -> Page:
    """Return what rewrites one page."""
    return Page(Rules(ID, place, PARAMETER, in_urls=urls), FIELD.encode() if forms else b"", sniffs=sniffs)


def rewrite(data: bytes, *, urls: bool = True, forms: bool = True, place: Place = PLACE) -> bytes:
    """Return a page rewritten in one go."""
    rewriter = page(urls=urls, forms=forms, place=place)
    return rewriter.push(data) + rewriter.finish()


def rewrite_pieces(pieces: Iterable[bytes], *, urls: bool = True, forms: bool = True) -> bytes:
    """Return a page rewritten piece by piece."""
    rewriter = page(urls=urls, forms=forms)
    return b"".join([rewriter.push(piece) for piece in pieces]) + rewriter.finish()


def bytewise(data: bytes) -> list[bytes]:
    """Return the bytes one by one."""
    return [data[at : at + 1] for at in range(len(data))]


def rewritten(text: str, *, urls: bool = True, forms: bool = True, place: Place = PLACE) -> str:
    """Return a page rewritten, with "*" for what links get and "<FIELD>" for the hidden field."""
    out = rewrite(text.encode(), urls=urls, forms=forms, place=place).decode()
    return out.replace(SUFFIX, "*").replace(FIELD, "<FIELD>")


#: What a link or a form without an address gets as its own.
HERE = (f' action="/app/dir/page{SUFFIX}?q=1"', f'="/app/dir/page{SUFFIX}?q=1"', f"/app/dir/page{SUFFIX}?q=1")


def plain(data: bytes) -> bytes:
    """Return a page without what rewriting puts in."""
    text = data.decode("latin-1")
    for added in (FIELD, *HERE, f"/app/dir/page{SUFFIX}", SUFFIX):
        text = text.replace(added, "")
    return text.encode("latin-1")
