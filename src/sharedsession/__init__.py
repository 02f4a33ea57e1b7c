"""One session on every node: WSGI session middleware over a replicated ring of memcached."""

from .assembly import VALUES as _VALUES
from .config import CookieConfig, SessionConfig
from .errors import (
    ConfigError,
    HeadersSentError,
    SessionTooLargeError,
    SharedSessionError,
    StoreError,
    StoreUnavailableError,
)
from .middleware import SessionMiddleware, get_session
from .session import Session

register_type = _VALUES.register

__all__ = [
    "ConfigError",
    "CookieConfig",
    "HeadersSentError",
    "Session",
    "SessionConfig",
    "SessionMiddleware",
    "SessionTooLargeError",
    "SharedSessionError",
    "StoreError",
    "StoreUnavailableError",
    "get_session",
    "register_type",
]
