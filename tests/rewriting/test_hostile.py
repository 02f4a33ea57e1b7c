"""Hostile pages: time grows with their length, memory does not, and nothing is raised."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import pytest

from rewriting.pages import page, rewrite
from sharedsession.tracking.html import LONGEST

MANY = 100_000
PIECE = 16384

#: Name -> the beginning of a page, and what is repeated then.
PAGES = {
    "nested divs": (b"", b"<div class='x'>"),
    "nested links": (b"", b"<a href=x>"),
    "nested svg": (b"", b"<svg>"),
    "nested svg and html": (b"", b"<svg><desc>"),
    "nested templates": (b"", b"<template><form method=post>"),
    "nested forms": (b"", b"<form method=post action=x>"),
    "nested noscript": (b"", b"<noscript><form>"),
    "less-than signs": (b"", b"<"),
    "names": (b"", b"<a"),
    "closing names": (b"", b"</a"),
    "slashes": (b"<a ", b"/"),
    "unclosed comments": (b"", b"<!--"),
    "dashes": (b"<!--", b"-"),
    "bangs": (b"<!--", b"--!"),
    "unclosed script": (b"<script>", b"</scrip"),
    "script comments": (b"<script>", b"<!--<script>"),
    "script arrows": (b"<script>", b"<!--<script>-->"),
    "unclosed style": (b"<style>", b"</styl "),
    "unclosed cdata": (b"<svg><![CDATA[", b"]]"),
    "bogus comments": (b"", b"<?"),
    "doctype": (b"<!doctype ", b"'\""),
    "attributes": (b"<a ", b"href=x "),
    "attributes without values": (b"<a", b" a"),
    "attributes of a div": (b"<div ", b"a='\"' b=\"'\" c=d"),
    "equals": (b"<a ", b"="),
    "quotes": (b'<a href="', b"'"),
    "alternating quotes": (b"<a ", b"=\"'=\" ='\"'"),
    "a value": (b"<a href='", b"x"),
    "a value without quotes": (b"<a href=", b"/x"),
    "references": (b"<a href='", b"&amp"),
    "numeric references": (b"<a href='", b"&#x0"),
    "dots": (b"<a href='", b"../"),
    "old ids": (b"<a href='", b";jsessionid=0"),
    "percent": (b"<a href='", b"%3bjsessionid%3d"),
    "blanks": (b"<form method=post>", b" "),
    "a refresh": (b"<meta http-equiv=refresh content='0", b" ;"),
    "a long name": (b"<", b"a"),
    "NUL": (b"", b"\0"),
    "NUL in tags": (b"", b"<a\0href=\0x>"),
    "invalid UTF-8": (b"", b"\xff\xc3<a href='\xe9'>"),
    "ESC": (b"", b"\x1b"),
    "bases": (b"", b"<base href=/app/x><base href=//o.example><a href=x>"),
}


def pieces(name: str, size: int) -> Iterator[bytes]:
    """Yield a page of about `size` bytes."""
    start, repeated = PAGES[name]
    yield start
    piece = repeated * (PIECE // len(repeated))
    for _ in range(0, size, len(piece)):
        yield piece


def seconds(name: str, size: int) -> float:
    """Return the processor time that a page takes."""
    rewriter = page()
    begun = time.process_time()
    for piece in pieces(name, size):
        rewriter.push(piece)
    rewriter.finish()
    return time.process_time() - begun


@pytest.mark.parametrize("name", PAGES)
def test_time(name: str) -> None:
    """A page eight times as long takes no more than about eight times as long: nothing is looked at again and again."""
    short = min(seconds(name, PIECE) for _ in range(3))
    long = min(seconds(name, 8 * PIECE) for _ in range(2))
    assert long < 8 * 4 * (short + 0.01)


@pytest.mark.parametrize(
    "name", ["nested divs", "nested svg", "a value", "attributes", "dashes", "a long name", "blanks"]
)
def test_memory(name: str) -> None:
    """What is held does not grow with the page: 1 MB, of one attribute or of 70,000 elements, takes 200 KiB at most."""
    rewriter = page()
    tracemalloc.start()
    try:
        for piece in pieces(name, 1_000_000):
            rewriter.push(piece)
        rewriter.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * 1024


@pytest.mark.parametrize("name", PAGES)
def test_small_pieces(name: str) -> None:
    """Byte by byte, a page takes time by its length too, and becomes what it becomes at once."""
    data = b"".join(pieces(name, PIECE))[: LONGEST + 100]
    rewriter = page()
    out = b"".join([rewriter.push(data[at : at + 1]) for at in range(len(data))]) + rewriter.finish()
    assert out == rewrite(data)


def test_deep() -> None:
    """100,000 elements in one another, links at the bottom."""
    data = b"<div><b><i>" * MANY + b"<a href=x>" + b"</i></b></div>" * MANY
    assert len(rewrite(data)) > len(data)


LONG = b"x" * 10_000_000


@pytest.mark.parametrize(("quote", "size"), [(b"'", len(LONG)), (b'"', 100_000), (b"", 100_000)])
def test_ten_megabytes(quote: bytes, size: int) -> None:
    """A tag with an attribute of 10 MB passes as it is, in whatever pieces, and what comes behind it is rewritten."""
    data = b"<a href=x title=" + quote + LONG[:size] + quote + b"><a href=x>"
    out = rewrite(data)
    assert out.startswith(data[: -len(b"<a href=x>")])
    assert out.endswith(b".web1>")
    rewriter = page()
    assert (
        b"".join(rewriter.push(data[at : at + 65536]) for at in range(0, len(data), 65536)) + rewriter.finish() == out
    )


OVERLONG = [
    ("<a href=x><base @ href=//o.example/>", '<base href="" @'),
    ("<base @ href=//o.example/><a href=x>", "<a href=x>"),
    ("<form method=post action=x?a><button @ formaction=//o.example/>", '<button formaction="x?a" @'),
    ("<form method=post></form><button @ form=f formaction=//o.example/>", '<button formaction="" @'),
    ("<input @ form=f formaction=//o.example/><form id=f method=post action=x>", "web1>"),
    ("<form @ action=//o.example/><form method=post action=x>", "<form method=post action=x>"),
]


@pytest.mark.parametrize(("text", "expected"), OVERLONG)
def test_no_leak_by_length(text: str, expected: str) -> None:
    """What a tag says that is too long to be read never leads an id to another site."""
    filler = f"title='{'x' * LONGEST}'"
    out = rewrite(text.replace("@", filler).encode()).decode().replace(filler, "@")
    assert expected in out
    if text.startswith("<input"):
        assert 'jsessionid"' not in out


def test_first_byte() -> None:
    """What is certain is passed on at once: all but a tag that is not complete."""
    rewriter = page()
    assert rewriter.push(b"<!doctype html><p>Hello") == b"<!doctype html><p>Hello"
    assert rewriter.push(b" world <") == b" world "
    assert rewriter.push(b"img src='") == b"<img src='"
    assert rewriter.push(b"x' alt='and so on") == b"x' alt='and so on"
    assert rewriter.push(b"'><a href='x") == b"'>"
    assert rewriter.push(b"'>there") == b"<a href='x;jsessionid=" + page_id() + b"'>there"
    assert rewriter.push(b"<!-- a -") == b"<!-- a "
    assert rewriter.push(b"- <a --") == b"-- <a "
    assert rewriter.push(b"><script>1<2") == b"--><script>1<2"
    assert rewriter.push(b"</scr") == b""
    assert rewriter.push(b"eam") == b"</scream"
    assert rewriter.finish() == b""


def page_id() -> bytes:
    """Return the id of these pages."""
    return rewrite(b"<a href=x>").partition(b"jsessionid=")[2][:-1]
