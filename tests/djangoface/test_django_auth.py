"""Django: what lives in sessions: log-in and log-out, the admin, messages, CSRF tokens; and the tools of tests."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin, auth, messages
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from servers import Memcached
from webclient import SECRET

from djangoface.conftest import Serve, Settings
from djangoface.project import PASSWORD, VIEWS, Browser, log_in, put, stored, urls
from sharedsession.django import get_session


def log_out_badly(request: HttpRequest) -> None:
    """Log out, and fail."""
    auth.logout(request)
    raise LookupError


def who(request: HttpRequest) -> object:
    """Show who is logged in."""
    return request.user


AUTH = {"login": log_in, "logout": auth.logout, "badly": log_out_badly, "who": who}


# -- log in, log out ---------------------------------------------------------------------------------------------------


def test_log_in_gives_a_new_id(serve: Serve, user: User) -> None:
    """django.contrib.auth.login: a new id with what was there before; the old id is dead."""
    browser = serve(AUTH)
    browser.get("/put")
    old = browser.id
    browser.get("/login")
    assert browser.id != old
    assert browser.get("/who").text == "mia"
    assert "'a': 1" in browser.get("/show").text
    planted = Browser({"sessionid": old})
    assert planted.get("/who").text == str(AnonymousUser())
    assert planted.get("/show").text == "{}"


@pytest.mark.parametrize(("path", "status"), [("/logout", 200), ("/badly", 500)])
def test_log_out_is_final(serve: Serve, user: User, path: str, status: int) -> None:
    """logout() ends the session for good, also when the view then fails: the cookie goes, and is worth nothing."""
    browser = serve(AUTH)
    browser.get("/login")
    known = browser.id
    answer = browser.get(path)
    assert answer.status == status
    assert "Max-Age=0" in (answer.set_cookie or "")
    assert stored(known) is None
    assert Browser({"sessionid": known}).get("/who").text == str(AnonymousUser())


def test_log_out_meets_a_slow_request(serve: Serve, user: User) -> None:
    """A request that began before the log-out and ends after it does not bring the session back."""

    def slow(request: HttpRequest) -> None:
        request.session["a"] = 1
        assert request.user.is_authenticated
        assert Browser({"sessionid": request.COOKIES["sessionid"]}).get("/logout").status == 200

    browser = serve({**AUTH, "slow": slow})
    browser.get("/login")
    assert browser.get("/slow").status == 400
    assert browser.get("/who").text == str(AnonymousUser())


def test_another_user(serve: Serve, user: User) -> None:
    """Who logs in as somebody else gets a session of its own, without what the former user left in it."""
    User.objects.create_user("bo", password=PASSWORD)

    def log_in_bo(request: HttpRequest) -> None:
        auth.login(request, User.objects.get(username="bo"))

    browser = serve({**AUTH, "bo": log_in_bo})
    browser.get("/login")
    browser.get("/put")
    browser.get("/bo")
    assert browser.get("/who").text == "bo"
    assert "'a'" not in browser.get("/show").text


def test_error_in_a_view(serve: Serve, user: User) -> None:
    """What a view that fails has done to the session is not saved; a log-in that fails leaves the id as it was."""

    def badly(request: HttpRequest) -> None:
        log_in(request)
        request.session["b"] = 2
        raise LookupError

    browser = serve({"bad": badly, "who": who})
    browser.get("/put")
    answer = browser.get("/bad")
    assert answer.status == 500
    assert not [cookie for cookie in answer.all("Set-Cookie") if "sessionid" in cookie]
    assert browser.get("/show").text == "{'a': 1}"


# -- the admin ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(serve: Serve) -> Client:
    """Return Django's test client of a project with the admin."""
    serve({}, None, path("admin/", admin.site.urls))
    return Client()


def test_admin(site: Client, user: User) -> None:
    """The admin: log in by its form, change the password and stay logged in, log out."""
    assert site.get("/admin/").status_code == 302
    page = site.post("/admin/login/?next=/admin/", {"username": "mia", "password": PASSWORD}, follow=True)
    assert b"Site administration" in page.content
    before = site.cookies["sessionid"].value
    passwords = {"old_password": PASSWORD, "new_password1": "another one, 7", "new_password2": "another one, 7"}
    assert site.post("/admin/password_change/", passwords).status_code == 302
    assert site.cookies["sessionid"].value != before
    assert stored(before) is None
    assert site.get("/admin/").status_code == 200
    assert site.post("/admin/logout/").status_code == 200
    assert site.get("/admin/").status_code == 302


def test_password_changed_elsewhere(site: Client, user: User) -> None:
    """A changed password logs the user's other sessions out, as in Django."""
    site.force_login(user)
    assert site.get("/admin/").status_code == 200
    user.set_password("another")
    user.save()
    assert site.get("/admin/").status_code == 302
    assert stored(site.cookies["sessionid"].value) is None


# -- messages, CSRF ----------------------------------------------------------------------------------------------------


def test_messages(serve: Serve) -> None:
    """Messages in session storage are shown once, by the next request that asks."""
    views = {
        "say": lambda request: messages.success(request, "saved <b>it</b>"),
        "hear": lambda request: [str(message) for message in messages.get_messages(request)],
    }
    browser = serve(views, {"MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage"})
    browser.get("/say")
    browser.get("/say")
    assert browser.get("/hear").text == "['saved <b>it</b>', 'saved <b>it</b>']"
    assert browser.get("/hear").text == "[]"


@pytest.fixture
def careful(serve: Serve) -> Client:
    """Return a client of a project that keeps CSRF tokens in sessions."""
    serve({"form": get_token, "log-in": log_in}, {"CSRF_USE_SESSIONS": True})
    return Client(enforce_csrf_checks=True)


def test_csrf_in_sessions(careful: Client, user: User) -> None:
    """CSRF_USE_SESSIONS: a form with the session's token is accepted, one of another session's is not."""
    token = careful.get("/form").content.decode()
    assert careful.cookies.keys() == {"sessionid"}
    assert careful.post("/put").status_code == 403
    assert careful.post("/put", {"csrfmiddlewaretoken": token}).status_code == 200
    stranger = Client(enforce_csrf_checks=True)
    stranger.get("/form")
    assert stranger.post("/put", {"csrfmiddlewaretoken": token}).status_code == 403


def test_csrf_after_log_in(careful: Client, user: User) -> None:
    """Log-in rotates the token: one from before it is refused."""
    before = careful.get("/form").content.decode()
    assert careful.post("/log-in", {"csrfmiddlewaretoken": before}).status_code == 200
    assert careful.post("/put", {"csrfmiddlewaretoken": before}).status_code == 403
    after = careful.get("/form").content.decode()
    assert careful.post("/put", {"csrfmiddlewaretoken": after}).status_code == 200


# -- tests of applications ---------------------------------------------------------------------------------------------


def test_client_session(serve: Serve) -> None:
    """client.session: a test puts something in before the first request, sees and changes what views have stored."""
    serve()
    client = Client()
    session = client.session
    session["a"] = 5
    session.save()
    assert client.get("/show").content == b"{'a': 5}"
    client.get("/put")
    assert dict(client.session.items()) == {"a": 1}
    session = client.session
    session["b"] = 2
    session.save()
    assert client.get("/show").content == b"{'a': 1, 'b': 2}"


@pytest.mark.parametrize("way", ["force_login", "login"])
def test_client_log_in(serve: Serve, user: User, way: str) -> None:
    """client.force_login and client.login log in, with a new id; client.logout logs out for good."""
    serve(AUTH)
    client = Client()
    client.get("/put")
    before = client.cookies["sessionid"].value
    if way == "force_login":
        client.force_login(user)
    else:
        assert client.login(username="mia", password=PASSWORD)
    known = client.cookies["sessionid"].value
    assert known != before
    assert stored(before) is None
    assert client.get("/who").content == b"mia"
    client.logout()
    assert stored(known) is None
    assert client.get("/who").content == b"AnonymousUser"


def test_async_client(serve: Serve, user: User) -> None:
    """Django's asynchronous client and the asynchronous log-in work too."""

    async def log_in_async(request: HttpRequest) -> HttpResponse:
        await auth.alogin(request, user)
        return HttpResponse(str(await request.auser()))

    async def log_out_async(request: HttpRequest) -> HttpResponse:
        await auth.alogout(request)
        return HttpResponse(str(request.user))

    async def story() -> object:
        client = AsyncClient()
        await client.get("/put")
        before = client.cookies["sessionid"].value
        said: list[object] = [(await client.get("/alogin")).content]
        known = client.cookies["sessionid"].value
        said += [known != before, stored(before)]
        said += [(await client.get("/who")).content, (await client.get("/alogout")).content, stored(known)]
        return said

    serve(AUTH, None, path("alogin", log_in_async), path("alogout", log_out_async))
    assert async_to_sync(story)() == [b"mia", True, None, b"mia", b"AnonymousUser", None]


def test_override_settings(change: Settings) -> None:
    """With sessions in the process they survive a change of another setting; a change that matters takes effect."""
    change(ROOT_URLCONF=urls(VIEWS))
    client = Client()
    client.get("/put")
    with override_settings(SESSION_COOKIE_AGE=60, USE_TZ=False, SHAREDSESSION={"route": "web7"}):
        assert client.get("/show").content == b"{'a': 1}"
        other = Client()
        other.get("/put")
        assert other.cookies["sessionid"].value.endswith(".web7")
        assert other.cookies["sessionid"]["max-age"] == "60"
    assert client.get("/show").content == b"{'a': 1}"
    assert other.get("/show").content == b"{'a': 1}"


def test_another_secret_key(change: Settings) -> None:
    """Under another SECRET_KEY an id is worth nothing, unless the old one is among SECRET_KEY_FALLBACKS."""
    change(ROOT_URLCONF=urls(VIEWS))
    client = Client()
    client.get("/put")
    known = client.cookies["sessionid"].value
    with override_settings(SECRET_KEY="another secret of these tests"):
        assert client.get("/show").content == b"{}"
        with override_settings(SECRET_KEY_FALLBACKS=[SECRET]):
            assert client.get("/show").content == b"{'a': 1}"
            assert client.cookies["sessionid"].value != known


def test_another_engine(serve: Serve, memcached: Memcached) -> None:
    """A test that sets an engine of Django's gets that one, whatever the middleware: nothing goes to memcached."""

    def typed(request: HttpRequest) -> None:
        with pytest.raises(TypeError, match=r"request\.session is not sharedsession's"):
            get_session(request)

    serve({"put": put("a", 1), "typed": typed}, {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"})
    client = Client()
    client.get("/put")
    assert client.get("/show").content == b"{'a': 1}"
    assert ":" in client.cookies["sessionid"].value
    assert dict(client.session.items()) == {"a": 1}
    assert memcached.stats()["cmd_set"] == 0
    assert client.get("/typed").status_code == 200
