"""PEP 3333 through the middleware: what becomes of the body, and that it is closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webclient import TEXT, Client, Server, bare, checked, ending_in

from sharedsession import get_session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: A server that nobody listens on.
AWAY = "n1:127.0.0.1:1"


class Body:
    """A body that knows whether it was iterated and closed."""

    def __init__(self, chunks: Iterable[bytes] = (b"body",), error: Exception | None = None) -> None:
        self._chunks = iter(chunks)
        self._error = error
        self.iterated = False
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.iterated = True
        if self._error is not None:
            raise self._error
        return next(self._chunks)

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


@pytest.mark.parametrize("body", [list, iter], ids=["list", "iterator"])
def test_an_application_that_starts_no_response(body: Any) -> None:
    """It is told so, by us or by the server, before anything is sent."""
    app = bare(lambda environ, start_response: body([b"a"]))
    with pytest.raises(AssertionError, match="start_response"):
        Server().serve(app, Client(app).environ())


def test_close_after_body() -> None:
    """The body's close() is called once when the response is complete."""
    body = Body()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return body

    assert Client(checked(app)).get().text == "body"
    assert body.closed == 1


def test_close_when_not_iterated() -> None:
    """A server that closes the body without iterating it (HEAD) closes the application's; the session is saved."""
    body = Body()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        return body

    middleware = bare(app)
    server = Server()
    result: Any = middleware(Client(middleware).environ(), server.start)
    result.close()
    assert (body.iterated, body.closed) == (False, 1)
    assert middleware.stats()["created"] == 1


def test_close_of_a_generator_that_never_ran() -> None:
    """Closing a response that was never started starts none, stores nothing and raises nothing."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        yield b"body"

    middleware = bare(app)
    server = Server()
    result: Any = middleware(Client(middleware).environ(), server.start)
    result.close()
    assert server.starts == 0
    assert middleware.stats() == {}


def test_close_after_exception() -> None:
    """The body's close() is called once when the body raises; the exception passes."""
    body = Body(error=LookupError("broken"))

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return body

    with pytest.raises(LookupError, match="broken"):
        Client(checked(app)).get()
    assert body.closed == 1


def test_close_when_replaced_by_503() -> None:
    """A body that is replaced by the 503 is closed, and not iterated."""
    body = Body()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        return body

    assert Client(bare(app, nodes=AWAY)).get().status == 503
    assert (body.iterated, body.closed) == (False, 1)


def test_close_when_the_commit_raises() -> None:
    """A body whose session cannot be stored, for a value of a wrong type, is closed; the TypeError passes."""
    body = Body()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = [object()]
        start_response("200 OK", TEXT)
        return body

    with pytest.raises(TypeError, match="'a'"):
        Client(bare(app)).get()
    assert (body.iterated, body.closed) == (False, 1)


def test_list_is_returned_as_it_is() -> None:
    """A list body is handed to the server as the same object: servers find its length in it."""
    body = [b"body"]

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        return body

    middleware = bare(app)
    assert middleware(Client(middleware).environ(), Server().start) is body


class FileWrapper(Body):
    """A server's own wrapper."""

    def __init__(self, file: object, block_size: int = 8192) -> None:
        super().__init__()


def wrap_file(file: object, block_size: int = 8192) -> FileWrapper:
    """Make one, as servers do whose wsgi.file_wrapper is a function (uWSGI's is one)."""
    return FileWrapper(file)


@pytest.mark.parametrize("wrapper", [FileWrapper, wrap_file], ids=["class", "function"])
def test_file_wrapper_is_returned_as_it_is(wrapper: Any) -> None:
    """What wsgi.file_wrapper made is handed to the server as the same object, or sendfile would not be used."""
    made: list[Any] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        made.append(environ["wsgi.file_wrapper"](object()))
        return made[0]  # type: ignore[no-any-return]

    inner = bare(app, cookie={"name": "INNER"})
    for middleware in (bare(app), bare(inner)):
        made.clear()
        environ = Client(middleware).environ(**{"wsgi.file_wrapper": wrapper})
        result = middleware(environ, Server().start)
        assert result is made[0]
        assert type(result) is FileWrapper


@pytest.mark.parametrize("storable", [True, False])
def test_late_changes_are_saved_before_the_end_is_seen(storable: bool) -> None:
    """What a streamed body changes is stored before the server learns of its end; a failure is told there, once."""

    def finish(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"one"
        get_session(environ)["a"] = 2 if storable else object()

    client = Client(bare(ending_in(finish)))
    client.get("/login")
    body: Any = client.app(client.environ("/"), Server().start)
    assert next(body) == b"one"
    with pytest.raises(StopIteration if storable else TypeError):
        next(body)
    assert client.get("/show").text == f"{{'a': {2 if storable else 1}}}"
    body.close()
