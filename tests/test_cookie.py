"""The cookie: every attribute, when it is Secure, and what deletes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webclient import SECRET, Client, checked, page, pages, put, show
from werkzeug.middleware.proxy_fix import ProxyFix

from sharedsession import ConfigError, CookieConfig
from sharedsession.dialogue import Tell, Update
from sharedsession.settings import build_config
from sharedsession.tracking.cookie import CookieTracking
from sharedsession.view import RequestView

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

EPOCH = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"

#: Options of the cookie, its name, and its attributes over http; over https "Secure" is added where it is "auto".
ATTRIBUTES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "JSESSIONID", "HttpOnly; Path=/; SameSite=Lax"),
    ({"name": "SID"}, "SID", "HttpOnly; Path=/; SameSite=Lax"),
    ({"httponly": False}, "JSESSIONID", "Path=/; SameSite=Lax"),
    ({"samesite": None}, "JSESSIONID", "HttpOnly; Path=/"),
    ({"samesite": "Strict"}, "JSESSIONID", "HttpOnly; Path=/; SameSite=Strict"),
    ({"path": "/shop"}, "JSESSIONID", "HttpOnly; Path=/shop; SameSite=Lax"),
    ({"domain": "example.com"}, "JSESSIONID", "Domain=example.com; HttpOnly; Path=/; SameSite=Lax"),
    ({"secure": True}, "JSESSIONID", "Secure; HttpOnly; Path=/; SameSite=Lax"),
    ({"secure": False}, "JSESSIONID", "HttpOnly; Path=/; SameSite=Lax"),
    ({"samesite": "None"}, "JSESSIONID", "Secure; HttpOnly; Path=/; SameSite=None"),
    ({"partitioned": True}, "JSESSIONID", "Secure; HttpOnly; Path=/; SameSite=Lax; Partitioned"),
    ({"name": "__Host-SID"}, "__Host-SID", "Secure; HttpOnly; Path=/; SameSite=Lax"),
    ({"name": "__Secure-SID"}, "__Secure-SID", "Secure; HttpOnly; Path=/; SameSite=Lax"),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("options", "name", "attributes"), ATTRIBUTES, ids=[str(row[0]) or "default" for row in ATTRIBUTES]
)
def test_attributes(options: dict[str, Any], name: str, attributes: str, scheme: str) -> None:
    """A cookie is set with exactly these attributes, and deleted with the same ones, or browsers would keep it."""
    app = pages({"/login": put("a", 1), "/logout": lambda session: session.invalidate(), "/show": show}, cookie=options)
    client = Client(app, **https(scheme))
    expected = attributes.split("; ")
    if scheme == "https" and "Secure" not in expected and options.get("secure", "auto") == "auto":
        expected.append("Secure")
    made = (client.get("/login").set_cookie or "").split("; ")
    assert made[0] == f"{name}={client.cookies[name]}"
    assert sorted(made[1:]) == sorted(expected)
    assert len(client.cookies[name]) == 64

    expired = (client.get("/logout").set_cookie or "").split("; ")
    assert expired[0] == f"{name}="
    assert sorted(expired[1:]) == sorted([*expected, *EPOCH.split("; ")])
    assert client.get("/show").text == "{}"


def https(scheme: str) -> dict[str, Any]:
    """Return what an environ says about the scheme."""
    return {"wsgi.url_scheme": scheme}


def test_max_age() -> None:
    """With max_age the cookie says how long it lives; the deleting one says zero, once."""
    app = pages({"/login": put("a", 1), "/logout": lambda session: session.invalidate()}, cookie={"max_age": 3600})
    client = Client(app)
    parts = (client.get("/login").set_cookie or "").split("; ")
    assert "Max-Age=3600" in parts
    assert (client.get("/logout").set_cookie or "").count("Max-Age") == 1


def test_host_cookie_ignores_the_mount_point() -> None:
    """A __Host- cookie has the path / wherever the application is mounted: browsers refuse any other."""
    app = checked(page(put("a", 1)), cookie={"name": "__Host-SID"})
    assert "; Path=/;" in (Client(app).get("/", SCRIPT_NAME="/shop").set_cookie or "")


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"name": "__Host-SID", "domain": "example.com"}, "cookie_domain"),
        ({"name": "__Host-SID", "path": "/shop"}, "cookie_path"),
        ({"name": "__Host-SID", "secure": False}, "cookie_secure"),
        ({"name": "__host-sid", "secure": False}, "cookie_secure"),
        ({"name": "__Secure-SID", "secure": False}, "cookie_secure"),
        ({"samesite": "None", "secure": False}, "cookie_secure"),
        ({"partitioned": True, "secure": False}, "cookie_secure"),
    ],
)
def test_contradictions(options: dict[str, Any], option: str) -> None:
    """What browsers would refuse is refused at the start, with the name of the option."""
    with pytest.raises(ConfigError) as caught:
        CookieConfig(**options)
    assert caught.value.option == option


def test_two_ways_to_spell_an_attribute() -> None:
    """cookie={"name": ...}, cookie=CookieConfig(name=...) and cookie_name=... are the same."""
    one = build_config({"secret_key": SECRET, "cookie": {"name": "SID"}})
    two = build_config({"secret_key": SECRET, "cookie": CookieConfig(name="SID")})
    three = build_config({"secret_key": SECRET, "cookie_name": "SID"})
    assert one == two == three


def is_secure(client: Client, **environ: str) -> bool:
    """Say whether a new session's cookie is Secure."""
    set_cookie = client.get("/", cookie="", **environ).set_cookie
    assert set_cookie is not None
    return "; Secure;" in set_cookie


@pytest.mark.parametrize(
    ("trusted", "proto", "secure"),
    [
        (0, "https", False),
        (1, "https", True),
        (1, "HTTPS", True),
        (1, "http", False),
        (1, "https, http", False),
        (1, "http, https", True),
        (2, "https, http", True),
        (2, "https", False),
        (1, "", False),
    ],
)
def test_secure_behind_a_proxy(trusted: int, proto: str, secure: bool) -> None:
    """X-Forwarded-Proto decides when as many proxies are trusted as have added to it, and never otherwise."""
    client = Client(checked(page(put("a", 1)), trusted_proxies=trusted))
    assert is_secure(client, HTTP_X_FORWARDED_PROTO=proto) is secure


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_application_changes_environ(scheme: str) -> None:
    """What the application does to environ in place (ProxyFix, a dispatcher) decides nothing about the cookie."""

    def meddle(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = page(put("a", 1))(environ, start_response)
        environ["wsgi.url_scheme"] = "https" if scheme == "http" else "http"
        environ["SCRIPT_NAME"] = "/elsewhere"
        environ["HTTP_HOST"] = "evil.example"
        return answer

    set_cookie = Client(checked(meddle), **https(scheme)).get().set_cookie or ""
    assert ("; Secure;" in set_cookie) is (scheme == "https")
    assert "; Path=/;" in set_cookie


def test_application_has_its_own_proxy_fix() -> None:
    """A ProxyFix inside our middleware does not make us believe the header, and outside of it does."""
    inner: WSGIApplication = ProxyFix(page(put("a", 1)))
    assert not is_secure(Client(checked(inner)), HTTP_X_FORWARDED_PROTO="https")
    assert is_secure(Client(ProxyFix(checked(page(put("a", 1))))), HTTP_X_FORWARDED_PROTO="https")


def test_no_cookie_when_https_comes_later() -> None:
    """A live session gets no new cookie because a later request comes over another scheme."""
    client = Client(pages({"/login": put("a", 1), "/show": show}))
    client.get("/login")
    answer = client.get("/show", **https("https"))
    assert (answer.text, answer.set_cookie) == ("{'a': 1}", None)


@pytest.mark.parametrize("name", ["a.b", "$x^", "a+b*c", "x|y", "!#%&'`~-_"])
def test_name_with_pattern_characters(name: str) -> None:
    """Any cookie name that RFC 6265 allows works, also one that means something in a pattern."""
    app = pages({"/login": put("a", 1), "/show": show}, cookie={"name": name})
    answer = Client(app).get("/login")
    cookie = (answer.set_cookie or "").partition(";")[0]
    assert cookie.startswith(f"{name}=")
    assert Client(app).get("/show", cookie=cookie).text == "{'a': 1}"
    assert Client(app).get("/show", cookie=cookie.replace(name, "aXb")).text == "{}"


@given(st.lists(st.sampled_from(["SID", "=", ";", "; ", " ", "\t", '"', "x", "SID=", "SID=1", "XSID=2", "SID2=3"])))
def test_every_cookie_of_the_name_is_found(pieces: list[str]) -> None:
    """The ids are the values of all cookies of our name, in order, whatever stands around them (RFC 6265 4.2.1)."""
    header = "".join(pieces)
    expected = []
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip(" \t") == "SID":
            expected.append(value.strip(' \t"'))
    view = RequestView({"HTTP_COOKIE": header}, 0)
    assert [each.text for each in CookieTracking(CookieConfig(name="SID")).resolve(view)] == expected


def test_the_cookie_expires_as_long_after_its_age_began() -> None:
    """Expires, for clients that do not know Max-Age, moves on with every cookie."""
    tracking, dates = CookieTracking(CookieConfig(max_age=600)), iter(["first", "second"])

    def dump(*_: object, **__: object) -> str:
        return f"a={'0' * 64}; Expires={next(dates)}"

    with mock.patch("sharedsession.tracking.cookie.dump_cookie", dump):
        for expected in ("first", "second"):
            headers: list[tuple[str, str]] = []
            tracking.apply(Update(Tell.ID, "x"), RequestView({}, 0), headers)
            assert headers[0] == ("Set-Cookie", f"a=x; Expires={expected}")
