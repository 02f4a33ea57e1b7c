"""The id in a hidden field of a POSTed form: found in the first bytes of the body, which the app reads whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from markupsafe import Markup
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Field, MultipartDecoder

#: Bytes of a body that are looked at: the hidden field is the first of its form.
HEAD = 4096


class FormField:
    """Finds the id in a form's first field and writes that field.

    Args:
        name: the field's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def watch(self, environ: dict[str, Any]) -> PeekedInput | None:
        """Put a body that can be looked into in the place of the request's, if it is a form; return it."""
        if environ.get("REQUEST_METHOD") != "POST" or not _is_form(environ.get("CONTENT_TYPE", "")):
            return None
        length = _length(environ)
        if length == 0:
            return None
        body = environ["wsgi.input"] = PeekedInput(environ["wsgi.input"], HEAD if length is None else length)
        return body

    def find(self, body: PeekedInput, content_type: str) -> str | None:
        """Return the id in the first field of the form; None when that is another field."""
        kind, options = parse_options_header(content_type)
        if kind.lower() == "multipart/form-data":
            return self._first_part(body.peek(), options.get("boundary", ""))
        name, _, value = body.peek().split(b"&", 1)[0].partition(b"=")
        if len(value) > HEAD - len(name) - 2 or unquote_plus(name.decode("latin-1")) != self._name:
            return None
        return unquote_plus(value.decode("latin-1"))

    def hidden(self, session_id: str) -> Markup:
        """Return the hidden field as HTML."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(self._name, session_id)

    def _first_part(self, head: bytes, boundary: str) -> str | None:
        decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), HEAD)
        try:
            decoder.receive_data(head)
            event = decoder.next_event()  # the preamble
            event = decoder.next_event()
            if not isinstance(event, Field) or event.name != self._name:
                return None
            return _value(decoder)
        except ValueError:
            return None


def _value(decoder: MultipartDecoder) -> str | None:
    value = b""
    while True:
        event = decoder.next_event()
        if not isinstance(event, Data):
            return None  # the field goes on beyond the bytes looked at
        value += event.data
        if not event.more_data:
            return value.decode("latin-1")


class PeekedInput:
    """A request body (wsgi.input, PEP 3333) whose beginning can be read without taking it from the application.

    Args:
        stream: the server's body.
        most: bytes that the body has at most; reading further might wait for ever.
    """

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._most = min(most, HEAD)
        # The first bytes, whoever read them; and those of them that the application has not had yet.
        self._head = b""
        self._waiting = b""

    def peek(self) -> bytes:
        """Return the first bytes of the body, at most `HEAD`; fewer when it ends or breaks off before."""
        missing = self._most - len(self._head)
        while missing > 0:
            try:
                piece: bytes = self._stream.read(missing)
            except Exception:  # noqa: BLE001  # the application's own read will meet it, and decide
                break
            if not piece:
                break
            self._head += piece
            self._waiting += piece
            missing -= len(piece)
        return self._head

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, all when it is negative or None."""
        if size is None or size < 0:
            return self._take(len(self._waiting)) + self._seen(self._stream.read())
        start = self._take(size)
        return start if len(start) == size else start + self._seen(self._stream.read(size - len(start)))

    def readline(self, size: int | None = -1) -> bytes:
        """Return one line, at most `size` bytes of it."""
        limit = -1 if size is None else size
        end = self._waiting.find(b"\n") + 1
        if end or 0 <= limit <= len(self._waiting):
            stops = [stop for stop in (end or len(self._waiting), limit) if stop >= 0]
            return self._take(min(stops))
        start = self._take(len(self._waiting))
        rest = self._stream.readline() if limit < 0 else self._stream.readline(limit - len(start))
        return start + self._seen(rest)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return the lines of the body, or of about `hint` bytes of it."""
        lines: list[bytes] = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def close(self) -> None:
        """Close the server's stream, if it can be closed. Nothing else of it is offered: that would skip bytes."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    def _take(self, size: int) -> bytes:
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    def _seen(self, data: bytes) -> bytes:
        if len(self._head) < self._most:
            self._head += data[: self._most - len(self._head)]
        return data


def _is_form(content_type: str) -> bool:
    return content_type.lower().startswith(("application/x-www-form-urlencoded", "multipart/form-data"))


def _length(environ: dict[str, Any]) -> int | None:
    """Return the body's length; None: it ends by itself; 0: it has none, or nobody can tell where it ends."""
    text = environ.get("CONTENT_LENGTH") or ""
    if text.isascii() and text.isdigit():
        return int(text[:15])
    # PEP 3333 has no chunked bodies; servers that decode them say so (gunicorn, werkzeug, waitress).
    return None if environ.get("wsgi.input_terminated") else 0
