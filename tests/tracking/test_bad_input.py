"""Bad ids, URLs and bodies: never an error of ours, never more than five ids a kind asked of memcached."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Memcached
from webclient import Commands, Server, bare, commands, sent

from sharedsession import encode_url, hidden_field
from sharedsession.memcached.commands import Get
from sharedsession.memory import MemoryTransport
from sharedsession.session import Session
from tracking.walker import ALL, FORM, HOST, IDS, Environ, Walker, bare_site, log_in, request, site, who

BAD = {
    "10 kB": "a" * 10_000,
    "CR LF": "a\r\nSet-Cookie: x=y",
    "NUL": "\0" * 64,
    "invalid UTF-8": "\xff\xfe" * 32,
    "other digits": "\u0661".encode().decode("latin-1") * 32,
    "slashes": "a/../../b",
    "markup": '"><script>',
    "forged": "0" * 64,
    "empty": "",
    "newline at the end": IDS.new().text + "\n",
    "percent": "%" * 64,
    "memcached": "x" * 64 + " 0 0 1",
}


def everything(environ: Environ, session: Session) -> str:
    """Read the session, write a link and a field."""
    return f"{dict(session)} {encode_url(environ, 'x')} {hidden_field(environ)}"


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", ["url", "encoded", "form", "multipart"])
def test_bad_ids(memcached: Memcached, text: str, kind: str) -> None:
    """A bad id is no session and no error, is not repeated in the answer, and costs no memcached command."""
    app = site({"*": everything}, nodes=memcached.node)
    before = commands(memcached)
    assert Server().serve(app, bad_request(text, kind)).text.split() == ["{}", "x"]
    assert sent(memcached, before) == Commands(0, 0, 0)


def bad_request(text: str, kind: str) -> Environ:
    """Return a request that brings the id."""
    raw = text.encode("latin-1")
    if kind in ("url", "encoded"):
        safe = "" if kind == "encoded" else '/"<>%'
        return request("/x" + (";" if kind == "url" else "%3B") + "jsessionid=" + quote(raw, safe=safe))
    if kind == "form":
        return request("/x", body=b"jsessionid=" + quote(raw).encode())
    body = b'--b\r\nContent-Disposition: form-data; name="jsessionid"\r\n\r\n' + raw + b"\r\n--b--\r\n"
    return request("/x", body=body, CONTENT_TYPE="multipart/form-data; boundary=b")


@pytest.mark.parametrize("kinds", [("url",), ("form",), ("cookie",), ALL])
def test_five_of_a_kind(memcached: Memcached, kinds: tuple[str, ...]) -> None:
    """Of a thousand well-signed ids of a kind five are asked of memcached (by its own count)."""
    app = site({"*": who}, nodes=memcached.node)
    texts = [IDS.new().text for _ in range(1000)]
    path = "/x" + "".join(f";jsessionid={text}" for text in texts) if "url" in kinds else "/x"
    cookie = "; ".join(f"JSESSIONID={text}" for text in texts) if "cookie" in kinds else ""
    before = commands(memcached)
    body = f"jsessionid={texts[0]}".encode() if "form" in kinds else b""
    assert Server().serve(app, request(path, body=body, HTTP_COOKIE=cookie)).text == "None by None"
    assert sent(memcached, before) == Commands(sum({"url": 5, "cookie": 5, "form": 1}[kind] for kind in kinds), 0, 0)


def test_asked_in_one_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of all kinds are asked for in one round trip."""
    trips: list[int] = []
    ask = MemoryTransport.ask

    def counting(self: MemoryTransport, requests: Sequence[tuple[str, Any]]) -> Any:
        trips.append(sum(isinstance(command, Get) for _, command in requests))
        return ask(self, requests)

    monkeypatch.setattr(MemoryTransport, "ask", counting)
    path = "/x" + "".join(f";jsessionid={IDS.new().text}" for _ in range(9))
    cookie = "; ".join(f"JSESSIONID={IDS.new().text}" for _ in range(9))
    Server().serve(site({"*": who}), request(path, body=f"jsessionid={IDS.new().text}".encode(), HTTP_COOKIE=cookie))
    assert trips == [11]


def test_live_among_many() -> None:
    """A live id counts among a thousand bad ones."""
    app = site({"/login": log_in, "/who": who})
    text = Walker(app).follow("/login").text
    target = "/who" + ";jsessionid=0" * 500 + f";jsessionid={text}" + ";jsessionid=" * 99
    assert Walker(app).follow(target).text == "u by url"


BROKEN = [
    ("a lying Content-Length", {"CONTENT_LENGTH": "1000000"}),
    ("too short a Content-Length", {"CONTENT_LENGTH": "5"}),
    ("a Content-Length of 5,000 digits", {"CONTENT_LENGTH": "9" * 5000}),
    ("no Content-Length", {"CONTENT_LENGTH": ""}),
    ("no end", {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}),
    ("no boundary", {"CONTENT_TYPE": "multipart/form-data"}),
    ("another boundary", {"CONTENT_TYPE": "multipart/form-data; boundary=zzz"}),
    ("a boundary of 10 kB", {"CONTENT_TYPE": "multipart/form-data; boundary=" + "z" * 10_000}),
    ("a boundary that is none", {"CONTENT_TYPE": 'multipart/form-data; boundary="\xff(['}),
]


@pytest.mark.parametrize("more", [more for _, more in BROKEN], ids=[name for name, _ in BROKEN])
@pytest.mark.parametrize("body", [b"jsessionid=" + b"0" * 64, b"jsessionid=%", b"--b\r\n", b"\xff" * 9000, b"="])
def test_broken_bodies(body: bytes, more: dict[str, Any]) -> None:
    """A body that is not what its headers say is no id and no error, and the application reads what there is."""
    read: list[bytes] = []

    def view(environ: Environ, session: Session) -> str:
        found = who(environ, session)
        read.append(environ["wsgi.input"].read())
        return found

    app = bare(bare_site({"*": view}), tracking=ALL)
    assert Server().serve(app, request("/x", body=body, **more)).text == "None by None"
    assert read == [body]


class CutShort:
    """A body whose client goes away after some bytes."""

    def __init__(self, start: bytes) -> None:
        self.start = start

    def read(self, size: int = -1) -> bytes:
        """Return what came, then fail as servers do."""
        start, self.start = self.start, b""
        if not start:
            raise ConnectionResetError("the client is gone")
        return start

    readline = read


@pytest.mark.parametrize("start", [b"", b"jsessionid=", b"jsessionid=" + b"0" * 64])
def test_cut_short(start: bytes) -> None:
    """When the body breaks off the session is simply not found; the application's own read meets the error."""

    def view(environ: Environ, session: Session) -> str:
        found = who(environ, session)
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: environ["wsgi.input"].read(100), b""))
        return found

    app = bare(bare_site({"*": view}), tracking=ALL)
    more: Environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": "1000",
        "wsgi.input": CutShort(start),
    }
    assert Server().serve(app, request("/x", **more)).text == "None by None"


HOSTS = ["[", "]", "a:b:c", "a:99999", "@", "a b", "\xff", "\u2100".encode().decode("latin-1"), "/", "", ":"]


@pytest.mark.parametrize("host", HOSTS)
def test_bad_host(host: str) -> None:
    """A Host header that is none makes no error of a redirect, and no absolute link takes it for its own."""
    app = bare(bare_site({"*": log_in}, [("Location", f"http://{HOST}/x")]), tracking=("url",))
    answer = Server().serve(app, request("/", HTTP_HOST=host, SERVER_NAME="[", SERVER_PORT="x"))
    assert (answer.status, answer.get("Location")) == (200, f"http://{HOST}/x")


_DISPOSITION = b"Content-Disposition: form-data; name=jsessionid"
_PIECES = [b"--b", b"\r\n", b"\n", b"--", _DISPOSITION, b":", b"\xff", b"jsessionid=", b"x" * 999, b"&", b"%"]
HEADS = st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join) | st.binary(max_size=100)


@settings(max_examples=200)
@given(HEADS, st.sampled_from([FORM, "multipart/form-data; boundary=b"]))
def test_any_body(body: bytes, content_type: str) -> None:
    """Whatever a form's body holds, the request is served."""
    app = bare(bare_site({"*": everything}), tracking=("form",))
    environ = request("/x", body=b"x", CONTENT_TYPE=content_type, CONTENT_LENGTH=str(len(body)))
    environ["wsgi.input"] = io.BytesIO(body)
    assert Server().serve(app, environ).status == 200


@settings(max_examples=200)
@given(st.binary(max_size=60).map(lambda data: quote(data, safe=";/=%")), st.text(max_size=30))
def test_any_url(path: str, link: str) -> None:
    """Whatever the URL of a request and a link in its answer hold, the request is served."""
    seen: list[str] = []
    app = bare(bare_site({"*": lambda environ, session: seen.append(encode_url(environ, link))}), tracking=ALL)
    assert Server().serve(app, request(f"/{path};jsessionid={IDS.new().text}")).status == 200
