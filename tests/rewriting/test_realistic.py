"""Large pages of 20 kinds, read before and after by the standard library's parser."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rewriting import realistic
from rewriting.pages import FIELD, SUFFIX, plain, rewrite, rewrite_pieces

#: What gets the id.
PLACES = {("a", "href"), ("area", "href"), ("iframe", "src"), ("form", "action")}
Event = tuple[str, str, tuple[tuple[str, str | None], ...]]


class Reader(HTMLParser):
    """Takes note of all that is in a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[Event] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if ("name", "jsessionid") not in attrs:
            self.found.append(("start", tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("end", tag, ()))

    def handle_data(self, data: str) -> None:
        self.found.append(("data", data, ()))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data, ()))


def read(data: bytes) -> list[Event]:
    """Return all that is in a page, with one text for several in a row."""
    reader = Reader()
    reader.feed(data.decode())
    reader.close()
    return reader.found


def expected(event: Event) -> Event:
    """Return what becomes of a part of a page."""
    kind, name, values = event
    return kind, name, tuple((key, encoded(name, key, value)) for key, value in values)


def encoded(tag: str, name: str, value: str | None) -> str | None:
    """Return what becomes of the value of an attribute."""
    # To that parser, of Python 3.11, titles and text areas are markup: there these pages have links to /app/no.
    if (tag, name) not in PLACES or value is None or not value.startswith("/app/") or value == "/app/no":
        return value
    path, mark, query = value.partition("?")
    return f"{path}{SUFFIX}{mark}{query}"


@pytest.mark.parametrize("number", realistic.PAGES)
def test_page(number: int) -> None:
    """Every link and form of the application has the id, nothing else changes, whole or in chunks of 8 KiB."""
    data = realistic.page(number)
    out = rewrite(data)
    assert plain(out) == data
    assert read(out) == [expected(event) for event in read(data)]
    assert out.count(FIELD.encode()) == data.count(b'method="post"')
    assert b"/app/no;" not in out
    assert rewrite_pieces(data[at : at + 8192] for at in range(0, len(data), 8192)) == out
