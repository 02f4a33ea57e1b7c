"""Plugin for Flask's own tests: every Flask app gets shared sessions, as its author would write it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import flask
import pytest

import sharedsession.config
from sharedsession.assembly import Parts
from sharedsession.flask import SharedSession

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

# Flask's tests sign with "test key" and the like; here a key has at least 16 bytes.
sharedsession.config.MIN_SECRET_BYTES = 1

#: Flask's tests look for a cookie of this name.
COOKIE_NAME = "session"
#: For the many apps of Flask's tests that have no key, as they have no use for a session.
KEY = "the key of an app that has none"

opened: list[Parts] = []


class EveryRequest(SharedSession):
    """Reads the configuration anew for each request: Flask's tests change it in between."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self._built = False
        return super().__call__(environ, start_response)

    def serve_with(self, parts: Parts) -> None:
        """Serve with these parts, which `close_connections` closes."""
        opened.append(parts)
        super().serve_with(parts)

    def _build(self) -> Parts:
        self._options.pop("secret_key", None)
        if self._flask is not None and self._flask.secret_key is None:
            self._options["secret_key"] = KEY
        return super()._build()


original = flask.Flask.__init__


def with_shared_sessions(self: flask.Flask, *args: Any, **options: Any) -> None:
    """Make a Flask app, and `SharedSession(app)`."""
    original(self, *args, **options)
    EveryRequest(self, cookie_name=COOKIE_NAME)


flask.Flask.__init__ = with_shared_sessions  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    """Close what was opened in a test: nobody does when an app is just dropped."""
    yield
    for parts in opened:
        parts.health.close()
        parts.transport.close()
    opened.clear()
