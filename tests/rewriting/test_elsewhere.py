"""Ways in which a page could send the id to another site, found by a review: none does, and none is damaged by that."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tracking.walker import Environ, Walker
from webclient import checked

from rewriting.pages import ID, bytewise, rewrite, rewrite_pieces, rewritten
from sharedsession import get_session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

EVIL = '<base href="//evil.example/">'

#: Pages in which a browser takes links, or a form, to //evil.example/; what is allowed to stay of that.
PAGES = {
    "a form without an address before a base": "<form method=post></form>" + EVIL,
    "a form with an empty address before a base": '<form method=post action=""></form>' + EVIL,
    "a form with a blank for an address before a base": '<form method=post action=" "></form>' + EVIL,
    "a base behind what is not followed": '<a href="x">…<select><style></style></select>' + EVIL,
    "a base behind plain text": '<a href="x"><plaintext>' + EVIL,
    "a base in an SVG that its parent ends": '<a href="x"><div><svg></div>' + EVIL,
    "a base in CDATA of a point": f'<a href="x"><svg><desc><div></desc><![CDATA[>{EVIL}]]>',
    "a base after MathML in SVG": f'<a href="x"><svg><math><mi><style><p>{EVIL}',
    "two addresses of one base": '<a href="x"><base href="//a.example/" href="//evil.example/">',
}


def test_a_form_without_an_address_stays_so_behind_a_base() -> None:
    """Such a form leads to the page itself, whatever the base; with an address of its own it would follow that."""
    assert " action" not in rewrite((EVIL + "<form method=post></form>").encode()).decode()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="x"><base href="/other/">', '<a href="x*"><base>'),
        ('<base href="/app/a/"><base href="/other/"><a href="x">', "="),
        ('<base href="a/"><base href="a/"><a href="x">', '<base href="a/"><base href="a/"><a href="x*">'),
    ],
)
def test_no_base_takes_the_id_to_a_neighbour(page: str, expected: str) -> None:
    """Where the application is mounted, links with the id stay below that, whichever base a browser goes by."""
    assert rewritten(page) == (page if expected == "=" else expected)


def base_of(page: str) -> list[str]:
    """Return the addresses of the bases that are left."""
    return [href for href in re.findall(r'<base\b[^>]*?href="([^"]*)"', page) if href]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "byte by byte"])
def test_no_base_takes_the_id_along(name: str, cut: bool) -> None:
    """Where links or a form with the id were sent, no base that leads elsewhere is left; or nothing carries the id."""
    data = PAGES[name].encode()
    page = (rewrite_pieces(bytewise(data)) if cut else rewrite(data)).decode()
    assert ID not in page or base_of(page) == []


@pytest.mark.parametrize(
    "url",
    [
        "&#" + "0" * 70 + "47;/evil.example/",
        "http://\udc83@www.example.com/app/",  # half a letter of Shift_JIS
        "http://ァwww.example.com/app/",
    ],
    ids=ascii,
)
def test_no_odd_address_gets_the_id(url: str) -> None:
    """What browsers read as another host is another host here: long references, half letters, other scripts."""
    assert ID.encode() not in rewrite(f'<a href="{url}">'.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "page",
    [
        '<form method=post action=x><div></form><button formaction="//evil.example/">',
        '<form method=post action=x><button formaction="//a.example/" formaction="//evil.example/">',
        '<form method=post action=x><select><style></style></select><button formaction="//evil.example/">',
    ],
)
def test_no_button_takes_the_field_along(page: str) -> None:
    """A button of a form with the hidden field sends it nowhere else, wherever its form seems to end."""
    out = rewrite(page.encode()).decode()
    assert ID not in out or not re.search(r'[\s"]formaction="//', out.replace("data-formaction", "data-"))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a data-no-session=""href="x">', '<a href="x">'),
        ("<a href=x data-no-session/>", "<a href=x />"),
    ],
)
def test_what_is_taken_out_leaves_a_gap(page: str, expected: str) -> None:
    """What stood around it does not grow together."""
    assert rewrite(page.encode()).decode() == expected


def test_an_error_page_in_place_of_a_page() -> None:
    """An application that begins a page and then an error, before the first byte, sends the error as it is."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", [("Content-Type", "text/html")])
        return late(start_response)

    def late(start_response: StartResponse) -> Iterator[bytes]:
        headers = [("Content-Type", "text/plain"), ("Content-Length", "13"), ("Cache-Control", "public")]
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", headers, sys.exc_info())
        yield b'<a href="/x">'

    answer = Walker(checked(app, tracking=("cookie", "url"), rewrite_html=True)).follow("/")
    assert answer.body == b'<a href="/x">'
    assert answer.get("Content-Length") == "13"
