"""The error tree: what can go wrong, with the evidence and what to do about it.

Not found, expired, forged and malformed are values, not errors: see `memcached.store.Absent`. Only a mistake of the
developer (`ConfigError`, `HeadersSentError`) or a fault of the infrastructure (`StoreError`) is raised.
"""

from __future__ import annotations

from collections.abc import Mapping

from werkzeug.exceptions import Conflict, ServiceUnavailable


class SharedSessionError(Exception):
    """Base of every error this library raises."""


class ConfigError(SharedSessionError, ValueError):
    """An option is wrong; raised when the middleware is built, never during a request for a known mistake.

    `option` is the option's name. The message names the value (never a secret's) and what would be right.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        #: Name of the option that is wrong.
        self.option = option


class HeadersSentError(SharedSessionError, RuntimeError):
    """The session changed in a way that needs a cookie, but the response headers have already left.

    Create, log in or log out before the first byte of the body is sent.
    """


class StoreError(SharedSessionError):
    """The session store could not do what was asked."""


class StoreUnavailableError(StoreError, ServiceUnavailable):
    """Too few memcached nodes answered to read or to save the session.

    Also a werkzeug `ServiceUnavailable`: Flask and werkzeug answer 503 with `Retry-After` by themselves. The text
    shown to clients is the fixed `description`; `causes` and `reason` are for logs only.
    """

    description: str = "The session store is temporarily unavailable. Please try again in a moment."

    def __init__(self, reason: str, causes: Mapping[str, str] | None = None) -> None:
        ServiceUnavailable.__init__(self, self.description, retry_after=RETRY_AFTER)
        #: What could not be done, for the log.
        self.reason = reason
        #: Node name -> what that node answered or how it failed.
        self.causes: Mapping[str, str] = dict(causes or {})

    def __str__(self) -> str:
        detail = ", ".join(f"{node}: {cause}" for node, cause in self.causes.items())
        return f"{self.reason} ({detail})" if detail else self.reason


class SessionLockedError(StoreUnavailableError):
    """The session's lock could not be had in time, or was lost; nothing was stored, and the client gets a 503.

    Raised where a session is used under `locking="writes"` or in `session.lock()`.
    """


class SessionTooLargeError(StoreError):
    """memcached refused the session because it is over the server's item limit (1 MiB unless started with -I).

    What was stored before stays as it was. `size` is the number of bytes refused.
    """

    def __init__(self, size: int, node: str) -> None:
        super().__init__(
            f"the session takes {size} bytes encoded, more than memcached node {node} accepts for one item; "
            "store less in the session or start memcached with a larger -I"
        )
        #: Bytes of the refused value.
        self.size = size
        #: Name of the node that refused.
        self.node = node


class TooManySessionsError(SharedSessionError, Conflict):
    """A principal has as many sessions as `max_sessions_per_principal` allows; the new one was not stored.

    Raised when the session is saved, under `too_many_sessions="refuse"`: by `session.commit()`, or else after the
    application has answered; then the client gets a 409 (RFC 9110 15.5.10) with the fixed `description`.
    """

    description: str = "You are logged in too often. Log out elsewhere first."

    def __init__(self, limit: int) -> None:
        Conflict.__init__(self, self.description)
        #: How many sessions the principal may have.
        self.limit = limit

    def __str__(self) -> str:
        return f"the principal has {self.limit} sessions already, as many as max_sessions_per_principal allows"


#: Seconds a client is asked to wait before it tries again.
RETRY_AFTER = 2

#: What the middleware answers by itself, in place of the application's response.
Refusal = StoreUnavailableError | TooManySessionsError
REFUSALS = (StoreUnavailableError, TooManySessionsError)
