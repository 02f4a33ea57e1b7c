"""One session on every node: WSGI session middleware over a replicated ring of memcached."""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from .assembly import VALUES as _VALUES
from .config import CookieConfig, SessionConfig
from .discovery import DnsNodes
from .errors import (
    ConfigError,
    HeadersSentError,
    SessionLockedError,
    SessionTooLargeError,
    SharedSessionError,
    StoreError,
    StoreUnavailableError,
    TooManySessionsError,
)
from .middleware import SessionMiddleware, encode_redirect_url, encode_url, get_session, hidden_field
from .session import Session
from .sessions import PrincipalSession, Sessions

register_type: _Callable[[str, type[_Any], _Callable[[_Any], _Any], _Callable[[_Any], _Any]], None] = _VALUES.register

__all__ = [
    "ConfigError",
    "CookieConfig",
    "DnsNodes",
    "HeadersSentError",
    "PrincipalSession",
    "Session",
    "SessionConfig",
    "SessionLockedError",
    "SessionMiddleware",
    "SessionTooLargeError",
    "Sessions",
    "SharedSessionError",
    "StoreError",
    "StoreUnavailableError",
    "TooManySessionsError",
    "encode_redirect_url",
    "encode_url",
    "get_session",
    "hidden_field",
    "register_type",
]
