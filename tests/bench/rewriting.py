"""`python -m bench.rewriting`: what it costs to rewrite HTML pages, in microseconds of processor time per KiB.

Beside the tokenizer alone, which is what any rewriting would cost, and the standard library's parser. The pages are the
20 of tests/rewriting/realistic.py; each figure is the best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html.parser import HTMLParser

from rewriting import pages, realistic

from sharedsession.tracking.handler import Handler
from sharedsession.tracking.html import Tokenizer

#: Bytes of a chunk.
_CHUNK = 8192
_RUNS = 5


def tokenize(data: bytes) -> None:
    """Find the tags of a page, and do nothing with them."""
    tokenizer = Tokenizer(Handler())
    for at in range(0, len(data), _CHUNK):
        tokenizer.push(data[at : at + _CHUNK])
    tokenizer.finish()


def rewrite(data: bytes) -> None:
    """Rewrite a page."""
    page = pages.page()
    for at in range(0, len(data), _CHUNK):
        page.push(data[at : at + _CHUNK])
    page.finish()


def parse(data: bytes) -> None:
    """Read a page with `html.parser`."""
    parser = HTMLParser()
    text = data.decode()
    for at in range(0, len(text), _CHUNK):
        parser.feed(text[at : at + _CHUNK])
    parser.close()


def seconds(work: Callable[[bytes], None], data: bytes) -> float:
    """Return the least processor time of several runs."""
    found = []
    for _ in range(_RUNS):
        begun = time.process_time()
        work(data)
        found.append(time.process_time() - begun)
    return min(found)


def main() -> None:
    """Measure, and print a table."""
    print("us per KiB        tokenizer  rewriting  html.parser   tags/KiB  ids/KiB")
    for number in realistic.PAGES:
        data = realistic.page(number)
        size = len(data) / 1024
        cells = [seconds(work, data) / size * 1e6 for work in (tokenize, rewrite, parse)]
        ids = pages.rewrite(data).count(pages.ID.encode())
        print(f"page {number:2} {' ' * 10} {cells[0]:9.1f}  {cells[1]:9.1f}  {cells[2]:11.1f}", end="")
        print(f"  {data.count(b'<') / size:9.1f}  {ids / size:7.1f}")


if __name__ == "__main__":
    main()
