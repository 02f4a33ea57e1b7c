"""One response on its way to the server (PEP 3333): the session is committed before its headers leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import REFUSALS, RETRY_AFTER, Refusal, StoreUnavailableError
from .exchange import Exchange

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Headers = list[tuple[str, str]]
Write = Callable[[bytes], object]


class Response:
    """One response on its way: holds the application's status and headers back until the session is saved."""

    #: The application's; None until it has called start_response.
    _headers: Headers | None = None
    _status: str = ""
    _exc_info: ExcInfo | None = None
    _write: Write | None = None
    _left: bool = False
    _ends: bool = False
    #: What a file wrapper that is a function has returned.
    _files: tuple[object, ...] = ()
    #: What is answered in place of the application's response.
    _refusal: Refusal | None = None

    def __init__(self, exchange: Exchange, environ: dict[str, Any], start_response: StartResponse) -> None:
        self._exchange = exchange
        self._environ = environ
        self._server_start = start_response

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Call the application, commit, and return the body."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and not isinstance(wrapper, type):
            self._watch_files(wrapper)
        try:
            return self._run(app)
        except BaseException:
            self._exchange.end()
            raise

    def _run(self, app: WSGIApplication) -> Iterable[bytes]:
        try:
            body = app(self._environ, self)
        except REFUSALS as error:
            if self._left:
                raise
            return self.refuse(error)
        written = self._left
        # Nothing of the application runs any more once it has returned one of these.
        kind = type(body)
        self._ends = kind is list or kind is tuple
        try:
            if self._headers is not None and not self._left:
                self._commit()
        except BaseException:
            _close(body)
            raise
        if self._refusal is not None:
            _close(body)
            return self.refusal()
        if self._ends or self.is_file_wrapper(body):
            # A server recognises its own file wrapper by the object.
            if written:
                self.end()
            else:
                self._exchange.end()
            return body
        return _Body(self, body)

    def __call__(self, status: Any, headers: Any = None, exc_info: ExcInfo | None = None, /) -> Any:
        """Take the application's status and headers: this is start_response (PEP 3333).

        With nothing but data it is the write() that start_response returns: few applications call that, and an object
        of its own in every response took as long as a tenth of all else.
        """
        if headers is None:
            return self._first_write(status)
        if self._left:
            # The headers have left: the server raises the exception, or complains that none is given.
            return self._server_start(status, headers, exc_info)
        if self._headers is not None and exc_info is None:
            raise AssertionError("start_response was called twice without exc_info (PEP 3333)")
        self._status, self._exc_info = status, exc_info
        self._headers = _copy(headers)
        return self

    def _first_write(self, data: Any) -> object:
        if not self._left:
            self._commit()
        if self._refusal is not None:
            return None  # the 503 is sent instead of what the application writes
        return self._write(data) if self._write else None

    def _commit(self) -> None:
        """Save the session, then let the headers leave; a 503 or 409 leaves instead when it cannot be saved."""
        status, headers = self._status, self._headers
        if headers is None:
            raise AssertionError("the application has not called start_response (PEP 3333)")
        try:
            self._exchange.commit(status, headers)
        except REFUSALS as error:
            self.refuse(error)
            return
        failure = self._exchange.failure
        if failure is not None and status.startswith("500"):
            self.refuse(failure)
            return
        self._leave(status, headers, self._exc_info)

    def refuse(self, error: Refusal) -> Iterable[bytes]:
        """Answer what the error says: 503, memcached is away, or 409. The client keeps its cookie and tries again."""
        self._refusal = error
        self._exchange.end()
        body = self.refusal()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            # Of a GET, also when this answers a HEAD (RFC 9110 8.6).
            ("Content-Length", str(len(error.description))),
            *([("Retry-After", str(RETRY_AFTER))] if isinstance(error, StoreUnavailableError) else []),
            ("Cache-Control", "no-store"),
        ]
        self._leave(f"{error.code} {error.name}", headers, None)
        return body

    def refusal(self) -> list[bytes]:
        """Return the body of that answer."""
        if self._environ.get("REQUEST_METHOD") == "HEAD" or self._refusal is None:
            return []
        return [self._refusal.description.encode()]

    def _leave(self, status: str, headers: Headers, exc_info: ExcInfo | None) -> None:
        self._exc_info = None
        self._left = True
        if exc_info is None:
            self._write = self._server_start(status, headers)
        else:
            self._write = self._server_start(status, headers, exc_info)
        self._exchange.headers_sent(ends=self._ends)

    # -- body ------------------------------------------------------------------------------------------------------

    def is_file_wrapper(self, body: object) -> bool:
        """Say whether a body is what the server's `wsgi.file_wrapper` has returned."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type):
            return isinstance(body, wrapper)
        return any(body is file for file in self._files)

    def _watch_files(self, wrapper: Callable[..., object]) -> None:
        """Remember what a file wrapper that is a function (uWSGI) returns: there is no class to recognise it by."""

        def wrap(*args: Any) -> object:
            file = wrapper(*args)
            self._files += (file,)
            return file

        self._environ["wsgi.file_wrapper"] = wrap

    @property
    def headers_left(self) -> bool:
        """The status and headers have been given to the server."""
        return self._left

    def commit_before_body(self) -> bool:
        """Commit an application that starts its response late; say whether its body is to be sent."""
        if not self._left:
            self._commit()
        return self._refusal is None

    def go_on(self) -> None:
        """Let the application use its session as before: its body is being closed."""
        if self._refusal is None:
            self._exchange.go_on()

    def end(self) -> None:
        """Save what changed while the body was sent; nothing of the application runs any more."""
        if self._left and self._refusal is None:
            self._exchange.finish()
        else:
            self._exchange.end()


class _Body:
    """The application's body; commits before its first chunk, after its last, and once more when it is closed."""

    def __init__(self, response: Response, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._begin()
        try:
            return next(self._chunks)
        except StopIteration:
            # Before the client sees the end: what it asks next shall find what this response has done.
            self._response.end()
            raise

    def _begin(self) -> Iterator[bytes]:
        chunks = iter(self._body)
        if self._response.headers_left:
            return chunks
        # PEP 3333: an application calls start_response before its body yields the first chunk.
        try:
            first = list(islice(chunks, 1))
        except REFUSALS as error:
            return iter(self._response.refuse(error))
        if not self._response.commit_before_body():
            return iter(self._response.refusal())
        return chain(first, chunks)

    def close(self) -> None:
        """Close the application's body, then save what it changed."""
        self._response.go_on()
        try:
            _close(self._body)
        finally:
            self._response.end()


def _copy(headers: Iterable[Any]) -> Headers:
    """Return the application's headers as a list of our own: it may use its list again for another client.

    PEP 3333 wants a list of tuples; whoever gives others is served all the same.
    """
    copied: list[Any] = headers.copy() if isinstance(headers, list) else list(headers)
    for header in copied:
        if type(header) is not tuple:
            return [(name, value) for name, value in copied]
    return copied


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
