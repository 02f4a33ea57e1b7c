"""The application reads a form's body whole, byte for byte, in whatever way, although its beginning was looked at."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from webclient import Server, bare

from sharedsession.session import Session
from sharedsession.tracking.form import HEAD, FormField, PeekedInput
from tracking.walker import FORM, IDS, Environ, Walker, bare_site, log_in, request, site, who

Step = tuple[str, int | None]

SIZES = st.none() | st.integers(-1, 12) | st.sampled_from([HEAD - 1, HEAD, HEAD + 1, 3 * HEAD])
STEPS = st.lists(st.tuples(st.sampled_from(["read", "readline", "readlines", "next", "peek"]), SIZES), max_size=12)
PIECES = st.sampled_from([b"", b"a", b"ab", b"\n", b"\r\n", b"x" * 7, b"y" * HEAD, b"z" * 900])
LINES = st.lists(PIECES, max_size=8).map(b"".join)


def apply(body: Any, step: Step) -> object:
    """Read from a body in one way."""
    name, size = step
    if name == "next":
        return next(iter(body), b"")
    if name == "peek":
        if isinstance(body, PeekedInput):
            body.peek()
        return None
    return getattr(body, name)() if size is None else getattr(body, name)(size)


@settings(max_examples=400)
@given(LINES, STEPS)
@example(b"ab\ncd", [("peek", None), ("readline", 0), ("read", 0), ("readlines", 3), ("next", None)])
@example(b"x" * (HEAD + 5), [("read", 5), ("peek", None), ("readline", HEAD), ("read", -1)])
def test_as_from_bytes_io(data: bytes, steps: list[Step]) -> None:
    """Any mixture of reads, before and after the body was looked into, returns what it returns of the body itself."""
    plain, peeked = io.BytesIO(data), PeekedInput(io.BytesIO(data), len(data))
    for step in steps:
        assert apply(peeked, step) == apply(plain, step)
    assert peeked.read() == plain.read()


@given(LINES, STEPS)
def test_peek_is_the_beginning(data: bytes, steps: list[Step]) -> None:
    """What is looked at is the beginning of the body, whatever the application has read of it."""
    peeked = PeekedInput(io.BytesIO(data), len(data))
    for step in steps:
        apply(peeked, step)
    assert peeked.peek() == data[:HEAD]


def both_ways(data: bytes, read: Callable[[Any], object], *, touch_first: bool) -> tuple[object, object]:
    """Return what an application reads of a form, touching its session before or after, and what there is to read."""
    found: list[object] = []

    def view(environ: Environ, session: Session) -> object:
        if touch_first:
            assert session.get("user") == "u"
        found.append(read(environ["wsgi.input"]))
        assert session.get("user") == "u", "the id was not found"
        return ""

    app = bare(bare_site({"/login": log_in, "/post": view}), tracking=("form",))
    text = Server().serve(app, request("/login")).text
    body = f"jsessionid={text}&".encode() + data
    Server().serve(app, request("/post", body=body))
    return found[0], read(io.BytesIO(body))


READS: dict[str, Callable[[Any], object]] = {
    "all": lambda body: body.read(),
    "by bytes": lambda body: [body.read(1) for _ in range(200)],
    "by pieces": lambda body: [body.read(1000) for _ in range(20)],
    "by lines": lambda body: [body.readline() for _ in range(10)],
    "by short lines": lambda body: [body.readline(10) for _ in range(30)],
    "lines": lambda body: body.readlines(),
    "some lines": lambda body: [body.readlines(100), body.readlines(5000)],
    "iteration": list,
    "nothing": lambda body: body.read(0),
    "mixed": lambda body: [body.read(10), body.readline(), body.readlines(10), next(iter(body), b""), body.read()],
}


@pytest.mark.parametrize("touch_first", [True, False])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_in_a_request(read: Callable[[Any], object], touch_first: bool) -> None:
    """The application reads the whole body, the hidden field included, before or after it touches the session."""
    seen, posted = both_ways(b"a=b\n" + b"line\n" * 2000 + b"end", read, touch_first=touch_first)
    assert seen == posted


class Endless:
    """A body of any length that is made while it is read, and counts."""

    def __init__(self, start: bytes, length: int) -> None:
        self.start = start
        self.left = length
        self.largest = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        assert size >= 0, "all of it was asked for at once"
        self.largest = max(self.largest, size)
        start, self.start = self.start[:size], self.start[size:]
        size = min(size, self.left)
        self.left -= size
        return start + bytes(size - len(start))

    def readline(self, size: int = -1) -> bytes:
        """Return the next bytes: there are no lines."""
        return self.read(size)


@pytest.mark.parametrize("touch_first", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_huge(touch_first: bool, known: bool) -> None:
    """Of 5 GB posted no more is held than the first few KiB, whether the length is known or the body is chunked."""
    length, piece = 5_000_000_000, 1 << 24
    body = Endless(f"jsessionid={IDS.new().text}&a=".encode(), length)

    def view(environ: Environ, session: Session) -> str:
        if touch_first:
            session.get("user")
        tracemalloc.start()
        total = 0
        while read := len(environ["wsgi.input"].read(piece)):
            total += read
            del read
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        session.get("user")
        return f"{total} {held < 2.5 * piece}"

    environ: Environ = {"CONTENT_TYPE": FORM, "REQUEST_METHOD": "POST", "wsgi.input": body}
    environ |= {"CONTENT_LENGTH": str(length)} if known else {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    app = bare(bare_site({"*": view}), tracking=("form",))
    assert Server().serve(app, request("/post", **environ)).text == f"{length} True"
    assert body.largest == piece


def test_little_is_read_ahead() -> None:
    """Touching the session reads at most 4 KiB of a body; the rest stays with the server."""
    body = Endless(b"jsessionid=x&", 10**9)
    environ: Environ = {
        "CONTENT_TYPE": FORM,
        "REQUEST_METHOD": "POST",
        "wsgi.input": body,
        "CONTENT_LENGTH": str(10**9),
    }
    Server().serve(bare(bare_site({"*": who}), tracking=("form",)), request("/post", **environ))
    assert body.left == 10**9 - HEAD


def test_chunked() -> None:
    """A body without a length is looked into where the server says that it ends by itself."""
    app = site({"/login": log_in, "/who": who})
    text = Walker(app).follow("/login").text
    body = f"jsessionid={text}".encode()
    assert Walker(app).submit("/who", body, CONTENT_LENGTH="", **{"wsgi.input_terminated": True}).text == "u by form"


@pytest.mark.parametrize("length", ["", "0", "-1", "x", "1.5", "\u0661", " 10", "+10", "0x10"])
def test_nobody_knows_where_it_ends(length: str) -> None:
    """A body of which nobody knows where it ends is left alone: reading it might wait for ever."""
    environ: Environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": FORM, "CONTENT_LENGTH": length}
    environ["wsgi.input"] = body = object()
    assert FormField("jsessionid").watch(environ) is None
    assert environ["wsgi.input"] is body


def test_other_bodies_are_not_replaced() -> None:
    """A body that is no form stays the server's own object, with all that it can do."""
    environ: Environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "10"}
    environ["wsgi.input"] = body = io.BytesIO(b"{}")
    assert FormField("jsessionid").watch(environ) is None
    assert environ["wsgi.input"] is body


def test_closed() -> None:
    """Closing the body closes the server's stream, where that can be closed."""
    stream = io.BytesIO(b"a=b")
    PeekedInput(stream, 3).close()
    assert stream.closed
    PeekedInput(Endless(b"", 0), 3).close()
