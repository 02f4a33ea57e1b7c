"""The examples in docs/django.md do what the page says; their memcached nodes are out of reach here."""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as FormerStore
from django.core import checks
from django.core.management import call_command
from django.template import RequestContext, Template
from django.test import Client, RequestFactory
from django.urls import path

from djangoface import DJANGOS_MIDDLEWARE, FURTHER, MIDDLEWARE
from djangoface.conftest import Settings
from djangoface.project import VIEWS, Browser, log_in, urls
from sharedsession import SessionMiddleware
from sharedsession.django import SessionStore, project
from sharedsession.django.options import _OWN_SETTINGS, _SHARED_SETTINGS
from sharedsession.testing import in_memory

PAGE = (Path(__file__).parents[2] / "docs" / "django.md").read_text()
EXAMPLES: list[str] = re.findall(r"```(?:python|html)\n(.*?)```", PAGE, re.DOTALL)


def example(mark: str) -> str:
    """Return the only example that holds `mark`."""
    (found,) = (example for example in EXAMPLES if mark in example)
    return found


def run(mark: str) -> dict[str, Any]:
    """Execute the only example that holds `mark`; return its names."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example(mark), "django.md", "exec"), names)
    return names


def test_the_lines_to_write(change: Settings) -> None:
    """With the lines of the page no system check finds anything, ours or Django's; two nodes and a route are set."""
    names = {name: value for name, value in run("SESSION_ENGINE").items() if name.isupper()}
    change(**names)
    assert [message for message in checks.run_checks() if (message.id or "").startswith("sharedsession")] == []
    assert checks.run_checks(tags=["sharedsession"], include_deployment_checks=True) == []
    assert [node.name for node in project.health()] == ["n1", "n2"]
    assert project.parts.config.route == "web1"


def test_counting_visits(change: Settings) -> None:
    """The view counts, and so does the test that the page shows for it."""
    change(ROOT_URLCONF=urls({"": run("def visits")["visits"]}))
    client = Client()
    assert [client.get("/").content for _ in "12"] == [f"You were here {n} times.".encode() for n in (1, 2)]
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(run("class VisitsTest")["VisitsTest"])
    result = unittest.TestResult()
    tests.run(result)
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])


def test_settings() -> None:
    """Every setting of Django's that counts is in the table, and every setting of sessions that Django has but one."""
    table = set(re.findall(r"`([A-Z_]+)`", PAGE[PAGE.index("## Settings") : PAGE.index("## What is different")]))
    assert set(_SHARED_SETTINGS.values()) | set(_OWN_SETTINGS.values()) <= table
    assert {name for name in dir(global_settings) if name.startswith("SESSION_")} - table == {"SESSION_ENGINE"}


def test_links(change: Settings) -> None:
    """The template and the view give a client without cookies its links."""
    view = run("def cart")["cart"]
    change(ROOT_URLCONF=urls({}, path("cart", view, name="cart")), SHAREDSESSION={"tracking": ["url"]})
    text = Client().get("/cart").content.decode()
    assert re.fullmatch(r'<form method="post" action="/cart;jsessionid=[0-9a-f]{64}"></form>', text)
    request = RequestFactory().get("/cart")
    request.session = SessionStore()
    assert '<a href="/cart">Cart</a>' in Template(example("{% load")).render(
        RequestContext(request, {"request": request})
    )


def test_the_wsgi_middleware() -> None:
    """The lines for wsgi.py make a middleware with the options of the settings."""
    application = run("get_wsgi_application")["application"]
    assert type(application) is SessionMiddleware
    assert application.parts is project.parts


def test_a_session_by_its_key() -> None:
    """Code without a request changes a session that is there, and makes none of one that is not."""
    add_to_cart = run("def add_to_cart")["add_to_cart"]
    with in_memory(project) as sessions:
        key = sessions.create({})
        add_to_cart(key, "tea")
        add_to_cart(key, "cake")
        add_to_cart("0" * 64, "tea")
        assert sessions.all() == [{"cart": ["tea", "cake"]}]


@pytest.fixture
def table(change: Settings) -> None:
    """Make the table of Django's database engine."""
    apps = ["auth", "contenttypes", "messages", "sessions"]
    change(INSTALLED_APPS=["sharedsession.django", *(f"django.contrib.{app}" for app in apps)])
    call_command("migrate", "sessions", verbosity=0)


@pytest.fixture
def former(table: None, change: Settings, user: User, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the key of a session of Django's database engine, in which mia is logged in; sessions are carried over."""
    monkeypatch.setattr("djangoface.carry_over", run("def carry_over")["carry_over"], raising=False)
    views = {**VIEWS, "login": log_in, "who": lambda request: request.user}
    engine = "django.contrib.sessions.backends.db"
    change(ROOT_URLCONF=urls(views), SHAREDSESSION={"ignore_paths": ["/nothing"]})
    change(SESSION_ENGINE=engine, MIDDLEWARE=[DJANGOS_MIDDLEWARE, *FURTHER])
    browser = Browser()
    browser.get("/put")
    browser.get("/login")
    key = browser.id
    change(SESSION_ENGINE="sharedsession.django", MIDDLEWARE=[MIDDLEWARE, "djangoface.carry_over", *FURTHER])
    return key


def test_moving(former: str, user: User) -> None:
    """A session of Django's engine goes on here: the user stays logged in; the former one goes when this is stored."""
    with in_memory(project) as sessions:
        browser = Browser({"sessionid": former})
        with sessions.unavailable():
            assert browser.get("/who").status == 503
        assert browser.get("/nothing").text == "nothing"
        assert FormerStore().exists(former)
        assert browser.get("/who").text == "mia"
        assert len(browser.id) == 64
        assert not FormerStore().exists(former)
        assert browser.get("/who").text == "mia"
        (kept,) = sessions.all()
        assert (kept["a"], kept[SESSION_KEY]) == (1, str(user.pk))
        assert Browser({"sessionid": former}).get("/who").text == "AnonymousUser"


def test_moving_twice(former: str) -> None:
    """Who has a session here already keeps it; the former one goes all the same."""
    with in_memory(project) as sessions:
        known = sessions.create({"b": 2})
        browser = Browser()
        assert browser.get("/show", cookie=f"sessionid={known}; sessionid={former}").text == "{'b': 2}"
        assert not FormerStore().exists(former)
