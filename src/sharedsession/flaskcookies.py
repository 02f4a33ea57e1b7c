"""Flask's own sessions, which lie in signed cookies, as `SharedSession` takes them over."""

from __future__ import annotations

from typing import Protocol

import flask
from flask.sessions import SecureCookieSessionInterface, SessionInterface

from .dialogue import FormerSession
from .errors import ConfigError
from .record import FOREVER


class Interval(Protocol):
    """Says how long a session lasts here."""

    def __call__(self, *, permanent: bool) -> int | None:
        """Return the max inactive interval in seconds of a permanent session, or of any other; None: never."""
        ...


class SignedCookies:
    """Opens the sessions in Flask's signed cookies (a `Predecessor`).

    Two visitors whose sessions held the same in the same second have the very same cookie: nothing tells them apart,
    and their sessions must not become one. So only those count that hold what one user or client alone can have.

    Args:
        app: the Flask app, whose settings say how its cookies are named and signed.
        interface: what the app kept its sessions with: if that is a kind of Flask's own, it opens them.
        names: of attributes that only one user or client can have.
        interval: says how long a session lasts here.
        cookie_name: of our cookie.
    """

    def __init__(
        self,
        app: flask.Flask,
        interface: SessionInterface | None,
        names: tuple[str, ...],
        interval: Interval,
        cookie_name: str,
    ) -> None:
        self._app = app
        # One of the app's may have another salt or serializer.
        own = interface if isinstance(interface, SecureCookieSessionInterface) else SecureCookieSessionInterface()
        self._interface: SecureCookieSessionInterface = own
        self._names = names
        self._interval = interval
        self._cookie_name = cookie_name

    def find(self, cookies: str) -> FormerSession | None:
        """Return the session that a Cookie header holds; None if there is none, or none that is to be taken over."""
        name = self._interface.get_cookie_name(self._app)
        if name not in cookies:
            return None
        request = self._app.request_class({"HTTP_COOKIE": cookies}, populate_request=False, shallow=True)
        session = self._interface.open_session(self._app, request)
        # Without the signature itself: its base64 can be written in more than one way, what it signs cannot.
        signed = request.cookies.get(name, "").rpartition(".")[0]
        if not session or not signed or not any(session.get(own) for own in self._names):
            return None
        interval = self._interval(permanent=session.permanent) or 0
        return FormerSession(signed, dict(session), interval, self._interval(permanent=True) or FOREVER)

    def deletion(self) -> list[str]:
        """Return the Set-Cookie header by which Flask deletes its cookie; none if that has the name of ours."""
        if self._interface.get_cookie_name(self._app) == self._cookie_name:
            return []
        emptied, response = self._interface.session_class(), self._app.response_class()
        emptied.modified = True
        self._interface.save_session(self._app, emptied, response)
        return response.headers.getlist("Set-Cookie")


def attribute_names(option: str, names: object) -> tuple[str, ...]:
    """Return the names that an option lists, or the one it is.

    Raises:
        ConfigError: it is something else.
    """
    listed = names if isinstance(names, tuple | list | set | frozenset) else [names]
    if not all(isinstance(name, str) and name for name in listed):
        raise ConfigError(
            option,
            f"{names!r} does not name attributes that only one user or client can have, such as ('_user_id',); "
            "by them it is known whose session a cookie is",
        )
    return tuple(str(name) for name in listed)
