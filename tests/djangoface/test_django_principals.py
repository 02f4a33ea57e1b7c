"""Django: a log-in tells whose the session is; "log out my other devices", and limits, without code of their own."""

from __future__ import annotations

from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from servers import Memcached

from djangoface.conftest import Serve, Settings
from djangoface.project import PASSWORD, Browser, log_in, urls
from sharedsession import TooManySessionsError
from sharedsession.django import get_session, project


def who(request: HttpRequest) -> object:
    """Show who is logged in, and whose the session is."""
    return f"{request.user}, {get_session(request).principal}"


def alone(request: HttpRequest) -> object:
    """Log out everywhere else."""
    return project.sessions.invalidate_all(str(request.user.pk), keep=get_session(request))


VIEWS = {"login": log_in, "logout": auth.logout, "who": who, "alone": alone}


def test_a_log_in_names_the_principal(serve: Serve, user: User) -> None:
    """django.contrib.auth.login sets it to the user's primary key; logout() leaves nobody's name."""
    browser = serve(VIEWS)
    browser.get("/login")
    assert browser.get("/who").text == f"mia, {user.pk}"
    assert len(project.sessions.of(str(user.pk))) == 1
    browser.get("/logout")
    assert "None" in browser.get("/who").text
    assert project.sessions.of(str(user.pk)) == []


def test_log_out_my_other_devices(serve: Serve, user: User) -> None:
    """The session that asks stays; the user's others are logged out, and nobody else's."""
    mine = serve(VIEWS)
    phone, laptop = Browser(), Browser()
    for each in (mine, phone, laptop):
        each.get("/login")
    assert mine.get("/alone").text == "2"
    assert [str(user) in each.get("/who").text for each in (mine, phone, laptop)] == [True, False, False]


def test_too_many_log_ins_are_a_409(serve: Serve, user: User) -> None:
    """Above max_sessions_per_principal, under "refuse", a log-in is answered with 409, and nobody is logged in."""
    first = serve(VIEWS, max_sessions_per_principal=1, too_many_sessions="refuse")
    first.get("/login")
    second = Browser()
    answer = second.get("/login")
    assert (answer.status, answer.text, answer.set_cookie) == (409, TooManySessionsError.description, None)
    assert str(user) not in second.get("/who").text
    assert str(user) in first.get("/who").text
    first.get("/logout")
    assert second.get("/login").status == 200


def test_the_engine_alone_names_it_too(change: Settings, memcached: Memcached, user: User) -> None:
    """As SESSION_ENGINE alone, behind Django's own middleware, a log-in is listed as well."""
    change(
        ROOT_URLCONF=urls({"alone": lambda request: alone_in_engine(request)}),
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SHAREDSESSION={"nodes": memcached.node, "timeout": 10.0},
    )
    mine, other = Client(), Client()
    for client in (mine, other):
        assert client.login(username=user.username, password=PASSWORD)
    assert mine.get("/alone").content == b"1"
    assert "_auth_user_id" not in other.session
    assert "_auth_user_id" in mine.session


def alone_in_engine(request: HttpRequest) -> object:
    """Log out everywhere else, with the session that Django's middleware opened."""
    return project.sessions.invalidate_all(str(request.user.pk), keep=request.session)  # type: ignore[arg-type]
