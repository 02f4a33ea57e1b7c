"""Flask: sessions in streamed responses, files, and behind other middlewares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flask import Flask
from webclient import SECRET, Client

from sharedsession import HeadersSentError, SessionMiddleware, get_session

if TYPE_CHECKING:
    pass

from flaskclient import browser, make_app


def streaming_app(*, early: bool) -> Flask:
    """Return an app whose /stream reads and changes the session while it streams."""
    app = make_app()

    @app.get("/stream")
    def stream() -> flask.Response:
        def generate() -> Iterator[str]:
            yield "first "
            flask.session["streamed"] = flask.session.get("a", 0) + 1
            yield "second"

        if early:
            flask.session["a"] = 1
        return flask.Response(flask.stream_with_context(generate()))

    return app


@pytest.mark.parametrize("early", [True, False], ids=["used-before", "first-used-in-the-stream"])
def test_streaming(early: bool) -> None:
    """A stream may read and change a known session; what it changes is saved when it is closed."""
    client = browser(streaming_app(early=early))
    assert client.get("/stream").text == "first second"
    assert client.get("/show").text == "{'a': 1, 'streamed': 2}"


def test_streaming_a_new_session() -> None:
    """A session that is created only while streaming cannot reach the client: HeadersSentError, and none is stored."""
    client = browser(streaming_app(early=False), logged_in=False)
    with pytest.raises(HeadersSentError):
        client.get("/stream")
    client = browser(streaming_app(early=True), logged_in=False)
    client.get("/stream")
    assert client.get("/show").text == "{'a': 1, 'streamed': 2}"


def test_send_file(tmp_path: Any) -> None:
    """send_file hands the server its own file wrapper, also when the session was changed."""
    (tmp_path / "file.txt").write_text("content")
    app = make_app()

    @app.get("/file")
    def send() -> flask.Response:
        flask.session["file"] = 1
        return flask.send_file(tmp_path / "file.txt")

    class Wrapper:
        def __init__(self, file: Any, size: int = 8192) -> None:
            self.file = file

        def close(self) -> None:
            self.file.close()

    environ = {**Client(app).environ("/file"), "wsgi.file_wrapper": Wrapper}
    result: Any = app(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert type(result) is Wrapper
    result.close()


# -- with other middlewares ----------------------------------------------------------------------------------------


def test_another_middleware_outside() -> None:
    """A SessionMiddleware for another cookie may stand around a Flask app that has SharedSession."""
    app = make_app()

    @app.get("/both")
    def both() -> str:
        outer = get_session(flask.request.environ, "OUTER")
        outer["n"] = outer.get("n", 0) + 1
        assert get_session(flask.request.environ) is flask.session._get_current_object()  # type: ignore[attr-defined]
        return f"{dict(outer)} {dict(flask.session)}"

    app.wsgi_app = SessionMiddleware(app.wsgi_app, secret_key=SECRET, cookie={"name": "OUTER"})  # type: ignore[method-assign]
    client = browser(app)
    assert client.get("/both").text == "{'n': 1} {'a': 1}"
    assert client.get("/both").text == "{'n': 2} {'a': 1}"
