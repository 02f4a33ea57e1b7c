"""Django: which settings count, in which order; and the system checks that name every mistake."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.test import Client, override_settings
from servers import Memcached

from djangoface import DJANGOS_MIDDLEWARE, FURTHER, MIDDLEWARE
from djangoface.conftest import Serve, Settings
from djangoface.project import VIEWS, Browser, remaining, urls
from sharedsession import CookieConfig, SessionMiddleware
from sharedsession.django import SessionStore, project
from sharedsession.django.options import current_parts

#: A WSGI application, as WSGI_APPLICATION names it.
wrapped = SessionMiddleware(lambda environ, start: [], secret_key="0123456789abcdef")
plain = object()


# -- what counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected", "unexpected"),
    [
        ({}, "sessionid= Path=/ HttpOnly SameSite=Lax Max-Age=1209600", "Secure Domain"),
        ({"SESSION_COOKIE_NAME": "shop"}, "shop=", "sessionid="),
        ({"SESSION_COOKIE_AGE": 600}, "Max-Age=600", ""),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, "Domain=example.com", ""),
        ({"SESSION_COOKIE_PATH": "/shop"}, "Path=/shop", ""),
        ({"SESSION_COOKIE_SECURE": True}, "Secure", ""),
        ({"SESSION_COOKIE_HTTPONLY": False}, "sessionid=", "HttpOnly"),
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, "SameSite=Strict", ""),
        ({"SESSION_COOKIE_SAMESITE": "none"}, "SameSite=None Secure", ""),
        ({"SESSION_COOKIE_SAMESITE": False}, "sessionid=", "SameSite"),
        ({"SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, "sessionid=", "Max-Age Expires"),
        ({"SESSION_COOKIE_NAME": "__Host-id"}, "__Host-id= Path=/ Secure", "Domain"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_cookie_settings(change: Settings, settings: dict[str, Any], expected: str, unexpected: str) -> None:
    """Django's own settings of the session cookie are honoured."""
    change(ROOT_URLCONF=urls(VIEWS), **settings)
    cookie = Browser().get("/put").set_cookie or ""
    assert [word for word in expected.split() if word not in cookie] == []
    assert [word for word in unexpected.split() if word in cookie] == []


def test_secure_by_itself(serve: Serve) -> None:
    """Without SESSION_COOKIE_SECURE the cookie is Secure exactly when the request came over https."""
    serve()
    over_tls: dict[str, Any] = {"wsgi.url_scheme": "https"}
    assert "Secure" in (Browser(**over_tls).get("/put").set_cookie or "")
    assert "Secure" not in (Browser().get("/put").set_cookie or "")


def test_behind_a_proxy(serve: Serve) -> None:
    """SECURE_PROXY_SSL_HEADER, or trusted_proxies, tell that the client spoke https: the cookie is Secure."""
    over_tls: dict[str, Any] = {"HTTP_X_FORWARDED_PROTO": "https"}
    serve()
    assert "Secure" not in (Browser(**over_tls).get("/put").set_cookie or "")
    serve(settings={"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")})
    assert "Secure" in (Browser(**over_tls).get("/put").set_cookie or "")
    serve(settings={"SECURE_PROXY_SSL_HEADER": None}, trusted_proxies=1)
    assert "Secure" in (Browser(**over_tls).get("/put").set_cookie or "")


def test_save_every_request(serve: Serve, memcached: Memcached) -> None:
    """SESSION_SAVE_EVERY_REQUEST: a request that leaves the session alone prolongs it, and its cookie."""
    browser = serve(settings={"SESSION_SAVE_EVERY_REQUEST": True})
    browser.get("/put")
    store = SessionStore(browser.id)
    store.set_expiry(300)
    store.save()
    assert "Max-Age=300" in (browser.get("/nothing").set_cookie or "")
    assert 200 < remaining(memcached, browser.id) <= 300
    assert Browser().get("/nothing").set_cookie is None


def test_order(change: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dict SHAREDSESSION wins over the environment, that over Django's setting, that over the default."""
    change(SESSION_COOKIE_PATH="/django", SESSION_COOKIE_DOMAIN="django.example", SESSION_COOKIE_HTTPONLY=False)
    monkeypatch.setenv("SHAREDSESSION_COOKIE_DOMAIN", "environment.example")
    monkeypatch.setenv("SHAREDSESSION_COOKIE_PATH", "/environment")
    change(SHAREDSESSION={"cookie": {"path": "/dict"}})
    cookie = project.parts.config.cookie
    assert (cookie.path, cookie.domain, cookie.httponly, cookie.secure) == (
        "/dict",
        "environment.example",
        False,
        "auto",
    )


class FromHeader:
    """Middleware of a project: takes the session's key from a header of its own."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        """Put the key where Django's session middleware looks for it."""
        request.COOKIES["sessionid"] = request.headers["X-Session"]
        return self._get_response(request)


@pytest.mark.parametrize("wrapped", [False, True])
def test_request_cookies(serve: Serve, wrapped: bool) -> None:
    """An id that other middleware puts into request.COOKIES counts, as with Django's own middleware."""
    serve(settings={"MIDDLEWARE": ["djangoface.test_django_settings.FromHeader", MIDDLEWARE]})
    key = SessionStore()
    key["a"] = 1
    key.save()
    browser = Browser(app=SessionMiddleware(WSGIHandler()) if wrapped else None)
    assert browser.get("/show", HTTP_X_SESSION=key.session_key).text == "{'a': 1}"
    assert browser.get("/show", HTTP_X_SESSION="0" * 64, cookie="").text == "{}"


def test_own_engine(serve: Serve) -> None:
    """An engine made from ours is what request.session is then."""
    serve(
        {"greet": lambda request: request.session.greeting()},
        {"SESSION_ENGINE": "djangoface.ownengine"},
    )
    browser = Browser()
    browser.get("/put")
    assert browser.get("/greet").text == "hello 1"
    assert found() == []


def test_the_cookies_name_and_age_are_djangos(serve: Serve, memcached: Memcached) -> None:
    """client.session finds the cookie under SESSION_COOKIE_NAME, and get_expiry_age says SESSION_COOKIE_AGE."""
    settings = {"SESSION_COOKIE_NAME": "x", "SESSION_COOKIE_AGE": 60}
    serve({"age": lambda request: request.session.get_expiry_age()}, settings)
    client = Client()
    client.get("/put")
    assert dict(client.session.items()) == {"a": 1}
    assert client.get("/age").content == b"60"
    assert remaining(memcached, client.cookies["x"].value) <= 60


# -- system checks -----------------------------------------------------------------------------------------------------


def found(*, deploy: bool = False) -> list[tuple[str, str, str]]:
    """Return what our system checks find: (id, message, hint)."""
    messages: list[CheckMessage] = checks.run_checks(tags=["sharedsession"], include_deployment_checks=deploy)
    return [(message.id or "", message.msg, message.hint or "") for message in messages]


def only(**settings: Any) -> tuple[str, str, str]:
    """Return the only thing that is found with these settings."""
    with override_settings(**settings):
        (one,) = found()
    return one


def test_nothing_wrong(change: Settings) -> None:
    """With the three settings nothing is found, nor when nodes are named for production."""
    assert found() == []
    change(SHAREDSESSION={"nodes": "n1:127.0.0.1"})
    assert found(deploy=True) == []


@pytest.mark.parametrize(
    ("settings", "says", "where"),
    [
        ({"SHAREDSESSION": {"copys": 2}}, "copys: is not an option; did you mean copies?", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"copies": 0}}, "copies: 0 is not a whole number from 1 to 16", "SHAREDSESSION"),
        ({"SHAREDSESSION": "n1:127.0.0.1"}, "expected a dict of options, not str", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"nodes": "n1:127.0.0.1 n1:127.0.0.2"}}, "n1", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"cookie": {"secure": 7}}}, "cookie_secure: 7 is not", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"cookie_name": "x"}}, "belongs in Django's setting SESSION_COOKIE_NAME", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"cookie": CookieConfig(name="x")}}, "setting SESSION_COOKIE_NAME", "SHAREDSESSION"),
        ({"SHAREDSESSION": {"cookie": {"max_age": 60}}}, "setting SESSION_COOKIE_AGE", "SHAREDSESSION"),
        ({"SESSION_COOKIE_AGE": 0}, "max_inactive_interval: 0 is not", "SESSION_COOKIE_AGE"),
        ({"SESSION_COOKIE_AGE": "600"}, "max_inactive_interval: '600' is not", "SESSION_COOKIE_AGE"),
        ({"SESSION_COOKIE_SECURE": "yes"}, "cookie_secure: 'yes' is not", "SESSION_COOKIE_SECURE"),
        ({"SESSION_COOKIE_SAMESITE": "often"}, "cookie_samesite: 'Often' is not", "SESSION_COOKIE_SAMESITE"),
        ({"SESSION_COOKIE_PATH": "shop"}, "cookie_path: 'shop' does not start with '/'", "SESSION_COOKIE_PATH"),
        ({"SESSION_COOKIE_DOMAIN": ""}, "cookie_domain: '' cannot", "SESSION_COOKIE_DOMAIN"),
        ({"SESSION_COOKIE_NAME": "a b"}, "cookie_name: 'a b' is not", "SESSION_COOKIE_NAME"),
        ({"SESSION_COOKIE_HTTPONLY": None}, "cookie_httponly: None is not", "SESSION_COOKIE_HTTPONLY"),
        ({"SESSION_SAVE_EVERY_REQUEST": 1}, "slide_always: 1 is not", "SESSION_SAVE_EVERY_REQUEST"),
        ({"SECRET_KEY": "short"}, "secret_key: has 5 bytes", "SECRET_KEY"),
        ({"SECRET_KEY": ""}, "SECRET_KEY setting must not be empty", "SECRET_KEY"),
        ({"SECRET_KEY_FALLBACKS": ["short"]}, "secret_key_fallbacks: has 5 bytes", "SECRET_KEY_FALLBACKS"),
        ({"SESSION_COOKIE_NAME": "__Host-x", "SESSION_COOKIE_SECURE": False}, "cookie_secure: False contradicts", ""),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_option(settings: dict[str, Any], says: str, where: str) -> None:
    """E001 names the option that is wrong and what would be right, and where it is to be corrected."""
    number, message, hint = only(**settings)
    assert number == "sharedsession.E001"
    assert says in message
    assert "short" not in message
    assert where in hint


def test_wrong_option_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """E001 also finds what the environment says, a name for the cookie that Django does not know among it."""
    monkeypatch.setenv("SHAREDSESSION_COOKIE_NAME", "x")
    assert "belongs in Django's setting SESSION_COOKIE_NAME" in only()[1]
    monkeypatch.setenv("SHAREDSESSION_COPIES", "many")
    assert only()[1] == "copies: 'many' is not a whole number."


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "no.such.module", "json"])
def test_other_engine(engine: str) -> None:
    """E002: SESSION_ENGINE is not ours."""
    number, message, hint = only(SESSION_ENGINE=engine)
    assert (number, hint) == ("sharedsession.E002", "Write SESSION_ENGINE = 'sharedsession.django'.")
    assert repr(engine) in message


def test_no_middleware() -> None:
    """E003: there is no session middleware."""
    number, _, hint = only(MIDDLEWARE=FURTHER)
    assert number == "sharedsession.E003"
    assert MIDDLEWARE in hint


@pytest.mark.parametrize("names", [[MIDDLEWARE, DJANGOS_MIDDLEWARE], [DJANGOS_MIDDLEWARE, MIDDLEWARE, MIDDLEWARE]])
def test_several_middlewares(names: list[str]) -> None:
    """E004: Django's own, or ours again, stands beside ours."""
    number, message, hint = only(MIDDLEWARE=names)
    assert number == "sharedsession.E004"
    assert all(name in message for name in names)
    assert MIDDLEWARE in hint


@pytest.mark.parametrize("name", ["auth.middleware.AuthenticationMiddleware", "messages.middleware.MessageMiddleware"])
def test_wrong_order(name: str) -> None:
    """E005: what needs the session stands before it."""
    number, message, hint = only(MIDDLEWARE=[f"django.contrib.{name}", MIDDLEWARE])
    assert (number, hint) == ("sharedsession.E005", "Move sharedsession's middleware up.")
    assert name in message


def test_wrong_order_for_csrf() -> None:
    """E005: so does the CSRF middleware where it keeps tokens in sessions, and only then."""
    names = ["django.middleware.csrf.CsrfViewMiddleware", MIDDLEWARE]
    assert only(MIDDLEWARE=names, CSRF_USE_SESSIONS=True)[0] == "sharedsession.E005"
    with override_settings(MIDDLEWARE=names):
        assert found() == []


def test_no_nodes_in_production() -> None:
    """W001: `check --deploy` says that sessions would be kept in one process."""
    ((number, _, hint),) = found(deploy=True)
    assert number == "sharedsession.W001"
    assert "'nodes': " in hint


def test_a_mistake_in_settings_is_told_at_their_next_use() -> None:
    """Not to whoever changes them, also while a SessionMiddleware serves by them, and not by Django's own errors."""
    wrapper = SessionMiddleware(WSGIHandler())
    with override_settings(SECRET_KEY=""):
        assert wrapper.parts is not None
        with pytest.raises(ImproperlyConfigured):
            current_parts()


def test_rewriting_without_wrapper() -> None:
    """W005: so does `rewrite_html`, which nobody would miss before a client without cookies comes."""
    options = {"tracking": ["cookie", "url"], "rewrite_html": True}
    assert only(SHAREDSESSION=options, WSGI_APPLICATION=None)[0] == "sharedsession.W005"
    with override_settings(SHAREDSESSION=options, WSGI_APPLICATION="djangoface.test_django_settings.wrapped"):
        assert found() == []


@pytest.mark.parametrize("path", ["", "djangoface.test_django_settings.plain", "no.such.module"])
def test_form_without_wrapper(path: str) -> None:
    """W002: form tracking needs SessionMiddleware around the application that WSGI_APPLICATION names."""
    options = {"tracking": ["cookie", "form"]}
    number, _, hint = only(SHAREDSESSION=options, WSGI_APPLICATION=path or None)
    assert number == "sharedsession.W002"
    assert "application = SessionMiddleware(get_wsgi_application())" in hint
    with override_settings(SHAREDSESSION=options, WSGI_APPLICATION="djangoface.test_django_settings.wrapped"):
        assert found() == []


def test_age_said_twice() -> None:
    """W003: SESSION_COOKIE_AGE has no effect beside max_inactive_interval."""
    number, message, _ = only(SESSION_COOKIE_AGE=60, SHAREDSESSION={"max_inactive_interval": 61})
    assert number == "sharedsession.W003"
    assert "60" in message
    assert "61" in message


@pytest.mark.parametrize("name", ["SESSION_SERIALIZER", "SESSION_CACHE_ALIAS", "SESSION_FILE_PATH"])
def test_setting_without_effect(name: str) -> None:
    """W004: a setting of Django's that means nothing here."""
    number, message, hint = only(**{name: "django.core.signing.JSONSerializer"})
    assert (number, hint) == ("sharedsession.W004", "Remove it.")
    assert message.startswith(f"{name} has no effect: ")


def test_engine_only(change: Settings) -> None:
    """Behind Django's own middleware the engine alone is no mistake."""
    change(MIDDLEWARE=[DJANGOS_MIDDLEWARE, *FURTHER])
    assert found() == []


def test_checks_stop_the_start() -> None:
    """A wrong option stops `manage.py check`, and so runserver, migrate and every command that checks."""
    with override_settings(SHAREDSESSION={"copies": 0}), pytest.raises(SystemCheckError, match=r"sharedsession\.E001"):
        call_command("check")


def test_checks_stop_the_start_of_a_wrapped_project() -> None:
    """The same with SessionMiddleware around Django's application, which serves on as it was."""
    wrapped = SessionMiddleware(get_wsgi_application())
    before = wrapped.parts
    with override_settings(SHAREDSESSION={"copies": 0}), pytest.raises(SystemCheckError, match=r"sharedsession\.E001"):
        call_command("check")
    assert wrapped.parts.config == before.config


def test_admins_check_is_content() -> None:
    """The admin's own check finds a session middleware: there is no admin.E410."""
    assert [message.id for message in checks.run_checks() if (message.id or "").startswith("admin")] == []
