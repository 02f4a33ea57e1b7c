"""Django's middleware: opens the request's session and says in the response what the client must be told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse
from django.utils.safestring import SafeString

from ..errors import REFUSALS, ConfigError
from ..exchange import Exchange, Policy, Visit
from ..serving import EXCHANGE_KEY, IGNORED_KEY, refuse_several_processes
from ..view import Origin
from .options import current_parts
from .response import commit, refusal
from .session import SessionStore

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class SharedSessionMiddleware(SessionMiddleware):
    """In MIDDLEWARE, in the place of Django's own session middleware.

    `request.session` is a `SessionStore`. Nothing is asked of memcached before it is used; it is saved when the
    response comes by. While memcached is away the answer is 503 with Retry-After. Where `SessionMiddleware` is around
    the WSGI application, this takes over its session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._store_class = _store_class(self.SessionStore)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        try:
            return super().__call__(request)
        except BaseException:
            _abandon(request)
            raise

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request; it is cancelled when the client leaves, and then no response comes by."""
        try:
            return await super().__acall__(request)
        except BaseException:
            await sync_to_async(_abandon)(request)
            raise

    def process_request(self, request: HttpRequest) -> None:
        """Open the session; asks the store nothing."""
        if self._store_class is None:
            super().process_request(request)
            return
        parts = current_parts()
        if request.META.get(IGNORED_KEY):
            request.session = IgnoredStore()
            return
        ignored = parts.policy.ignores(request.path_info)
        if parts.config.nodes is None and not ignored and _is_told_by_server(request):
            refuse_several_processes(request.META)
        exchange = request.META.get(EXCHANGE_KEY) or _enter(request, parts.policy)
        _show_cookie(request)
        request.session = IgnoredStore() if ignored else self._store_class(exchange=exchange)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 when memcached was away in the view, and 409 when the user is logged in too often."""
        return refusal(exception) if isinstance(exception, REFUSALS) else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the session and say so in the response's headers.

        Raises:
            SessionInterrupted: the session was ended by another request meanwhile (Django answers 400).
            SessionTooLargeError, TypeError: see `Session.commit`.
        """
        store = getattr(request, "session", None)
        if isinstance(store, IgnoredStore):
            return response
        if not isinstance(store, SessionStore) or store.exchange is None:
            return super().process_response(request, response)  # the application put another one there
        try:
            return commit(request, response, store, store.exchange)
        except REFUSALS as error:
            store.exchange.abandon()
            return refusal(error)
        except UpdateError:
            store.exchange.abandon()
            raise SessionInterrupted(
                "The request's session was ended before the request completed. "
                "The user may have logged out in a concurrent request, for example."
            ) from None


def _store_class(engine: type[SessionBase]) -> type[SessionStore] | None:
    """Return the class of `request.session`: the engine's, if it is a kind of ours; None: leave it all to Django.

    The latter where SESSION_ENGINE names another engine on purpose, as a test may do.
    """
    if issubclass(engine, SessionStore):
        return engine
    return None if settings.is_overridden("SESSION_ENGINE") else SessionStore


class IgnoredStore(SessionStore):
    """`request.session` where `ignore_paths` has it that there is none: empty, and refuses changes."""

    def _get_session(self, no_load: bool = False) -> Any:
        return _Refusing()

    _session = property(_get_session)

    @property
    def visit(self) -> Visit:
        """There is none."""
        return _refuse()

    @property
    def session_key(self) -> None:
        """There is none."""
        return

    @property
    def is_new(self) -> bool:
        """True."""
        return True

    @property
    def available(self) -> bool:
        """False."""
        return False

    def is_empty(self) -> bool:
        """Return True."""
        return True


def _refuse(*_: object, **__: object) -> NoReturn:
    raise ConfigError("ignore_paths", "covers this request's path, so that it has no session to change")


class _Refusing(dict[str, Any]):
    __setitem__ = __delitem__ = update = setdefault = clear = _refuse


def _abandon(request: HttpRequest) -> None:
    """Let others have a session that was locked: nothing of the request is going to be saved."""
    exchange = _exchange(request)
    if exchange is not None:
        exchange.abandon()


# -- for views ---------------------------------------------------------------------------------------------------------


def get_session(request: HttpRequest) -> SessionStore:
    """Return `request.session` with the type that it has here.

    Raises:
        TypeError: it is another middleware's.
    """
    if not isinstance(request.session, SessionStore):
        raise TypeError("request.session is not sharedsession's; see `manage.py check`")
    return request.session


def encode_url(request: HttpRequest, url: str) -> str:
    """Return a URL of the site with the session id, for a client without cookies; see `sharedsession.encode_url`."""
    exchange = _exchange(request)
    return str(url) if exchange is None else exchange.encode_url(str(url))


def hidden_field(request: HttpRequest) -> SafeString:
    """Return the hidden field to be the first in a POST form, for a client without cookies; empty for any other."""
    exchange = _exchange(request)
    return SafeString("" if exchange is None else exchange.hidden_field())


def _exchange(request: HttpRequest) -> Exchange | None:
    session = getattr(request, "session", None)
    return session.exchange if isinstance(session, SessionStore) else None


# -- on the way in -----------------------------------------------------------------------------------------------------


def _is_told_by_server(request: HttpRequest) -> bool:
    """Say whether a server tells if it runs several processes: ASGI does not, and Django's test client makes it up."""
    return type(request.META.get("wsgi.input")).__module__ not in ("builtins", "django.test.client")


def _enter(request: HttpRequest, policy: Policy) -> Exchange:
    """Open an exchange where no WSGI middleware has; take ids out of the URL before it is resolved."""
    meta = request.META
    # No form is looked into here: Django took hold of the body before any middleware ran.
    content_type = meta.pop("CONTENT_TYPE", None)
    exchange = Exchange(policy, meta, _origin(request, policy))
    if content_type is not None:
        meta["CONTENT_TYPE"] = content_type
    request.path = policy.tracking.strip_path(request.path)
    request.path_info = policy.tracking.strip_path(request.path_info)
    return exchange


def _origin(request: HttpRequest, policy: Policy) -> Origin:
    meta = request.META
    host = meta.get("HTTP_HOST", "")
    if policy.tracking.needs_entry:
        with suppress(DisallowedHost):  # Django refuses the request where it asks for the host itself
            host = request.get_host()
    # Django has decoded the paths in META; PEP 3333 has their bytes as latin-1.
    mount, path = (str(meta.get(name, "")).encode().decode("latin-1") for name in ("SCRIPT_NAME", "PATH_INFO"))
    return Origin(request.scheme or "http", host, mount, path, meta.get("QUERY_STRING", ""))


def _show_cookie(request: HttpRequest) -> None:
    """Let an id that other middleware, or a test, has put into request.COOKIES count, as in Django."""
    name = settings.SESSION_COOKIE_NAME
    value = vars(request).get("COOKIES", {}).get(name)  # not there before somebody has asked for it
    header = request.META.get("HTTP_COOKIE", "")
    if value and f"{name}={value}" not in header:
        request.META["HTTP_COOKIE"] = f"{name}={value}; {header}"
