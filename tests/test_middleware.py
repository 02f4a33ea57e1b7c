"""PEP 3333 through the middleware: start_response, write() and applications that start their response late."""

from __future__ import annotations

import copy
import gc
import io
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webclient import SECRET, TEXT, Client, Server, bare, checked, ending_in, logged_in

from sharedsession import HeadersSentError, Session, SessionMiddleware, get_session
from sharedsession.dialogue import Requested, Shown
from sharedsession.facade import Opener
from sharedsession.life import Life

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


def test_start_response_again_with_exc_info() -> None:
    """Before the headers leave, a second start_response with exc_info replaces the response; the session is saved."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Sorry", [*TEXT, ("X-Error", "yes")], sys.exc_info())
        return [b"sorry"]

    answer = Client(checked(app)).get()
    assert (answer.status, answer.get("X-Error"), answer.text) == (500, "yes", "sorry")
    assert answer.set_cookie is not None


def test_start_response_again_without_exc_info() -> None:
    """A second start_response without exc_info is an AssertionError, and nothing is stored."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b""]

    middleware = bare(app)
    with pytest.raises(AssertionError, match="exc_info"):
        Client(middleware).get()
    assert middleware.stats() == {}


def test_start_response_without_headers() -> None:
    """An application that gives no headers is told so by an AssertionError; nothing is stored, nothing has left."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK")
        return [b""]

    middleware, server = bare(app), Server()
    with pytest.raises(AssertionError, match="not called start_response"):
        server.serve(middleware, Client(middleware).environ())
    assert (middleware.stats(), server.starts) == ({}, 0)


def test_start_response_again_after_headers_left() -> None:
    """After the headers have left, start_response with exc_info raises that exception, as the server decides."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        yield b"first"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Sorry", TEXT, sys.exc_info())
        yield b"never"

    server = Server()
    middleware = checked(app)
    with pytest.raises(ValueError, match="too late"):
        server.serve(middleware, Client(middleware).environ())
    assert server.body == b"first"


def test_server_starts_once() -> None:
    """However often an application starts its response before the headers leave, the server is told once."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise ValueError
        except ValueError:
            start_response("500 Sorry", TEXT, sys.exc_info())
        return [b"sorry"]

    server = Server()
    middleware = checked(app)
    server.serve(middleware, Client(middleware).environ())
    assert server.starts == 1


def test_write_callable() -> None:
    """What is written through write() comes before the body, after headers that have the cookie."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    client = Client(checked(ending_in(app)))
    assert client.get().text == "one two three"
    assert client.get("/show").text == "{'a': 1}"


@pytest.mark.parametrize("validated", [True, False], ids=["iterator", "list"])
def test_change_after_write_is_kept(validated: bool) -> None:
    """A change to a known session after write() is saved, although the headers have left."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)(b"one ")
        get_session(environ)["b"] = 2
        return [b"two"]

    client = logged_in((checked if validated else bare)(ending_in(app)))
    assert client.get().text == "one two"
    assert client.get("/show").text == "{'a': 1, 'b': 2}"


@pytest.mark.parametrize("validated", [True, False], ids=["iterator", "list"])
def test_session_made_after_write(validated: bool) -> None:
    """A session that is made after write() needs a cookie that cannot be sent: HeadersSentError, never silence."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)(b"one ")
        get_session(environ)["b"] = 2
        return [b"two"]

    with pytest.raises(HeadersSentError):
        Client((checked if validated else bare)(app)).get()


def test_generator_starts_late() -> None:
    """An application that calls start_response in its generator gets its session and its cookie."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["late"] = 1
        start_response("200 OK", TEXT)
        yield b"one "
        yield b"two"

    client = Client(checked(ending_in(app)))
    assert client.get().text == "one two"
    assert client.get("/show").text == "{'late': 1}"


def test_generator_without_chunks() -> None:
    """A generator that starts its response and yields nothing gets its session and its cookie too."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["late"] = 1
        start_response("200 OK", TEXT)
        yield from ()

    client = Client(checked(ending_in(app)))
    assert client.get().body == b""
    assert client.get("/show").text == "{'late': 1}"


def test_generator_raises_before_its_response() -> None:
    """A generator that raises before its first chunk has stored nothing and started nothing, also after close()."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/":
            raise LookupError("broken")
        yield b"body"

    middleware = bare(app)
    server = Server()
    with pytest.raises(LookupError, match="broken"):
        server.serve(middleware, Client(middleware).environ())
    assert server.starts == 0
    assert middleware.stats() == {}


def test_application_raises_after_start_response() -> None:
    """An application that raises after start_response has stored nothing and the server was not started."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", TEXT)
        raise LookupError("broken")

    middleware = bare(app)
    server = Server()
    with pytest.raises(LookupError, match="broken"):
        server.serve(middleware, Client(middleware).environ())
    assert server.starts == 0
    assert middleware.stats() == {}


def test_no_start_response() -> None:
    """An application that never calls start_response is told so."""
    with pytest.raises(AssertionError, match="start_response"):
        Client(bare(lambda environ, start_response: [b"body"])).get()


def test_change_while_streaming() -> None:
    """What changes in a known session while the body is sent is saved when it is closed."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)

        def stream() -> Iterator[bytes]:
            yield b"first"
            session["streamed"] = session["a"] + 1

        start_response("200 OK", TEXT)
        return stream()

    client = logged_in(checked(ending_in(app)))
    assert client.get().text == "first"
    assert client.get("/show").text == "{'a': 1, 'streamed': 2}"


@pytest.mark.parametrize("known", [False, True], ids=["create", "end"])
def test_cookie_needed_while_streaming(known: bool) -> None:
    """Creating or ending a session while the body is sent raises HeadersSentError from close(), and does neither."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)

        def stream() -> Iterator[bytes]:
            yield b"first"
            if known:
                session.invalidate()
            else:
                session["a"] = 1

        start_response("200 OK", TEXT)
        return stream()

    middleware = checked(ending_in(app))
    client = logged_in(middleware) if known else Client(middleware)
    with pytest.raises(HeadersSentError):
        client.get()
    assert client.get("/show").text == ("{'a': 1}" if known else "{}")


def test_head_and_not_modified() -> None:
    """HEAD and 304 pass as they are, and carry the cookie of a new session."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        head = environ["REQUEST_METHOD"] == "HEAD"
        start_response("200 OK" if head else "304 Not Modified", [*TEXT, ("Content-Length", "5")] if head else [])
        return []

    answer = Client(checked(app)).get(method="HEAD")
    assert (answer.status, answer.body, answer.get("Content-Length")) == (200, b"", "5")
    assert answer.set_cookie is not None
    answer = Client(checked(app)).get()
    assert (answer.status, answer.body) == (304, b"")
    assert answer.set_cookie is not None


def test_a_session_that_is_kept_keeps_no_request() -> None:
    """Who holds a session beyond its response does not hold the request with it."""
    held: list[Session] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        held.append(get_session(environ))
        start_response("200 OK", TEXT)
        return []

    middleware = bare(app)
    body = io.BytesIO(b"body")
    gone = weakref.ref(body)
    gc.disable()
    try:
        environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": body}
        list(middleware(environ, lambda *_: lambda _: None))
        del body, environ
        assert gone() is None
    finally:
        gc.enable()
    assert held


@pytest.mark.parametrize("use", [False, True], ids=["untouched", "used"])
@pytest.mark.parametrize("headers", [tuple(TEXT), [list(pair) for pair in TEXT]], ids=["tuple", "lists"])
def test_headers_that_are_no_list_of_tuples(headers: Any, use: bool) -> None:
    """An application that gives its headers in another form than PEP 3333 wants is served all the same."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if use:
            get_session(environ)["a"] = 1
        start_response("200 OK", headers)
        return [b"ok"]

    answer = Client(bare(app)).get()
    assert (answer.status, answer.text) == (200, "ok")
    assert (answer.set_cookie is not None) == use
    assert {type(header) for header in answer.headers} == {tuple}


class OwnSession(Session):
    """What an application may derive."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self.seen = 0

    def __getitem__(self, name: str) -> Any:
        self.seen += 1
        return super().__getitem__(name)


class OwnMiddleware(SessionMiddleware):
    """What an application may derive."""

    calls = 0

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Count."""
        self.calls += 1
        return super().__call__(environ, start_response)


def test_middleware_and_session_can_be_derived_from() -> None:
    """Classes derived from the middleware's and the session's see every call, and may hold what they like."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        session["n"] = session.get("n", 0) + 1
        start_response("200 OK", TEXT)
        own = OwnSession(Life(middleware.parts.policy.manager, Shown([Requested(str(session.id), "cookie")])))
        assert weakref.ref(own)() is own
        return [repr((session["n"], own.get("n"), own["n"] if own else None, own.seen)).encode()]

    middleware = OwnMiddleware(app, secret_key=SECRET)
    client = Client(middleware)
    assert [client.get().text, client.get().text] == ["(1, None, None, 0)", "(2, 1, 1, 1)"]
    assert middleware.calls == 2


@pytest.mark.parametrize("use", [False, True])
def test_an_untouched_session_is_but_an_object(use: bool) -> None:
    """A session begins its life when it is first used, not before: a request that leaves it alone pays for none."""
    begun: list[bool] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        found = session.get("n") if use else (repr(session), session.accessed, session.modified)
        start_response("200 OK", TEXT)
        begun.append(session._begun is not None)
        return [repr(found).encode()]

    assert Client(checked(app)).get().status == 200
    assert begun == [use]


@pytest.mark.parametrize("use", [False, True])
def test_the_applications_header_list_stays_its_own(use: bool) -> None:
    """An application may use one list of headers for all its clients: what is added for one no other gets."""
    headers = [*TEXT]

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if use:
            get_session(environ)["a"] = 1
        start_response("200 OK", headers)
        headers.append(("X-Later", "too late"))
        yield b""

    def around(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, given: Any, exc_info: Any = None) -> Any:
            given.append(("Set-Cookie", "from=outside"))
            return start_response(status, given, exc_info)

        return bare(app)(environ, start)

    answer = Server().serve(around, Client(bare(app)).environ())
    assert len([value for name, value in answer.headers if name == "Set-Cookie"]) == 1 + use
    assert answer.get("X-Later") is None
    assert headers == [*TEXT, ("X-Later", "too late")]


@pytest.mark.parametrize("use", [False, True])
def test_a_copy_of_the_session_is_the_session(use: bool) -> None:
    """What is set on what `copy.copy` returns is stored, whether the session was used before or not."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        if use:
            session.get("a")
        copy.copy(session)["a"] = 1
        start_response("200 OK", TEXT)
        return [repr(session["a"]).encode()]

    answer = Client(checked(app)).get()
    assert (answer.text, answer.set_cookie is not None) == ("1", True)
