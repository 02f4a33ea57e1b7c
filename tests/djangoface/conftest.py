"""Fixtures: a Django project over real memcached, its settings changed for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import override_settings
from servers import Memcached

from djangoface import project
from djangoface.project import PASSWORD, VIEWS, Browser, View
from sharedsession.django import project as sessions

Settings = Callable[..., None]
Serve = Callable[..., Browser]


@pytest.fixture
def change() -> Iterator[Settings]:
    """Return a function: `change(SETTING=value)` holds until the test ends."""
    with ExitStack() as stack:

        def enter(**settings: Any) -> None:
            stack.enter_context(override_settings(**settings))

        yield enter
        sessions.parts.close()
    sessions.reread()


@pytest.fixture
def serve(change: Settings, memcached: Memcached) -> Serve:
    """Return a function that serves views over memcached until the test ends, and returns a browser."""

    def start(
        views: Mapping[str, View] | None = None, settings: Mapping[str, Any] | None = None, *urls: Any, **options: Any
    ) -> Browser:
        shared = {"nodes": memcached.node, "timeout": 10.0, "connect_timeout": 10.0, **options}
        change(ROOT_URLCONF=project.urls({**VIEWS, **(views or {})}, *urls), SHAREDSESSION=shared, **(settings or {}))
        return Browser()

    return start


@pytest.fixture
def user() -> Iterator[User]:
    """Return a superuser, who is gone after the test."""
    with transaction.atomic():
        yield User.objects.create_superuser("mia", "mia@example.com", PASSWORD)
        transaction.set_rollback(True)
