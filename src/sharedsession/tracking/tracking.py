"""All ways in which an id travels, as switched on: where it is found, in which order, and how it is sent."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from ..config import SessionConfig
from ..dialogue import Requested, Update
from ..view import RequestView, decoded, is_below
from .caching import Headers, forbid_shared_caching
from .cookie import CookieTracking
from .form import FormField, PeekedInput
from .guards import Guards
from .pages import Page
from .rewritten import encoding_of_page
from .rules import Rules
from .url import Place, UrlParameter, encode_refresh

#: Response headers whose URLs lead the client on.
_LOCATIONS = ("location", "content-location")


class Tracking:
    """Finds and sends ids.

    Args:
        config: which kinds are on, names, cookie and crawlers.
    """

    def __init__(self, config: SessionConfig) -> None:
        kinds = config.tracking
        self._cookie = CookieTracking(config.cookie) if "cookie" in kinds else None
        #: Cookies have an age, and die under an active user unless they are sent again.
        self.ages: bool = config.cookie.max_age is not None
        self._url = UrlParameter(config.parameter) if "url" in kinds else None
        self._form = FormField(config.parameter) if "form" in kinds else None
        self._crawlers = re.compile(config.crawlers) if config.crawlers else None
        #: What is asked of a request beside its ids.
        self.guards: Guards = Guards(config)
        #: Pages are rewritten for clients without cookies, but not below these paths.
        self.rewrites: bool = config.rewrite_html
        self._kept = config.rewrite_html_except
        self._parameter = config.parameter
        #: Something else than the cookie is on.
        self.needs_entry: bool = self._url is not None or self._form is not None

    def enter(self, environ: dict[str, Any]) -> Trail:
        """Take the ids out of the URL, and get ready to look into the body, before the application sees either."""
        ids = self._url.take(environ) if self._url else []
        body = self._form.watch(environ) if self._form else None
        return Trail(ids, body)

    def strip_path(self, path: str) -> str:
        """Return a decoded path without the id, where URLs carry ids."""
        return self._url.strip_decoded(path) if self._url else path

    def resolve(self, view: RequestView, trail: Trail | None) -> list[Requested]:
        """Return the ids that the client showed, best first: cookies, then the URL's, then the form's."""
        shown = self._cookie.resolve(view) if self._cookie else []
        # A link or a form on another site must not choose the session (RFC 9110 has no say; Fetch Metadata has).
        if trail is None or view.is_cross_site:
            return shown
        shown += [Requested(text, "url") for text in trail.url_ids]
        found = self._form.find(trail.body, view.content_type) if self._form and trail.body is not None else None
        return shown if found is None else [*shown, Requested(found, "form")]

    def apply(self, update: Update, view: RequestView, headers: Headers) -> None:
        """Add the cookie that the update calls for."""
        if self._cookie:
            self._cookie.apply(update, view, headers)

    # -- ids in what the application writes ------------------------------------------------------------------------

    def carries(self, view: RequestView) -> bool:
        """Say whether this client may get ids in URLs and forms: crawlers would publish them."""
        return self.needs_entry and not (self._crawlers and self._crawlers.search(view.user_agent))

    def encode_url(self, url: str, session_id: str, view: RequestView) -> str:
        """Return the URL with the id, if URLs carry ids and it leads back to the application."""
        return self._url.encode(url, session_id, place_of(view)) if self._url else url

    def hidden_field(self, session_id: str) -> Markup:
        """Return the hidden field for a form, empty when forms carry no ids."""
        return self._form.hidden(session_id) if self._form else Markup()

    def encode_headers(self, session_id: str, view: RequestView, headers: Headers) -> None:
        """Put the id into the URLs of Location, Content-Location and Refresh."""
        headers[:] = [(name, self._encode_header(name.lower(), value, session_id, view)) for name, value in headers]

    def _encode_header(self, name: str, value: str, session_id: str, view: RequestView) -> str:
        if name in _LOCATIONS:
            return self.encode_url(value, session_id, view)
        if name == "refresh":
            return encode_refresh(value, lambda url: self.encode_url(url, session_id, view))
        return value

    # -- pages that rewrite themselves -----------------------------------------------------------------------------

    def page(self, path: str, status: int, headers: Headers, session_id: str, view: RequestView) -> Page | None:
        """Return what puts the id into a page; None where the response is to stay as it is.

        Args:
            path: the request's, below the mount point, as environ has it (PEP 3333: bytes as latin-1).
            status: the response's.
            headers: the response's.
            session_id: the id.
            view: the request.
        """
        encoding = encoding_of_page(view.method, status, headers)
        if encoding is None or is_below(decoded(path), self._kept):
            return None
        parameter = self._url or UrlParameter(self._parameter)
        rules = Rules(session_id, place_of(view), parameter, in_urls=self._url is not None)
        return Page(rules, self.hidden_field(session_id).encode(), sniffs=not encoding)


class Trail:
    """Where a request's ids lie, apart from its cookies."""

    __slots__ = ("body", "url_ids")

    def __init__(self, url_ids: list[str], body: PeekedInput | None) -> None:
        self.url_ids: list[str] = url_ids
        self.body: PeekedInput | None = body


def place_of(view: RequestView) -> Place:
    """Return where the request is, as the client sees it."""
    return Place("https" if view.is_https else "http", view.host, view.quoted_mount, view.quoted_path, view.query)


def protect(headers: Headers) -> None:
    """Keep a response with ids in it out of shared caches, and its address out of other sites' logs."""
    forbid_shared_caching(headers)
    if not any(name.lower() == "referrer-policy" for name, _ in headers):
        headers.append(("Referrer-Policy", "same-origin"))
