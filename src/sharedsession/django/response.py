"""The session in a response of Django's: saved before it leaves, and once more when a streaming body has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator
from http.cookies import Morsel, SimpleCookie
from typing import TYPE_CHECKING, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.cache import patch_cache_control

from ..errors import RETRY_AFTER, Refusal, StoreUnavailableError
from ..exchange import Exchange
from ..serving import EXCHANGE_KEY
from .options import current_parts
from .session import SessionStore

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def refusal(error: Refusal) -> HttpResponse:
    """Return what the error says: 503, memcached is away, or 409. The client keeps its cookie and tries again."""
    text = error.description
    headers = {"Cache-Control": "no-store", "Content-Length": str(len(text))}
    if isinstance(error, StoreUnavailableError):
        headers["Retry-After"] = str(RETRY_AFTER)
    return HttpResponse(text, status=error.code, content_type="text/plain; charset=utf-8", headers=headers)


def commit(request: HttpRequest, response: HttpResponse, store: SessionStore, exchange: Exchange) -> HttpResponse:
    """Save the session, and say in the response what the client must be told; return the response to be sent.

    Raises:
        UpdateError: the session was ended by another request meanwhile.
        StoreUnavailableError, SessionTooLargeError, TypeError: as for `Session.commit`.
    """
    if response.status_code == 500 and exchange.failure is not None:
        raise StoreUnavailableError("the session store failed in this request")
    saves = response.status_code < 500 or current_parts().config.save_on_5xx
    if saves:
        store.prepare()
    if request.META.get(EXCHANGE_KEY) is not None:
        _save_for_wrapper(response, exchange, saves=saves)
    else:
        _save(response, exchange)
    _save_at_end(response, exchange)
    if saves and exchange.lost:
        raise UpdateError
    if store.flushed_nothing and settings.SESSION_COOKIE_NAME in request.COOKIES:
        _delete_cookie(request, response)
    return response


def _save(response: HttpResponseBase, exchange: Exchange) -> None:
    """Save, and tell the client; a streaming response cannot tell it anything afterwards."""
    headers = list(response.items())
    exchange.commit(str(response.status_code), headers)
    _apply(headers, response)
    if response.streaming:
        exchange.headers_sent()


def _save_for_wrapper(response: HttpResponseBase, exchange: Exchange, *, saves: bool) -> None:
    """Save; the middleware around the WSGI application tells the client, but what caches responses is inside of it."""
    if saves:
        exchange.save()
    personal = exchange.session.accessed or exchange.carried() is not None
    if personal and "no-store" not in response.headers.get("Cache-Control", ""):
        patch_cache_control(response, private=True)


def _apply(headers: list[tuple[str, str]], response: HttpResponseBase) -> None:
    """Bring the headers over; Django keeps cookies apart."""
    for name, value in headers:
        if name == "Set-Cookie":
            plain = value.removesuffix("; Partitioned")
            for key, morsel in SimpleCookie(plain).items():
                response.cookies[key] = morsel if plain == value else PartitionedCookie.of(morsel)
        elif response.headers.get(name) != value:
            response.headers[name] = value


class PartitionedCookie(Morsel[str]):
    """A cookie with the attribute Partitioned, which `http.cookies` does not know before Python 3.14."""

    @classmethod
    def of(cls, morsel: Morsel[str]) -> PartitionedCookie:
        """Return the cookie with the attribute."""
        cookie = cls()
        cookie.set(morsel.key, morsel.value, morsel.coded_value)
        cookie.update(morsel)
        return cookie

    def OutputString(self, attrs: Container[str] | None = None) -> str:  # noqa: N802  # http.cookies' name
        """Return the value of the Set-Cookie header."""
        return f"{super().OutputString(attrs)}; Partitioned"


def _delete_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Delete a cookie whose session had ended before it was flushed: who logs out has no cookie, as in Django."""
    cookie = current_parts().config.cookie
    path = cookie.path or request.META.get("SCRIPT_NAME") or "/"
    response.delete_cookie(cookie.name, path, cookie.domain, cast("Any", cookie.samesite))
    if cookie.partitioned:
        response.cookies[cookie.name]["secure"] = True
        response.cookies[cookie.name] = PartitionedCookie.of(response.cookies[cookie.name])


def _save_at_end(response: HttpResponseBase, exchange: Exchange) -> None:
    """Save what the body of a streaming response changes, before its end is sent: the client may ask again then."""
    # A file is sent by the server itself where it can (wsgi.file_wrapper); nothing of the application runs meanwhile.
    if not isinstance(response, StreamingHttpResponse) or getattr(response, "file_to_stream", None) is not None:
        return
    content = response.streaming_content
    if response.is_async:
        closing = getattr(getattr(response, "_iterator", None), "aclose", None)
        response.streaming_content = _saving_async(cast("AsyncIterator[bytes]", content), closing, exchange)
    else:
        response.streaming_content = _saving(cast("Iterator[bytes]", content), exchange)


def _saving(content: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    try:
        yield from content
    finally:
        exchange.finish()


async def _saving_async(
    content: AsyncIterator[bytes], closing: Callable[[], Awaitable[None]] | None, exchange: Exchange
) -> AsyncIterator[bytes]:
    try:
        async for piece in content:
            yield piece
    finally:
        # Nobody closes the body of a client that has left: its own "finally" comes first.
        if closing is not None:
            await closing()
        await sync_to_async(exchange.finish)()
