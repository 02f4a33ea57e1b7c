"""Bodies of requests: an id in a form's first field shows a client its session; the application reads every byte."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable
from typing import Any
from urllib.parse import unquote_plus

from sharedsession import get_session
from sharedsession.tracking.form import HEAD

from .site import ID_WORDS, TEXTS, Site, request
from .target import Target


class Trickle(io.RawIOBase):
    """A body of which every read gives a few bytes only, as a socket may."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = io.BytesIO(body)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most seven bytes, but all of them where all are asked for."""
        return self._body.read(-1 if size is None or size < 0 else min(size, 7))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return one line."""
        return self._body.readline(-1 if size is None else size)


class Bodies:
    """Form bodies: Content-Type, Content-Length and how the application reads, a line each, then the body.

    The second line may also be "chunked" (the server knows the end) or begin with "t" (the body comes in small
    pieces). In the third, "a" reads all, "l" a line, "L" lines, "n" the next of an iteration, a digit that many
    bytes to the power of two, and "s" asks for the session.
    """

    def __init__(self) -> None:
        self._site = Site()
        self._reads = b""

    def __call__(self, data: bytes) -> Hashable:
        """Serve a request with that body; the application must read it as if nobody else had looked."""
        kind, length, self._reads, body = (data.split(b"\n", 3) + [b""] * 4)[:4]
        environ = request(REQUEST_METHOD="POST", CONTENT_TYPE=kind.decode("latin-1"))
        environ["CONTENT_LENGTH"] = length.lstrip(b"t").decode("latin-1")
        if length.endswith(b"chunked"):
            environ |= {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
        trickles = length.startswith(b"t")
        environ["wsgi.input"] = Trickle(body) if trickles else io.BytesIO(body)
        shown = b"\n".join(
            [body, body.replace(b"+", b" "), unquote_plus(body.decode("latin-1")).encode("latin-1", "replace")]
        )
        visit = self._site.visit(environ, shown, note=self._read)
        expected = self._pieces(io.BytesIO(body))
        assert isinstance(visit.noted, list)
        assert b"".join(visit.noted) == body, "the application does not get the body it was sent"
        assert trickles or visit.noted == expected, "the application reads other pieces than were sent"
        return (
            visit.user,
            visit.source,
            kind[:5].lower() == b"multi",
            trickles,
            min(len(body), HEAD) // 1024,
            len(expected),
        )

    def _read(self, environ: dict[str, Any]) -> object:
        return self._pieces(environ["wsgi.input"], lambda: bool(get_session(environ)))

    def _pieces(self, stream: Any, look: Callable[[], object] = bool) -> list[bytes]:
        pieces: list[bytes] = []
        for letter in self._reads[:20]:
            pieces += _READS.get(letter, _read_digit)(stream, letter) if letter != ord("s") else _look(look)
        while piece := stream.read(1000):
            pieces.append(piece)
        return pieces


def _look(look: Callable[[], object]) -> list[bytes]:
    look()
    return []


def _read_digit(stream: Any, letter: int) -> list[bytes]:
    return [stream.read(1 << letter % 16)]


_READS: dict[int, Callable[[Any, int], list[bytes]]] = {
    ord("a"): lambda stream, letter: [stream.read()],
    ord("A"): lambda stream, letter: [stream.read(None)],
    ord("l"): lambda stream, letter: [stream.readline()],
    ord("k"): lambda stream, letter: [stream.readline(9)],
    ord("L"): lambda stream, letter: list(stream.readlines()),
    ord("K"): lambda stream, letter: list(stream.readlines(5)),
    ord("n"): lambda stream, letter: [next(iter(stream), b"")],
}


def bodies() -> Target:
    """Bodies of requests."""
    urlencoded, multipart = b"application/x-www-form-urlencoded\n", b"multipart/form-data; boundary=b\n"
    part = b'--b\r\nContent-Disposition: form-data; name="jsessionid"\r\n\r\n%b\r\n--b--\r\n'
    seeds = [urlencoded + b"99\n\njsessionid=%b&a=b" % text for text in TEXTS]
    seeds += [multipart + b"999\nls\n" + part % text for text in TEXTS[:3]]
    seeds += [
        urlencoded + b"chunked\na\njsessionid=" + TEXTS[1] + b"&" + b"x" * 5000,
        multipart + b"tchunked\n3s\n" + part % TEXTS[1],
        urlencoded + b"9000\ns;:9876543k\n" + b"x" * 5000,  # a line across the end of what was looked at
        b"text/plain\n5\nLn\nline\nline\n",
    ]
    words = (urlencoded, multipart, b"\n", b"\r\n", b"--b", b"--", b"jsessionid=", b"&", b"=", b"+", b"chunked", b"t")
    heads = (
        b"Content-Disposition: form-data; ",
        b"name=",
        b'"jsessionid"',
        b"boundary=",
        b"; ",
        b"x" * 999,
        b"s",
        b"l",
    )
    types = (b"multipart/form-data", b"filename*=utf-8''x", b"Content-Type: text/plain; charset=utf-16", b"\xff")
    return Target(Bodies(), tuple(seeds), (*words, *heads, *types, *ID_WORDS), longest=3 * HEAD)
