"""Encryption of what memcached holds: AES-256-GCM, by the package cryptography (the extra `encrypt`).

Every storage key has an encryption key of its own. So a value copied under another storage key does not decrypt, and
no key comes near the 2^32 messages after which nonces of 96 bits may meet (NIST SP 800-38D, section 8.3): one session
would have to be saved that often. The nonce is a MAC of what is sealed (the idea of SIV, RFC 5297): equal records are
equal bytes on every node, so copies are compared without being opened, and no nonce ever serves two contents.
"""

from __future__ import annotations

import hmac
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: The package is there.
INSTALLED = find_spec("cryptography") is not None

_NONCE_SIZE = 12
_TAG_SIZE = 16
#: Bytes by which what is sealed is longer than what was.
OVERHEAD = _NONCE_SIZE + _TAG_SIZE


class Opened(NamedTuple):
    """What was sealed."""

    body: bytes
    #: The place of the key that fits, 0 for the present one.
    place: int


class Cipher:
    """Seals and opens values; needs `INSTALLED`.

    Args:
        keys: the present key, then former ones that only open, of 32 bytes each.
        nonce_key: another key, of the nonces.
    """

    def __init__(self, keys: tuple[bytes, ...], nonce_key: bytes) -> None:
        self._keys = keys
        self._nonce_key = nonce_key

    def seal(self, key: str, header: bytes, body: bytes) -> bytes:
        """Return the body encrypted for one storage key; the header is authenticated with it."""
        nonce = hmac.digest(self._nonce_key, key.encode() + header + body, "sha256")[:_NONCE_SIZE]
        return nonce + _aes(self._keys[0], key).encrypt(nonce, body, header)

    def open(self, key: str, header: bytes, sealed: bytes) -> Opened | None:
        """Return what was sealed under that storage key and header, None if nothing was."""
        nonce, encrypted = sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:]
        _, invalid_tag = _library()
        for place, each in enumerate(self._keys):
            try:
                return Opened(_aes(each, key).decrypt(nonce, encrypted, header), place)
            except (invalid_tag, ValueError):  # ValueError: too short
                continue
        return None


@cache
def _library() -> tuple[type[AESGCM], type[Exception]]:
    """Import the package when it is first needed: it is large."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM, InvalidTag


def _aes(key: bytes, storage_key: str) -> AESGCM:
    return _library()[0](hmac.digest(key, storage_key.encode(), "sha256"))
