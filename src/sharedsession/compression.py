"""Encoded values as they are stored: large ones compressed, each by itself: a request pays for those it touches."""

from __future__ import annotations

import zlib
from typing import Final

from .values import UnknownTypeError

#: Encoded values of more bytes than this are compressed: below, it costs more time than it saves.
COMPRESS_ABOVE: Final = 2048
#: Begins a compressed value; msgpack begins none with it (its specification: "never used").
_COMPRESSED: Final = b"\xc1"
#: Bytes that a value may have when it is decompressed, some fifty times memcached's usual limit.
_LARGEST = 64 * 1024 * 1024


def compressed(payload: bytes) -> bytes:
    """Return an encoded value as it is stored: compressed, where that saves room and is worth the time."""
    if len(payload) <= COMPRESS_ABOVE:
        return payload
    packed = _COMPRESSED + zlib.compress(payload, 1)
    return packed if len(packed) < len(payload) else payload


def decompressed(payload: bytes) -> bytes:
    """Return an encoded value without compression.

    Raises:
        UnknownTypeError: it cannot be decompressed, or is larger than any of ours.
    """
    if payload[:1] != _COMPRESSED:
        return payload
    decompressor = zlib.decompressobj()
    try:
        whole = decompressor.decompress(payload[1:], _LARGEST)
    except zlib.error as error:
        raise UnknownTypeError(str(error)) from error
    if not decompressor.eof:
        raise UnknownTypeError("too large, or cut")
    return whole
