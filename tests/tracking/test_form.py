"""The hidden field: which bodies it is found in, and what it looks like."""

from __future__ import annotations

import pytest
from webclient import Answer

from sharedsession import hidden_field
from sharedsession.session import Session
from tracking.walker import FORM, IDS, Environ, Walker, log_in, site, who

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: str, extra: str = "") -> str:
    """Return one part of a multipart body."""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{value}\r\n'


def multipart(*parts: str) -> bytes:
    """Return a multipart body."""
    return ("".join(parts) + f"--{BOUNDARY}--\r\n").encode("latin-1")


@pytest.fixture
def walker() -> Walker:
    """Return a client with a session; `at` holds its id."""
    walker = Walker(site({"/login": log_in, "/who": who, "/field": field}))
    walker.at = walker.follow("/login").text
    return walker


def field(environ: Environ, session: Session) -> str:
    """Store something and answer with the hidden field."""
    session["a"] = 1
    return f"{session.ensure_id()} {hidden_field(environ)}"


def post(walker: Walker, body: bytes, content_type: str = FORM, **more: str) -> Answer:
    """Post a body to /who."""
    walker.at = "http://www.example.com/"
    return walker.submit("/who", body, CONTENT_TYPE=content_type, **more)


URLENCODED = [
    "jsessionid={}",
    "jsessionid={}&a=b",
    "jsessionid={}&jsessionid=x",
    "%6Asessionid={}&a=b",
    "jsessionid={}&" + "a=" + "x" * 100_000,
]
IN_PARTS = [
    (MULTIPART, multipart(part("jsessionid", "{}"))),
    (MULTIPART, multipart(part("jsessionid", "{}"), part("a", "b"), part("f", "x" * 100_000, '; filename="f"'))),
    (MULTIPART, multipart(part("jsessionid", "{}", "\r\nContent-Type: text/plain; charset=utf-8"))),
    (f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"', multipart(part("jsessionid", "{}"))),
    (MULTIPART, b"preamble\r\n" + multipart(part("jsessionid", "{}"))),
]


@pytest.mark.parametrize("body", URLENCODED)
@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", FORM.title()])
def test_urlencoded(walker: Walker, body: str, content_type: str) -> None:
    """The id is found as the first field of a urlencoded form."""
    assert post(walker, body.replace("{}", walker.at).encode(), content_type).text == "u by form"


@pytest.mark.parametrize(("content_type", "body"), IN_PARTS)
def test_multipart(walker: Walker, content_type: str, body: bytes) -> None:
    """The id is found as the first part of a multipart form, however long the form is."""
    assert post(walker, body.replace(b"{}", walker.at.encode()), content_type).text == "u by form"


NOT_FOUND = [
    (FORM, b"a=b&jsessionid={}"),
    (FORM, b"&jsessionid={}"),
    (FORM, b"Jsessionid={}"),
    (FORM, b"jsessionid"),
    (FORM, b"{}"),
    (FORM, b"jsessionid[]={}"),
    (FORM, b"jsessionid=x&jsessionid={}"),
    (FORM, b"jsessionid={}" + b"0" * 5000),
    ("application/json", b"jsessionid={}"),
    ("text/plain", b"jsessionid={}"),
    ("", b"jsessionid={}"),
    (MULTIPART, multipart(part("a", "b"), part("jsessionid", "{}"))),
    (MULTIPART, multipart(part("jsessionid", "{}", '; filename="f"'))),
    (MULTIPART, multipart(part("jsessionid", "{}" + "0" * 5000))),
    (MULTIPART, part("jsessionid", "{}").encode()),
    (MULTIPART, b"x" * 5000 + multipart(part("jsessionid", "{}"))),
    ("multipart/form-data", multipart(part("jsessionid", "{}"))),
    ("multipart/form-data; boundary=", multipart(part("jsessionid", "{}"))),
    ("multipart/form-data; boundary=\xff", multipart(part("jsessionid", "{}"))),
    ("multipart/mixed; boundary=" + BOUNDARY, multipart(part("jsessionid", "{}"))),
    (MULTIPART, multipart(f"--{BOUNDARY}\r\nX: y\r\n\r\n{{}}\r\n")),
    (MULTIPART, multipart(f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\n{{}}\r\n")),
    (MULTIPART, multipart(f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\xff\r\n\r\n{{}}\r\n")),
    (MULTIPART, multipart("--x\r\n\r\n")),
]


@pytest.mark.parametrize(("content_type", "body"), NOT_FOUND)
def test_not_found(walker: Walker, content_type: str, body: bytes) -> None:
    """Only the first field of a form counts, whole and under its exact name; anything else is no id, and no error."""
    answer = post(walker, body.replace(b"{}", walker.at.encode()), content_type)
    assert (answer.status, answer.text) == (200, "None by None")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_posted(walker: Walker, method: str) -> None:
    """Forms are posted: the body of another method is not looked at."""
    assert post(walker, f"jsessionid={walker.at}".encode(), REQUEST_METHOD=method).text == "None by None"


def test_field() -> None:
    """The hidden field is HTML of its own, not escaped again by templates."""
    walker = Walker(site({"/field": field}, parameter="s-id"))
    text, _, html = walker.follow("/field").text.partition(" ")
    assert html == f'<input type="hidden" name="s-id" value="{text}">'
    assert hasattr(hidden_field({}), "__html__")


def test_another_name() -> None:
    """The field is named as configured."""
    walker = Walker(site({"/login": log_in, "/who": who}, parameter="sid"))
    text = walker.follow("/login").text
    assert walker.submit("/who", f"sid={text}".encode()).text == "u by form"
    assert walker.submit("/who", f"jsessionid={text}".encode()).text == "None by None"


@pytest.mark.parametrize("tracking", [("cookie",), ("cookie", "url")])
def test_off(tracking: tuple[str, ...]) -> None:
    """Where form tracking is off no body is looked at and no field is written."""
    app = site({"/login": log_in, "/who": who, "/field": field}, tracking=tracking)
    text = Walker(app).follow("/login").text
    assert Walker(app).submit("/who", f"jsessionid={text}".encode()).text == "None by None"
    assert Walker(app).follow("/field").text.partition(" ")[2] == ""


def test_first_field_in_the_second_megabyte(walker: Walker) -> None:
    """A field that comes after a megabyte is not looked for: only the first 4 KiB are read."""
    body = b"a=" + b"x" * 1_000_000 + b"&jsessionid=" + walker.at.encode()
    assert post(walker, body).text == "None by None"


def test_body_is_read_once_touched(walker: Walker) -> None:
    """A request that does not touch its session reads nothing of the body."""

    class Untouchable:
        def read(self, *args: int) -> bytes:
            raise AssertionError("the body was read")

        readline = readlines = __iter__ = read

    app = site({"/quiet": lambda environ, session: "quiet"})
    environ = {"wsgi.input": Untouchable(), "CONTENT_LENGTH": "10", "CONTENT_TYPE": FORM, "REQUEST_METHOD": "POST"}
    assert Walker(app).follow("/quiet", **environ).text == "quiet"


def test_id_is_not_logged_in_repr() -> None:
    """What stands in environ for the body does not show the id."""
    walker = Walker(site({"*": lambda environ, session: f"{session.id}{environ['wsgi.input']!r}{environ!r}"}))
    secret = IDS.new().text
    assert secret not in walker.submit("/x", f"jsessionid={secret}".encode()).text
