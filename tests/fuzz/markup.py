"""HTML pages: rewritten by links and forms of this application only, in whatever pieces they come."""

from __future__ import annotations

from collections.abc import Hashable

from rewriting.pages import FIELD, ID, PLACE, SUFFIX, page, plain
from tracking.walker import resolve

from sharedsession.tracking.handler import Handler
from sharedsession.tracking.html import LONGEST, Tokenizer
from sharedsession.tracking.tags import Tag

from .target import Target

#: What is taken out of a page, or replaced in it: it is not the page again when the ids are taken out.
_TAKEN = (b"data-no-session", b"jsessionid", b"base", b"formaction", b"%", b"&")


class Pages:
    """HTML pages; the first byte says where they are cut."""

    def __call__(self, data: bytes) -> Hashable:
        """Rewrite one, whole and in pieces."""
        step, text = (data[:1] or b"\1")[0] % 7 + 1, data[1:]
        rewriter = page()
        whole = rewriter.push(text) + rewriter.finish()
        assert self._in_pieces(text, step) == whole, "a page that depends on where it is cut"
        lower = text.lower()
        if not any(word in lower for word in _TAKEN):
            assert self._bare(whole) == self._bare(text), "a page that is damaged"
            assert self._in_pieces(whole, 50) == whole, "a page that is rewritten twice"
        links = _Links()
        Tokenizer(links).push(whole)
        if b"<base" not in lower:
            for link in links.found:
                self._check(link)
        return len(links.found), whole.count(FIELD.encode()), whole.count(SUFFIX.encode()), len(text).bit_length()

    @staticmethod
    def _bare(data: bytes) -> bytes:
        return plain(data).replace(b'"', b"").replace(b"=", b"").replace(b" action", b"")

    @staticmethod
    def _in_pieces(text: bytes, step: int) -> bytes:
        rewriter = page()
        out = b""
        for at in range(0, len(text), step):
            out += rewriter.push(text[at : at + step])
            assert len(out) + LONGEST + len(FIELD) > at, "more is held back than a tag"
        return out + rewriter.finish()

    @staticmethod
    def _check(link: str) -> None:
        if ID not in link:
            return
        url = resolve(f"http://{PLACE.host}{PLACE.path}", link.strip(" \t\n\f\r"))
        assert (url.scheme, url.host.removesuffix(":80").lower()) == ("http", PLACE.host), "an id that goes elsewhere"
        assert url.path.replace("%61", "a").startswith(PLACE.mount), "an id that goes to another application"


class _Links(Handler):
    """Takes note of links."""

    held = frozenset([b"a", b"area", b"iframe", b"frame", b"button"])

    def __init__(self) -> None:
        self.found: list[str] = []

    def start(self, tag: Tag) -> None:
        """Take a tag."""
        self.found += [tag.text(name) for name in (b"href", b"src", b"formaction") if name in tag]

    def overlong(self, name: bytes) -> bytes:
        """Take none."""
        return b""


def pages() -> Target:
    """HTML pages."""
    seeds = (
        b'\1<!doctype html><title>a</title><p class="b"><a href="/app/x?a=1&amp;b#c">d</a><!-- e --><img src=f>',
        b"\2<form method=post action='x'><input name=a><button formaction=y></button></form><script><a href=x>",
        b"\3<svg><a xlink:href=x><![CDATA[<a href=x>]]></svg><base href=/app/y/><a href=z><textarea><a href=x>",
        b"\4<meta http-equiv=refresh content='5; url=/app/x'><iframe src=x></iframe><template><a href=x></template>",
        b"\5<script><!--<script></script>--></script><a href='//other.example.net/'><a href=http://www.example.com/app/>",
    )
    words = (
        *(
            b"<a href=",
            b"<form ",
            b"<base href=",
            b"<script>",
            b"</script",
            b"<!--",
            b"-->",
            b"--!>",
            b"<svg>",
            b"</svg>",
        ),
        *(
            b"<style>",
            b"</style>",
            b"<title>",
            b"</title>",
            b"<![CDATA[",
            b"]]>",
            b"<math>",
            b"<mi>",
            b"<desc>",
            b"<font ",
        ),
        *(
            b"method=post",
            b"action=",
            b"rel=nofollow",
            b"data-no-session",
            b"ping=",
            b"form=f",
            b"<noscript>",
            b"<template>",
        ),
        *(
            b"</form>",
            b"</noscript>",
            b"</template>",
            b"<plaintext>",
            b"<meta ",
            b"charset=iso-2022-jp",
            b"http-equiv=",
        ),
        *(
            b"refresh",
            b"content=",
            b"5;url=",
            b"//other.example.net/",
            b"http://www.example.com/app/",
            b"/app/",
            b"..",
            b"\\",
        ),
        *(
            b"&amp;",
            b"&#47;",
            b"&sol;",
            b"&Tab;",
            b"?",
            b"#",
            b";jsessionid=1",
            b"=",
            b'"',
            b"'",
            b"/",
            b">",
            b"<",
            b"\0",
        ),
        *(
            b"\x1b",
            b"\xff\xfe",
            b"\xc3\xa9",
            b" ",
            b"\n",
            b"!",
            b"-",
            b"xlink:href=",
            b"<area ",
            b"<button ",
            b"<iframe ",
        ),
    )
    return Target(Pages(), seeds, words, longest=600)
