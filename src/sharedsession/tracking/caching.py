"""Response headers that keep one client's session out of shared caches (RFC 9111)."""

from __future__ import annotations

Headers = list[tuple[str, str]]


def vary_on_cookie(headers: Headers) -> None:
    """Say that the response depends on the cookie (RFC 9110 12.5.5); "*" says so already."""
    for index, (name, value) in enumerate(headers):
        if len(name) == 4 and name.lower() == "vary":
            fields = [field.strip().lower() for field in value.split(",")]
            if "cookie" not in fields and "*" not in fields:
                headers[index] = (name, f"{value}, Cookie" if value.strip() else "Cookie")
            return
    headers.append(("Vary", "Cookie"))


def forbid_shared_caching(headers: Headers) -> None:
    """Keep a response that carries a session id out of caches that serve others.

    A Cache-Control with no-store, private or a bare no-cache (RFC 9111 5.2.2) does so already and stays. Otherwise
    "public" and "s-maxage" are dropped and "private" is added.
    """
    lines = [value for name, value in headers if name.lower() == "cache-control"]
    if not lines:
        headers.append(("Cache-Control", "private"))
        return
    directives = [part.strip() for line in lines for part in line.split(",") if part.strip()]
    if {directive.lower() for directive in directives} & {"no-store", "private", "no-cache"}:
        return
    kept = [part for part in directives if part.lower().split("=")[0].strip() not in ("public", "s-maxage")]
    headers[:] = [(name, value) for name, value in headers if name.lower() != "cache-control"]
    headers.append(("Cache-Control", ", ".join([*kept, "private"])))
