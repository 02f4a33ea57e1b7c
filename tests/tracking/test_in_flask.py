"""Flask and Jinja: `encode_url` and `hidden_field` without environ, and forms that Flask parses itself."""

from __future__ import annotations

import io
import re
from typing import Any
from wsgiref.validate import validator

import flask
import pytest
from flask import Flask
from webclient import SECRET

from sharedsession.flask import SharedSession, encode_url, hidden_field, session
from tracking.walker import ALL, Walker, cookie_of

PAGE = """{{ session.get("user") }} {{ encode_url(url_for("show")) }} {{ hidden_field() }}
<a href="{{ encode_url('?a=1&b=<') }}">"""


def make_app(**options: Any) -> Flask:
    """Return a shop."""
    app = Flask("shop")
    app.secret_key = SECRET
    SharedSession(app, **{"tracking": ALL, **options})
    rules: dict[str, Any] = {
        "/login": log_in,
        "/show": lambda: flask.render_template_string(PAGE),
        "/python": lambda: f"{encode_url('x')} {hidden_field()}",
        "/out": lambda: f"{flask.session.clear()} {encode_url('x')} {hidden_field()}",  # type: ignore[func-returns-value]
        "/change": lambda: f"{session.change_id()} {encode_url('x')}",  # type: ignore[func-returns-value]
        "/where": lambda: f"{flask.request.path} {flask.request.url} {flask.url_for('show')}",
    }
    for path, view in rules.items():
        app.add_url_rule(path, path[1:], view)
    app.add_url_rule("/post", "post", post, methods=["POST"])
    app.add_url_rule("/raw", "raw", lambda: flask.request.get_data(), methods=["POST"])
    return app


def log_in() -> Any:
    """Store a user, and lead on."""
    flask.session["user"] = "u"
    return flask.redirect(flask.url_for("show"))


def post() -> str:
    """Answer with what Flask makes of the form."""
    fields = {name: value for name, value in flask.request.form.items() if name != "jsessionid"}
    files = {name: len(file.read()) for name, file in flask.request.files.items()}
    return f"{flask.session.get('user')} {fields} {files}"


@pytest.fixture
def walker() -> Walker:
    """Return a client without cookies."""
    return Walker(validator(make_app()))


def logged_in(walker: Walker) -> str:
    """Log in; return the id, taken from the redirect."""
    location = walker.follow("/login").get("Location") or ""
    return location.partition(";jsessionid=")[2]


def test_templates(walker: Walker) -> None:
    """Templates write links and the field as HTML, by Jinja globals."""
    text = logged_in(walker)
    html = walker.follow(f"/show;jsessionid={text}").text
    assert html.startswith(f'u /show;jsessionid={text} <input type="hidden" name="jsessionid" value="{text}">')
    assert f'<a href="/show;jsessionid={text}?a=1&amp;b=&lt;">' in html


def test_functions(walker: Walker) -> None:
    """The same functions serve in views, and need a session that is there."""
    assert walker.follow("/python").text == "x "
    text = logged_in(walker)
    assert re.fullmatch(rf"x;jsessionid={text} <input .*{text}.>", walker.follow(f"/python;jsessionid={text}").text)


def test_redirect(walker: Walker) -> None:
    """A view's redirect keeps the session of a client without cookies."""
    assert walker.follow(walker.follow("/login").get("Location") or "").text.startswith("u ")


def test_urls_of_flask_are_clean(walker: Walker) -> None:
    """Flask routes by the clean path, and builds clean URLs."""
    text = logged_in(walker)
    assert walker.follow(f"/where;jsessionid={text}").text == "/where http://www.example.com/where /show"


def test_emptied(walker: Walker) -> None:
    """After Flask's session.clear(), a log-out, no link carries the id."""
    text = logged_in(walker)
    assert walker.follow(f"/out;jsessionid={text}").text == "None x "
    assert walker.follow(f"/show;jsessionid={text}").text.startswith("None /show \n")


def test_change_id(walker: Walker) -> None:
    """After change_id links carry the new id."""
    text = logged_in(walker)
    answer = walker.follow(f"/change;jsessionid={text}")
    assert answer.text == f"None x;jsessionid={cookie_of(answer)}" != f"None x;jsessionid={text}"


def test_forms(walker: Walker) -> None:
    """Flask parses a form whose first field named the session, urlencoded or multipart with a file."""
    text = logged_in(walker)
    assert walker.submit("/post", f"jsessionid={text}&a=%C3%A9".encode()).text == "u {'a': 'é'} {}"
    head = '--b\r\nContent-Disposition: form-data; name="'
    body = f'{head}jsessionid"\r\n\r\n{text}\r\n{head}a"\r\n\r\nb\r\n{head}f"; filename="f"\r\n\r\n'
    content = {"CONTENT_TYPE": "multipart/form-data; boundary=b"}
    data = body.encode() + b"x" * 100_000 + b"\r\n--b--\r\n"
    assert walker.submit("/post", data, **content).text == "u {'a': 'b'} {'f': 100000}"


def test_raw_body() -> None:
    """A view gets the raw body whole, also of a form that a chunked request brought."""
    walker = Walker(make_app())  # the validator does not know read() without a size, which Flask uses here
    text = logged_in(walker)
    body = f"jsessionid={text}&".encode() + b"y" * 10_000
    assert walker.submit("/raw", body).body == body
    chunked: dict[str, Any] = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    chunked["wsgi.input"] = io.BytesIO(body)
    assert walker.submit("/raw", body, **chunked).body == body


def test_test_client() -> None:
    """Flask's own test client, which keeps cookies, sees clean links after the first."""
    client = make_app().test_client()
    client.get("/login")
    assert client.get("/python").text == "x "
    assert client.get("/show").text.startswith("u /show \n")


def test_off() -> None:
    """With cookies alone the globals are there, and write nothing."""
    walker = Walker(make_app(tracking=("cookie",)))
    assert walker.follow("/login").get("Location") == "/show"
    assert walker.follow("/python").text == "x "
