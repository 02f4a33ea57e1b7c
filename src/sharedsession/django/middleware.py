"""Django's middleware: opens the request's session and says in the response what the client must be told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from ..errors import RETRY_AFTER, ConfigError, StoreUnavailableError
from ..exchange import Exchange, Policy
from ..middleware import EXCHANGE_KEY, IGNORED_KEY, refuse_several_processes
from ..view import Origin
from .options import current_parts
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

    def process_request(self, request: HttpRequest) -> None:
        """Open the session; asks the store nothing."""
        parts = current_parts()
        if request.META.get(IGNORED_KEY) or parts.policy.ignores(request.path_info):
            request.session = IgnoredStore()
            return
        if parts.config.nodes is None and _is_told_by_server(request):
            refuse_several_processes(request.META)
        exchange = request.META.get(EXCHANGE_KEY)
        if exchange is None:
            exchange = self._enter(request, parts.policy)
        request.session = SessionStore(exchange=exchange)

    def _enter(self, request: HttpRequest, policy: Policy) -> Exchange:
        """Open an exchange where no WSGI middleware has; take ids out of the URL before it is resolved."""
        path = request.path_info
        exchange = Exchange(policy, request.META, lambda _: _origin(request, policy))
        stripped = request.META.get("PATH_INFO", path)
        if policy.tracking.needs_entry and stripped != path:
            request.path = request.path.removesuffix(path) + stripped
            request.path_info = stripped
        return exchange

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 when memcached was away in the view."""
        return unavailable() if isinstance(exception, StoreUnavailableError) else None

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
            return self._commit(store, store.exchange, response, wrapped=EXCHANGE_KEY in request.META)
        except StoreUnavailableError:
            return unavailable()
        except UpdateError:
            raise SessionInterrupted(
                "The request's session was ended before the request completed. "
                "The user may have logged out in a concurrent request, for example."
            ) from None

    def _commit(
        self, store: SessionStore, exchange: Exchange, response: HttpResponse, *, wrapped: bool
    ) -> HttpResponse:
        if response.status_code == 500 and exchange.failure is not None:
            return unavailable()
        store.prepare()
        headers = list(response.items())
        if not wrapped:
            exchange.commit(response.status_code, headers)
        elif response.status_code < 500:
            exchange.save()
        if exchange.lost:
            raise UpdateError
        if not wrapped:
            _apply(headers, response)
            _save_at_end(response, exchange)
        return response


class IgnoredStore(SessionStore):
    """`request.session` where `ignore_paths` has it that there is none: empty, and refuses changes."""

    def _get_session(self, no_load: bool = False) -> Any:
        return _Refusing()

    _session = property(_get_session)

    @property
    def session_key(self) -> None:
        """There is none."""
        return

    def is_empty(self) -> bool:
        """Return True."""
        return True


class _Refusing(dict[str, Any]):
    def _fail(self, *args: object, **kwargs: object) -> NoReturn:
        raise ConfigError("ignore_paths", "covers this request's path, so that it has no session to change")

    __setitem__ = __delitem__ = update = setdefault = clear = _fail


def get_session(request: HttpRequest) -> SessionStore:
    """Return `request.session` with the type that it has here.

    Raises:
        TypeError: it is another middleware's.
    """
    if not isinstance(request.session, SessionStore):
        raise TypeError("request.session is not sharedsession's; see `manage.py check`")
    return request.session


def unavailable() -> HttpResponse:
    """Return the 503: memcached is away. The client keeps its cookie and tries again."""
    headers = {"Retry-After": str(RETRY_AFTER), "Cache-Control": "no-store"}
    return HttpResponse(
        StoreUnavailableError.description, status=503, content_type="text/plain; charset=utf-8", headers=headers
    )


def _is_told_by_server(request: HttpRequest) -> bool:
    """Say whether a server tells if it runs several processes: ASGI does not, and Django's test client makes it up."""
    return type(request.META.get("wsgi.input")).__module__ not in ("builtins", "django.test.client")


def _origin(request: HttpRequest, policy: Policy) -> Origin:
    meta = request.META
    host = meta.get("HTTP_HOST", "")
    if policy.tracking.needs_entry:
        with suppress(DisallowedHost):  # Django refuses the request where it asks for the host itself
            host = request.get_host()
    # Django has decoded the paths in META; PEP 3333 has their bytes as latin-1.
    mount, path = (str(meta.get(name, "")).encode().decode("latin-1") for name in ("SCRIPT_NAME", "PATH_INFO"))
    return Origin(request.scheme or "http", host, mount, path)


def _apply(headers: list[tuple[str, str]], response: HttpResponseBase) -> None:
    """Bring the headers over; Django keeps cookies apart."""
    for name, value in headers:
        if name == "Set-Cookie":
            response.cookies.load(value)
        elif response.headers.get(name) != value:
            response.headers[name] = value


def _save_at_end(response: HttpResponseBase, exchange: Exchange) -> None:
    """Save what the body of a streaming response changes while it is sent."""
    if not isinstance(response, StreamingHttpResponse) or isinstance(response, FileResponse):
        return
    exchange.headers_sent()
    content = response.streaming_content
    if response.is_async:
        response.streaming_content = _saving_async(cast("AsyncIterator[bytes]", content), exchange)
    else:
        response.streaming_content = _saving(cast("Iterator[bytes]", content), exchange)


def _saving(content: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    try:
        yield from content
    finally:
        exchange.commit_late()


async def _saving_async(content: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    try:
        async for piece in content:
            yield piece
    finally:
        await sync_to_async(exchange.commit_late)()
