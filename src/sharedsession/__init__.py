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
from .middleware import SessionMiddleware, encode_redirect_url, encode_url, get_session, hidden_field
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
    "encode_redirect_url",
    "encode_url",
    "get_session",
    "hidden_field",
    "register_type",
]
