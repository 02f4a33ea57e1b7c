"""HTML pages that are rewritten for a client without cookies: a WSGI layer (PEP 3333) around the response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from .exchange import Exchange
from .tracking.pages import Page
from .tracking.rewritten import correct
from .tracking.tracking import protect

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: environ key by which the application says that a response is to stay as it is: False.
REWRITE_KEY = "sharedsession.rewrite_html"

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Headers = list[tuple[str, str]]


class Response(Protocol):
    """The response without rewriting."""

    def run(self, app: WSGIApplication, /) -> Iterable[bytes]:
        """Call the application, and return the body."""
        ...

    def is_file_wrapper(self, body: object, /) -> bool:
        """Say whether a body is a file that the server sends by itself."""
        ...


class Rewriting:
    """One response whose page gets the id, if it is one and the client needs that.

    The headers wait until it is known whether the body is a file that the server sends by itself: at the latest until
    the first byte of the body is there.

    Args:
        exchange: the request's.
        environ: the WSGI environ, as it is at entry.
        start_response: the server's.
    """

    def __init__(self, exchange: Exchange, environ: dict[str, Any], start_response: StartResponse) -> None:
        self._exchange = exchange
        self._environ = environ
        # Dispatchers change it.
        self._path = str(environ.get("PATH_INFO", ""))
        self._server_start = start_response
        self._started: tuple[str, Headers, ExcInfo | None] | None = None
        self._write: Callable[[bytes], object] | None = None
        self._page: Page | None = None

    def run(self, app: WSGIApplication, response: Callable[..., Response]) -> Iterable[bytes]:
        """Call the application by way of a response without rewriting, and return the body."""
        inner = response(self._exchange, self._environ, self.start)
        body = inner.run(app)
        return self._send(body, is_file=inner.is_file_wrapper(body))

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Callable[[bytes], object]:
        """Take status and headers, the last time as they leave."""
        if self._write is not None:
            return self._again(status, headers, exc_info)
        self._started = (status, headers, exc_info)
        return self._first_write

    def _again(self, status: str, headers: Headers, exc_info: ExcInfo | None) -> Callable[[bytes], object]:
        """Take an error page in place of a page of which the server has sent nothing yet; else the server raises."""
        page = None if self._is_opted_out() else self._exchange.page(self._path, status, headers)
        if page is not None:
            correct(headers, None)
            protect(headers)
        self._write = self._server_start(status, headers, exc_info)
        self._page = page
        return self._first_write

    def _first_write(self, data: bytes) -> object:
        self.leave()
        return self._write(self.push(data)) if self._write else None

    def leave(self, body: Iterable[bytes] | None = None, *, is_file: bool = False) -> list[bytes] | None:
        """Let the headers leave, unless they have.

        Args:
            body: the whole body, if it is there already.
            is_file: the server sends a file by itself.

        Returns:
            The whole body, rewritten; None where there was none, or nothing is rewritten.
        """
        if self._write is not None or self._started is None:
            return None
        status, headers, exc_info = self._started
        self._started = None
        self._page = None if is_file or self._is_opted_out() else self._exchange.page(self._path, status, headers)
        whole = [self.push(b"".join(body)) + self.finish()] if self._page is not None and body is not None else None
        if self._page is not None:
            correct(headers, None if whole is None else len(whole[0]))
        self._write = self._server_start(status, headers, exc_info) if exc_info else self._server_start(status, headers)
        return whole

    def _is_opted_out(self) -> bool:
        return self._environ.get(REWRITE_KEY, True) is False

    def push(self, data: bytes) -> bytes:
        """Return what of the body is certain by now."""
        return data if self._page is None else self._page.push(data)

    def finish(self) -> bytes:
        """Return what was held back."""
        return b"" if self._page is None else self._page.finish()

    def _send(self, body: Iterable[bytes], *, is_file: bool) -> Iterable[bytes]:
        if is_file:
            self.leave(is_file=True)
            if self._write is not None and (held := self.finish()):
                self._write(held)  # what was written before the file
            return body
        if type(body) in (list, tuple) and self._started is not None:
            whole = self.leave(body)
            return body if whole is None else whole
        if self._started is not None:
            self.leave()
        return body if self._write is not None and self._page is None else _Rewritten(self, body)


class _Rewritten:
    """A body, rewritten chunk by chunk: one for each of the application's (PEP 3333, "Middleware Handling")."""

    def __init__(self, rewriting: Rewriting, body: Iterable[bytes]) -> None:
        self._rewriting = rewriting
        self._body = body
        self._chunks: Iterator[bytes] | None = None
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        if self._chunks is None:
            self._chunks = iter(self._body)
        chunk = next(self._chunks, None)
        self._rewriting.leave()
        if chunk is not None:
            return self._rewriting.push(chunk)
        self._ended = True
        held = self._rewriting.finish()
        if not held:
            raise StopIteration
        return held

    def close(self) -> None:
        """Close the application's body."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
