"""The id in a cookie (RFC 6265bis)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from werkzeug.http import dump_cookie

from ..config import CookieConfig
from ..dialogue import Requested, Tell, Update
from ..view import RequestView
from .caching import forbid_shared_caching

#: Stands for an id: no name, path or domain contains it.
_ANY_ID = "0" * 64
#: Cookies of our name that are looked at in one request.
MOST_COOKIES: Final = 100

Headers = list[tuple[str, str]]


class CookieTracking:
    """Finds ids in the Cookie header and sets the cookie.

    Args:
        config: the cookie's attributes.
    """

    def __init__(self, config: CookieConfig) -> None:
        self._config = config
        # Paths come from the application's mount, at times as a proxy says it: remember a few.
        self._around = lru_cache(maxsize=64)(self._dumped)
        # RFC 6265 4.2.1 separates with "; "; clients are met that leave the blank out or quote the value. One pass:
        # what follows "=" cannot match in two ways, so a hostile header costs no more than its length.
        self._pattern = re.compile(rf"(?:^|;)[ \t]*{re.escape(config.name)}[ \t]*=([^;]*)")

    def resolve(self, view: RequestView) -> list[Requested]:
        """Return the ids the client sent, in order; several cookies of one name come from several paths or domains."""
        return [Requested(text.strip(' \t"'), "cookie") for text in self._values(view.cookies)]

    def _values(self, header: str) -> list[str]:
        """Return the values that follow our name, as they stand."""
        name = self._config.name
        # As nearly always, it stands there once or not at all, and in the RFC's form: nothing to search for.
        times, at = header.count(name), header.find(f"{name}=")
        if times == 0:
            return []
        if times == 1 and (at == 0 or (at > 1 and header.startswith("; ", at - 2))):
            return [header[at + len(name) + 1 :].partition(";")[0]]
        found: list[str] = self._pattern.findall(header)
        return found[:MOST_COOKIES]

    def apply(self, update: Update, view: RequestView, headers: Headers) -> None:
        """Add the Set-Cookie header that the update calls for, if any."""
        if not update.by_cookie:
            return
        max_age = self._config.max_age if update.max_age is None else update.max_age
        if update.tell is Tell.ID or (update.tell is Tell.AGE and update.id and max_age is not None):
            self._set(update.id, max_age, view, headers)
        elif update.tell is Tell.EXPIRED:
            self._set("", 0, view, headers)

    def _set(self, value: str, max_age: int | None, view: RequestView, headers: Headers) -> None:
        config = self._config
        path = config.path or view.mount
        secure = view.is_https if config.secure == "auto" else bool(config.secure)
        # An id is never quoted, so what stands around it is always the same.
        # Except for when it expires, which stands beside its age.
        around = self._around if max_age is None or value == "" else self._dumped
        before, after = around(max_age, path, secure=secure, deletes=value == "")
        headers.append(("Set-Cookie", before + value + after))
        forbid_shared_caching(headers)

    def _dumped(self, max_age: int | None, path: str, *, secure: bool, deletes: bool) -> tuple[str, str]:
        config = self._config
        before, _, after = dump_cookie(
            config.name,
            _ANY_ID,
            max_age=max_age,
            expires=0 if deletes else None,
            path=path,
            domain=config.domain,
            secure=secure,
            httponly=config.httponly,
            samesite=config.samesite,
            partitioned=config.partitioned,
        ).partition(_ANY_ID)
        return before, after
