"""Which responses are HTML pages that can be rewritten, and what their headers say afterwards (RFC 9110)."""

from __future__ import annotations

from werkzeug.http import parse_options_header

from .caching import Headers, forbid_shared_caching
from .pages import is_like_ascii

#: Statuses without content, with a part of it, or of a file that is kept ("304").
_UNTOUCHED = frozenset([204, 205, 206, 304])

#: What says something about the bytes that the application wrote. ETag and Last-Modified too: a strong validator
#: changes with the bytes, a weak one with what they mean (8.8.1), and a page with one session's id never means the same
#: as one with another's. A browser that asked with it would be told 304, and show the page with the id of a session
#: that may have ended.
_OF_THE_BYTES = frozenset(
    ["content-length", "etag", "last-modified", "content-md5", "digest", "content-digest", "repr-digest"]
)


def encoding_of_page(method: str, status: int, headers: Headers) -> str | None:
    """Return the encoding that the Content-Type of a page names, "" if it names none; None: leave the response alone.

    That is anything but whole, uncompressed HTML in an encoding that is compatible with ASCII.
    """
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    types = fields.get("content-type", [])
    if method == "HEAD" or status < 200 or status in _UNTOUCHED or len(types) != 1 or _is_odd(fields):
        return None
    kind, options = parse_options_header(types[0])
    encoding = options.get("charset", "")
    return encoding if kind.lower() == "text/html" and (not encoding or is_like_ascii(encoding)) else None


def _is_odd(fields: dict[str, list[str]]) -> bool:
    coded = any(value.strip().lower() not in ("", "identity") for value in fields.get("content-encoding", []))
    saved = any(value.strip().lower().startswith("attachment") for value in fields.get("content-disposition", []))
    return coded or saved or "content-range" in fields or "transfer-encoding" in fields


def correct(headers: Headers, length: int | None) -> None:
    """Take back what the application said of a page that is rewritten; headers are changed in place.

    Args:
        headers: the response's.
        length: bytes of the rewritten page; None: not known yet, so the response has no Content-Length.
    """
    said = {name.lower() for name, _ in headers}
    headers[:] = [(name, value) for name, value in headers if name.lower() not in (*_OF_THE_BYTES, "accept-ranges")]
    if length is not None and "content-length" in said:
        headers.append(("Content-Length", str(length)))
    if "accept-ranges" in said:
        # A range of what the application wrote is no range of this (14.3).
        headers.append(("Accept-Ranges", "none"))
    forbid_shared_caching(headers)
