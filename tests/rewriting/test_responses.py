"""Which responses are rewritten, what their headers say then, and that they stream as before (WSGI validators)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

import pytest
from tracking.walker import Environ, Walker, cookie_of, request
from webclient import SECRET, Answer, Headers, Server, bare, checked

from sharedsession import ConfigError, SessionConfig, get_session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

HTML = ("Content-Type", "text/html; charset=utf-8")
LINK = b'<a href="/next">'
URLS: dict[str, Any] = {"tracking": ("cookie", "url"), "rewrite_html": True}


def plain(headers: Headers, chunks: Iterable[bytes] = (LINK,), status: str = "200 OK") -> WSGIApplication:
    """Return an application that stores something in the session and answers with chunks."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response(status, headers)
        return list(chunks)

    return app


def site(
    headers: Headers, chunks: Iterable[bytes] = (LINK,), status: str = "200 OK", **options: Any
) -> WSGIApplication:
    """Return the same in a middleware."""
    return checked(plain(headers, chunks, status), **{**URLS, **options})


def ask(app: WSGIApplication, path: str = "/", **environ: Any) -> Answer:
    """Ask as a new client."""
    return Walker(app).follow(path, **environ)


def is_rewritten(answer: Answer) -> bool:
    """Say whether the body carries the id; it is what the application wrote otherwise."""
    expected = LINK.replace(b'">', b";jsessionid=" + cookie_of(answer).encode() + b'">')
    assert answer.body in (LINK, expected)
    return answer.body != LINK


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "text/html; charset=utf-8", 'TEXT/HTML;Charset="ISO-8859-1"', "text/html; charset=shift_jis; x=y"],
)
@pytest.mark.parametrize("status", ["200 OK", "201 Created", "404 Not Found", "500 Oops", "302 Found"])
def test_html(content_type: str, status: str) -> None:
    """HTML is rewritten, whatever the status: the page of an error has links too."""
    assert is_rewritten(ask(site([("Content-Type", content_type)], status=status)))


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/xhtml+xml")],
        [("Content-Type", "text/html; charset=utf-16")],
        [("Content-Type", "text/html; charset=ISO-2022-JP")],
        [("Content-Type", "text/html; charset=nonsense")],
        [HTML, ("Content-Encoding", "gzip")],
        [HTML, ("content-encoding", "br")],
        [HTML, ("Content-Disposition", 'ATTACHMENT; filename="x"')],
        [HTML, ("Content-Range", "bytes 0-15/16")],
    ],
)
def test_not_html(headers: Headers) -> None:
    """What is no HTML, compressed, to be saved, or in an encoding of another kind is left alone, headers and all."""
    answer = ask(site([*headers, ("Content-Length", str(len(LINK))), ("ETag", '"1"')]))
    assert not is_rewritten(answer)
    assert answer.get("ETag") == '"1"'
    assert answer.get("Content-Length") == str(len(LINK))


@pytest.mark.parametrize("status", ["206 Partial Content", "205 Reset Content"])
def test_status(status: str) -> None:
    """A part of a page is left alone."""
    assert not is_rewritten(ask(site([HTML], status=status)))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_content(status: str) -> None:
    """A response without content keeps its headers."""
    headers = [("ETag", '"1"')] if status.startswith("304") else []
    answer = ask(site(headers, chunks=[], status=status))
    assert answer.body == b""
    assert answer.all("ETag") == [value for _, value in headers]


def test_head() -> None:
    """The answer to a HEAD keeps its headers."""
    answer = ask(site([HTML, ("Content-Length", "16"), ("ETag", '"1"')], chunks=[]), REQUEST_METHOD="HEAD")
    assert (answer.get("Content-Length"), answer.get("ETag")) == ("16", '"1"')


VALIDATORS = [
    ("ETag", '"1"'),
    ("ETag", 'W/"1"'),
    ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
    ("Digest", "sha-256=x"),
    ("Content-Digest", "sha-256=:x:"),
    ("Repr-Digest", "sha-256=:x:"),
]


@pytest.mark.parametrize(("name", "value"), VALIDATORS)
def test_headers_of_the_bytes(name: str, value: str) -> None:
    """What the application says of the bytes that it wrote does not go out with others."""
    answer = ask(site([HTML, (name, value)]))
    assert is_rewritten(answer)
    assert answer.get(name) is None


def test_length() -> None:
    """The length of a page that is there as a whole is corrected; ranges of it cannot be had; it is for this client."""
    length = ("Content-Length", str(len(LINK)))
    headers = [HTML, length, ("Accept-Ranges", "bytes"), ("Cache-Control", "public, max-age=9")]
    answer = ask(bare(plain(headers, [LINK[:5], LINK[5:]]), **URLS))
    assert is_rewritten(answer)
    assert answer.get("Content-Length") == str(len(answer.body))
    assert answer.get("Accept-Ranges") == "none"
    assert answer.get("Cache-Control") == "max-age=9, private"


def test_with_cookie() -> None:
    """A client that takes cookies gets the page as the application wrote it, with every header."""
    app = site([HTML, ("Content-Length", str(len(LINK))), ("ETag", '"1"')])
    cookie = cookie_of(ask(app))
    answer = ask(app, HTTP_COOKIE=f"JSESSIONID={cookie}")
    assert (answer.body, answer.get("ETag")) == (LINK, '"1"')


@pytest.mark.parametrize("cookie", ["JSESSIONID=forged", f"JSESSIONID={'0' * 64}", "other=1"])
def test_with_a_forged_cookie(cookie: str) -> None:
    """A cookie that is not well signed says nothing of the client."""
    assert is_rewritten(ask(site([HTML]), HTTP_COOKIE=cookie))


def test_without_a_session() -> None:
    """Where there is no session nothing is rewritten, and none is made for the sake of a link."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [HTML, ("ETag", '"1"')])
        return [LINK]

    answer = ask(checked(app, **URLS))
    assert (answer.body, answer.all("Set-Cookie"), answer.get("ETag")) == (LINK, [], '"1"')


def test_crawler() -> None:
    """A crawler gets no id: it would publish it."""
    assert not is_rewritten(ask(site([HTML]), HTTP_USER_AGENT="Examplebot/1.0"))


# -- opt-outs ----------------------------------------------------------------------------------------------------------


def test_response_opted_out() -> None:
    """A response for which the application says so stays as it is."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        get_session(environ)["a"] = 1
        environ["sharedsession.rewrite_html"] = False
        start_response("200 OK", [HTML])
        return [LINK]

    assert not is_rewritten(ask(checked(app, **URLS)))


@pytest.mark.parametrize(
    ("path", "rewritten"),
    [("/api", False), ("/api/x", False), ("/api;jsessionid=0/x", False), ("/apix", True), ("/", True)],
)
def test_path_opted_out(path: str, rewritten: bool) -> None:
    """Pages below a path of `rewrite_html_except` stay as they are; sessions and encode_url are there as ever."""
    answer = ask(site([HTML], rewrite_html_except=["/api"]), path)
    assert is_rewritten(answer) == rewritten
    assert cookie_of(answer)


# -- options -----------------------------------------------------------------------------------------------------------


def test_needs_a_way() -> None:
    """Without URL and form tracking there is nothing to rewrite: an error that names the option."""
    with pytest.raises(ConfigError, match="rewrite_html") as caught:
        SessionConfig(secret_key=SECRET, rewrite_html=True)
    assert caught.value.option == "rewrite_html"


@pytest.mark.parametrize(
    "options", [{"rewrite_html": 1}, {"rewrite_html_except": "/api"}, {"rewrite_html_except": ["api"]}]
)
def test_wrong_values(options: dict[str, Any]) -> None:
    """A wrong value is refused by the option's name."""
    with pytest.raises(ConfigError) as caught:
        SessionConfig(secret_key=SECRET, tracking=("url",), **options)
    assert [caught.value.option] == list(options)


def test_off() -> None:
    """Pages are rewritten only where that is switched on."""
    assert not is_rewritten(ask(site([HTML], rewrite_html=False)))


# -- streams -----------------------------------------------------------------------------------------------------------


class Body:
    """A body that tells what was asked of it."""

    def __init__(self, chunks: Iterable[bytes], start: Callable[[], object] = bool) -> None:
        self.asked = 0
        self.closed = 0
        self._start = start
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.asked:
            self._start()
        self.asked += 1
        return next(self._chunks)

    def close(self) -> None:
        self.closed += 1


def streaming(body: Body, headers: Headers, *, late: bool = False) -> WSGIApplication:
    """Return an application with that body; `late`: it starts its response with the first chunk."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        if late:
            body._start = lambda: start_response("200 OK", headers)
        else:
            start_response("200 OK", headers)
        return body

    return checked(app, **URLS)


@pytest.mark.parametrize("late", [False, True])
def test_stream(late: bool) -> None:
    """A stream leaves chunk by chunk, the first before the second is asked for, and is closed once."""
    body = Body([b"<p>", b'<a href="/ne', b'xt">', b"<a"])
    server = Server()
    environ = request("/")
    app = streaming(body, [HTML, ("Content-Length", "25")], late=late)
    sent = iter(app(environ, server.start))
    assert next(sent) == b"<p>"
    assert body.asked == 1
    assert server.started is not None
    answer = Answer(200, server.started[1], b"")
    assert answer.get("Content-Length") is None
    assert next(sent) == b""
    assert next(sent) == f'<a href="/next;jsessionid={cookie_of(answer)}">'.encode()
    assert list(sent) == [b"", b"<a"]
    sent.close()  # type: ignore[attr-defined]
    assert body.closed == 1


def test_stream_broken_off() -> None:
    """A client that leaves early has the body closed."""
    body = Body([b"<p>", b"<p>"])
    sent = streaming(body, [HTML])(request("/"), Server().start)
    next(iter(sent))
    sent.close()  # type: ignore[attr-defined]
    assert body.closed == 1


@pytest.mark.parametrize("late", [False, True])
def test_stream_untouched(late: bool) -> None:
    """A stream that is no page keeps its length and every chunk."""
    body = Body([LINK, b"", LINK])
    answer = ask(streaming(body, [("Content-Type", "text/plain"), ("Content-Length", "32")], late=late))
    assert (answer.body, answer.get("Content-Length")) == (LINK * 2, "32")


def test_empty_stream() -> None:
    """A page without a single chunk has its headers sent."""
    assert ask(streaming(Body([]), [HTML])).get("Content-Type") == HTML[1]


def test_write() -> None:
    """What is written with the callable that start_response returns is rewritten too, up to its last byte."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        write = start_response("200 OK", [HTML])
        write(b'<a href="/ne')
        write(b'xt">')
        return [b"<a"]

    answer = ask(checked(app, **URLS))
    assert answer.body == f'<a href="/next;jsessionid={cookie_of(answer)}"><a'.encode()


def test_error_page() -> None:
    """An error page that takes the place of a page whose headers have not left is rewritten as a page of its own."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [HTML], sys.exc_info())
        return [LINK]

    answer = ask(checked(app, **URLS))
    assert answer.status == 500
    assert is_rewritten(answer)


def test_error_in_a_stream() -> None:
    """An exception in the middle of a page reaches the server, and the body is closed."""

    def fails() -> Iterator[bytes]:
        yield b"<p>"
        raise ValueError("broken")

    body = Body(fails())
    with pytest.raises(ValueError, match="broken"):
        ask(streaming(body, [HTML]))
    assert body.closed == 1


def wrapping_function(file: Any, size: int = 8192) -> Any:
    """Stand in for a file wrapper that is a function, as uWSGI's."""
    return FileWrapper(file, size)


@pytest.mark.parametrize("wrapper", [FileWrapper, wrapping_function])
@pytest.mark.parametrize("written", [False, True])
def test_file(wrapper: Any, written: bool) -> None:
    """A file that the server sends by itself is the object that the application returned, with its headers."""
    made: list[object] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        get_session(environ)["a"] = 1
        write = start_response("200 OK", [HTML, *([] if written else [("Content-Length", "16")])])
        if written:
            write(b"<p><a")
        made.append(environ["wsgi.file_wrapper"](io.BytesIO(LINK)))
        return made[0]

    server = Server()
    environ = {**request("/"), "wsgi.file_wrapper": wrapper}
    body = bare(app, **URLS)(environ, server.start)
    assert body is made[0]
    assert server.started is not None
    assert dict(server.started[1]).get("Content-Length") == (None if written else "16")
    assert server.body == (b"<p><a" if written else b"")
    assert b"".join(body) == LINK


def test_large_page() -> None:
    """A page of 3 MB streams through in the memory of a few chunks."""
    body = Body(b"<p>text</p>" * 1000 for _ in range(300))
    app = streaming(body, [HTML])
    sent = app(request("/"), Server().start)
    largest = total = 0
    for chunk in sent:
        largest = max(largest, len(chunk))
        total += len(chunk)
    sent.close()  # type: ignore[attr-defined]
    assert (largest, total) == (11000, 300 * 11000)


def test_walk() -> None:
    """A client without cookies keeps its session in an application that never heard of it, by links and by forms."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        session = get_session(environ)
        session["visits"] = session.get("visits", 0) + 1
        start_response("200 OK", [HTML])
        return [f'{session["visits"]} <a href="/next?a=1">'.encode()]

    walker = Walker(checked(app, **URLS))
    answer = walker.follow("/")
    for visits in range(2, 5):
        link = answer.text.partition('href="')[2].partition('"')[0]
        answer = walker.follow(link)
        assert answer.text.startswith(f"{visits} ")
