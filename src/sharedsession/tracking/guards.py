"""What a request tells of its client beside the id, and the application's functions that judge by it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from ..config import SessionConfig
from ..errors import ConfigError
from ..view import RequestView
from .cookie import CookieTracking

#: Methods that only read (RFC 9110 9.2.1): browsers send a cookie with SameSite=Lax along with another site's GET.
_SAFE = frozenset(["GET", "HEAD", "OPTIONS", "TRACE"])
#: Bytes of a fingerprint's hash that are stored.
_LENGTH = 16


class Guards:
    """The application's functions, and the rule for cookies that browsers keep back.

    Args:
        config: names the functions.

    Raises:
        ConfigError: what is named is not there, or is no function.
    """

    def __init__(self, config: SessionConfig) -> None:
        self._fingerprint = _function("fingerprint", config.fingerprint)
        self._may_create = _function("may_create", config.may_create)
        #: Sessions carry the fingerprint of their client.
        self.binds: bool = self._fingerprint is not None
        purpose = f"sharedsession.fingerprint.v1:{config.key_prefix}".encode()
        self._keys = [hmac.digest(key, purpose, "sha256") for key in config.secret_keys]
        # With SameSite=None nothing is kept back.
        held_back = "cookie" in config.tracking and config.cookie.samesite != "None"
        self._cookie = CookieTracking(config.cookie) if held_back else None

    def fingerprint(self, view: RequestView) -> Sequence[bytes] | None:
        """Return what the application sees in the client, hashed; see `sharedsession.dialogue.Request`.

        Keyed: short texts such as addresses could be guessed from a plain hash by whoever reads memcached.
        """
        if self._fingerprint is None:
            return None
        seen = self._fingerprint(view.environ)
        if seen is None:
            return ()
        if not isinstance(seen, str | bytes):
            raise TypeError(f"fingerprint returned {type(seen).__name__}, not text, bytes or None")
        data = seen if isinstance(seen, bytes) else seen.encode(errors="surrogatepass")
        return [hmac.digest(key, data, "sha256")[:_LENGTH] for key in self._keys]

    def may_create(self, view: RequestView) -> bool:
        """Ask the application whether this client may have a new session."""
        return self._may_create is None or bool(self._may_create(view.environ))

    def from_elsewhere(self, view: RequestView) -> bool:
        """Say whether another site's page sent this, without a cookie of ours, by a method that may write.

        The browser may have one nevertheless: RFC 6265bis 5.6.7.1, SameSite=Lax and Strict.
        """
        if self._cookie is None or view.method in _SAFE or not view.is_from_elsewhere:
            return False
        return not self._cookie.resolve(view)


def _function(option: str, named: object) -> Callable[[dict[str, Any]], object] | None:
    """Return a function that is given by itself or by name, "package.module:function".

    Raises:
        ConfigError: it cannot be imported, or is no function.
    """
    if named is None or callable(named):
        return named
    module, _, name = named.partition(":") if isinstance(named, str) else ("", "", "")
    if not (module and name):
        raise ConfigError(option, f"{named!r} is no function, and no name of one: 'package.module:function'")
    try:
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(option, f"{named!r} cannot be had: {error}") from error
    if not callable(found):
        raise ConfigError(option, f"{named!r} is no function but a {type(found).__name__}")
    return found
