"""Session ids: made by the server, signed, with the route of the application node as suffix.

`<64 lowercase hex digits>` or `<64 hex>.<route>`: 128 random bits, then their MAC (`mac`). Hex is never
quoted or percent-encoded, and the only dot is the one before the route, so every balancer cuts in the same place.
The MAC lets a forged id be refused without asking memcached; it does not cover the route, which is no secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import Enum
from typing import Final

from itsdangerous import Signer

from .mac import Authenticator

# Modules' functions, looked up once: compiled, each time costs as much as the call.
_are_equal: Final = hmac.compare_digest
_sha256: Final = hashlib.sha256
#: What stands before the route.
_SIGNED: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
#: The route, with its dot.
_SUFFIX: Final = re.compile(r"(?:\.[A-Za-z0-9_]{1,32})?", re.ASCII)


class SessionId:
    """A well-signed session id.

    Args:
        token: the 128 random bits, as 32 hex digits.
        mac: their MAC of 128 bits, as 32 hex digits.
        route: name of the application node that issued it; "" for none.
        key: key of the record in memcached: holds nothing from which the id could be had.
        outdated: the MAC is a former key's: re-issue the id under the present one.
    """

    __slots__ = ("key", "mac", "outdated", "route", "token")

    def __init__(self, token: str, mac: str, route: str, key: str, *, outdated: bool = False) -> None:
        self.token: str = token
        self.mac: str = mac
        self.route: str = route
        self.key: str = key
        self.outdated: bool = outdated

    @property
    def text(self) -> str:
        """The id as the client carries it."""
        return f"{self.token}{self.mac}.{self.route}" if self.route else self.token + self.mac

    def __repr__(self) -> str:
        """Never show the id: a log line with one is a stolen session."""
        return f"<SessionId route={self.route!r}>"


class BadId(Enum):
    """Why a client's text is no id."""

    MALFORMED = "malformed"
    FORGED = "forged"


class IdFactory:
    """Makes and verifies ids.

    Args:
        keys: the signing key, then former keys that verify only.
        key_prefix: start of every storage key; part of the key derivation, so two prefixes never share an id.
        route: suffix of the ids made here; "" for none.
    """

    def __init__(self, keys: tuple[bytes, ...], key_prefix: str, route: str) -> None:
        self._macs = [Authenticator(key) for key in derive_keys(keys, "sharedsession.id.v1", key_prefix)]
        self._adopting = [Authenticator(key) for key in derive_keys(keys, "sharedsession.adopt.v1", key_prefix)]
        self._naming = derive_keys(keys, "sharedsession.principal.v1", key_prefix)
        self._prefix = key_prefix
        self.route = route
        # How the ids made here end.
        self._suffix = f".{route}" if route else ""

    def new(self) -> SessionId:
        """Return an id nobody had before (128 bits of the operating system's randomness)."""
        return self.reissue(secrets.token_hex(16))

    def reissue(self, token: str) -> SessionId:
        """Return the id of the same session under the present key and this node's route."""
        return self._made(token, outdated=False)

    def _made(self, token: str, *, outdated: bool) -> SessionId:
        return SessionId(token, _mac(self._macs[0], token), self.route, self.storage_key(token), outdated=outdated)

    def adopted(self, signed: str) -> tuple[SessionId, ...]:
        """Return the ids that a session taken over from another library's cookie may have: always the same ones.

        The first is what it gets now, the others what it had got under former keys. All are to be re-issued: the
        client does not know them yet. Whoever does not know the key learns nothing of them from the cookie.

        Args:
            signed: what that library signed.
        """
        return tuple(self._made(_mac(each, signed), outdated=True) for each in self._adopting)

    def mark_key(self, token: str) -> str:
        """Return the key of the mark that a session with this token was taken over; no id can lead there."""
        return self.storage_key(f"adopted:{token}")

    def principal_keys(self, name: str) -> tuple[str, ...]:
        """Return the keys of a principal's list of sessions: the present one, then those of former secrets.

        By a MAC: whoever reads memcached's keys must not learn who is logged in by trying names.
        """
        data = name.encode(errors="surrogatepass")
        macs = (hmac.digest(key, data, "sha256").hex() for key in self._naming)
        return tuple(f"{self._prefix}principal:{mac}" for mac in macs)

    def is_list(self, key: str) -> bool:
        """Say whether a storage key is that of a principal's list."""
        return key.startswith(f"{self._prefix}principal:")

    def parse(self, text: str) -> SessionId | BadId:
        """Return the id that `text` is, or why it is none. Costs one MAC a key and no trip to memcached."""
        token, mac, suffix = text[:32], text[32:64], text[64:]
        if not text.isascii() or len(mac) < 32 or (suffix != self._suffix and _SUFFIX.fullmatch(suffix) is None):
            return BadId.MALFORMED
        for place, authenticator in enumerate(self._macs):
            # No form is asked of what was signed here.
            if _are_equal(_mac(authenticator, token), mac):
                return SessionId(token, mac, suffix[1:], self.storage_key(token), outdated=place > 0)
        return BadId.FORGED if _SIGNED.fullmatch(text[:64]) else BadId.MALFORMED

    def storage_key(self, token: str) -> str:
        """Return prefix + SHA-256 of the random part: of fixed length, free of anything the client chose."""
        return self._prefix + _sha256(token.encode()).hexdigest()


def derive_keys(keys: tuple[bytes, ...], purpose: str, key_prefix: str) -> tuple[bytes, ...]:
    """Return one key per secret, bound to a purpose and a prefix (itsdangerous' key derivation, by HMAC-SHA-256)."""
    salt = f"{purpose}:{key_prefix}".encode()
    return tuple(
        Signer(key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256).derive_key() for key in keys
    )


def _mac(authenticator: Authenticator, token: str) -> str:
    return authenticator.code(token.encode()).hex()
