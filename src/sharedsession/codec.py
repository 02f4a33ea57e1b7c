"""A record as the bytes that memcached holds: authenticated, bound to its storage key, compressed when large.

    "SS"  format  flags  length(4)  key tag(8)  body  MAC(16)

The MAC (HMAC-SHA-256, 128 bits) covers the storage key and all that stands before it: a record that was planted,
damaged, or copied under another key is refused. Length and key tag only tell those cases apart for the operator.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from enum import Enum
from typing import NamedTuple

import msgpack

from .ids import derive_keys
from .record import Entry, Record, State

FORMAT = 1
#: Bodies above this many bytes are compressed: below, it costs more time than it saves.
COMPRESS_ABOVE = 2048

_MAGIC = b"SS"
_HEADER = struct.Struct(">2sBBI8s")
_MAC_SIZE = 16
_COMPRESSED = 1


class Unreadable(Enum):
    """Why stored bytes are not a record of this session."""

    FOREIGN = "foreign"
    TRUNCATED = "truncated"
    SWAPPED = "swapped"
    DAMAGED = "damaged"
    #: Written by a newer version of this library: never overwritten.
    NEWER = "newer format"


class Decoded(NamedTuple):
    """A record and whether a former key signed it."""

    record: Record
    outdated: bool


class RecordCodec:
    """Encodes records for storage and reads them back.

    Args:
        keys: the signing key, then former keys that verify only.
        key_prefix: start of every storage key; part of the key derivation.
    """

    def __init__(self, keys: tuple[bytes, ...], key_prefix: str) -> None:
        self._keys = derive_keys(keys, "sharedsession.record.v1", key_prefix)

    def encode(self, key: str, record: Record) -> bytes:
        """Return the bytes to store under `key`."""
        body = _pack(record)
        flags = 0
        if len(body) > COMPRESS_ABOVE:
            packed = zlib.compress(body, 1)
            if len(packed) < len(body):
                body, flags = packed, _COMPRESSED
        raw = _HEADER.pack(_MAGIC, FORMAT, flags, len(body), _tag(key)) + body
        return raw + self._mac(self._keys[0], key, raw)

    def decode(self, key: str, value: bytes) -> Decoded | Unreadable:
        """Return the record stored under `key`, or why the bytes are none. Never raises."""
        problem = _check_header(key, value)
        if problem is not None:
            return problem
        raw, mac = value[:-_MAC_SIZE], value[-_MAC_SIZE:]
        for index, signing_key in enumerate(self._keys):
            if hmac.compare_digest(self._mac(signing_key, key, raw), mac):
                record = _unpack(raw[_HEADER.size :], raw[3])
                return Unreadable.DAMAGED if record is None else Decoded(record, index > 0)
        return Unreadable.DAMAGED

    @staticmethod
    def _mac(signing_key: bytes, key: str, raw: bytes) -> bytes:
        return hmac.digest(signing_key, key.encode() + raw, "sha256")[:_MAC_SIZE]


def _tag(key: str) -> bytes:
    """The last 8 characters of a storage key: enough to say that a record belongs to another."""
    return key[-8:].encode()


def _check_header(key: str, value: bytes) -> Unreadable | None:
    if value[:2] != _MAGIC:
        return Unreadable.FOREIGN
    if len(value) > 2 and value[2] > FORMAT:
        return Unreadable.NEWER
    if len(value) < _HEADER.size + _MAC_SIZE:
        return Unreadable.TRUNCATED
    _, _, _, length, tag = _HEADER.unpack_from(value)
    if len(value) != _HEADER.size + length + _MAC_SIZE:
        return Unreadable.TRUNCATED
    return None if tag == _tag(key) else Unreadable.SWAPPED


def _pack(record: Record) -> bytes:
    # The order of Record's fields is the format: a change of either is a new FORMAT.
    body: bytes = msgpack.packb(record, unicode_errors="surrogatepass")
    return body


def _unpack(body: bytes, flags: int) -> Record | None:
    try:
        if flags & _COMPRESSED:
            body = zlib.decompress(body)
        (created, interval, longest, entries, floor, state, moved_to, closed, decider, recent, cookie_only) = (
            msgpack.unpackb(body, use_list=False, unicode_errors="surrogatepass")
        )
        attributes = {name: Entry(*entry) for name, entry in entries.items()}
        head = (created, interval, longest, attributes, floor, State(state), moved_to, closed)
        return Record(*head, decider, recent, cookie_only)
    except (ValueError, TypeError, AttributeError, zlib.error, msgpack.UnpackException):
        return None
