"""A record as the bytes that memcached holds: authenticated, bound to its storage key, encrypted if that is wished.

    "SS"  format  flags  length(4)  key tag(8)  body  MAC(16)
    "SS"  format  flags  length(4)  key tag(8)  nonce(12)  body, encrypted  GCM tag(16)

The MAC (`mac`) covers the storage key and all that stands before it, and so does the tag: a record
that was planted, damaged, or copied under another key is refused. Length and key tag only tell those cases apart for
the operator. Whether records are encrypted governs writing only: every node reads both kinds.
"""

from __future__ import annotations

import hmac
import struct
from enum import Enum
from typing import Any, Final

import msgpack

from . import cipher
from .cipher import Cipher
from .ids import derive_keys
from .mac import SIZE, Authenticator
from .packing import packed
from .record import ENTRY_FIELDS, Record, State

FORMAT: Final = 1
_MAGIC: Final = b"SS"
_HEADER: Final = struct.Struct(">2sBBI8s")
#: Bytes of a header.
_HEADER_SIZE: Final = 16
_STATES: Final = tuple(State)
#: Number of a record's fields.
_RECORD_FIELDS: Final = len(Record._fields)
#: Places of a record's fields that are not stored as they are.
_ENTRIES: Final = 3
_STATE: Final = 5
#: Makes one of a tuple at half of what its class takes.
_new: Final = tuple.__new__
_ENCRYPTED: Final = 2
#: Begins a record of ours that is not encrypted.
_PLAIN: Final = _MAGIC + bytes([FORMAT, 0])
#: In constant time. Names of modules' functions are looked up once: compiled, each time costs as much as the call.
_are_equal: Final = hmac.compare_digest


class Unreadable(Enum):
    """Why stored bytes are not a record of this session."""

    FOREIGN = "foreign"
    TRUNCATED = "truncated"
    SWAPPED = "swapped"
    DAMAGED = "damaged"
    #: Written by a newer version of this library: never overwritten.
    NEWER = "newer format"
    #: Here is nothing to decrypt it with: never overwritten.
    ENCRYPTED = "encrypted; install sharedsession[encrypt]"

    @property
    def to_keep(self) -> bool:
        """Whether another node may well read it."""
        return self in (Unreadable.NEWER, Unreadable.ENCRYPTED)


class Decoded:
    """A record as a copy holds it.

    Args:
        record: what it is.
        outdated: it is to be written anew: a former key signed it, or it should be encrypted.
    """

    __slots__ = ("outdated", "record")

    def __init__(self, record: Record, *, outdated: bool = False) -> None:
        self.record: Record = record
        self.outdated: bool = outdated


class RecordCodec:
    """Encodes records for storage and reads them back.

    Args:
        keys: the signing key, then former keys that verify only.
        key_prefix: start of every storage key; part of the key derivation.
        encrypt: encrypt what is written, which needs `cipher.INSTALLED`.
    """

    def __init__(self, keys: tuple[bytes, ...], key_prefix: str, *, encrypt: bool = False) -> None:
        self._macs = [Authenticator(key) for key in derive_keys(keys, "sharedsession.record.v1", key_prefix)]
        nonce_key = derive_keys(keys[:1], "sharedsession.nonce.v1", key_prefix)[0]
        self._cipher = Cipher(derive_keys(keys, "sharedsession.encrypt.v1", key_prefix), nonce_key)
        self._encrypt = encrypt

    def encode(self, key: str, record: Record) -> bytes:
        """Return the bytes to store under `key`."""
        body = _pack(record)
        if self._encrypt:
            header = _header(key, _ENCRYPTED, body)
            return header + self._cipher.seal(key, header, body)
        raw = _header(key, 0, body) + body
        return raw + self._macs[0].code(key.encode() + raw)

    def decode(self, key: str, value: bytes) -> Decoded | Unreadable:
        """Return the record stored under `key`, or why the bytes are none. Never raises."""
        if not value.startswith(_PLAIN):
            problem = _check_header(key, value)
            if problem is not None:
                return problem
            if value[3] & _ENCRYPTED:
                return self._decrypt(key, value)
        raw, mac = value[:-SIZE], value[-SIZE:]
        signed = key.encode() + raw
        for place, authenticator in enumerate(self._macs):
            # The MAC covers the header too: what it fits has a good one.
            if _are_equal(authenticator.code(signed), mac):
                return _decoded(raw[_HEADER_SIZE:], outdated=self._encrypt or place > 0)
        return _check_header(key, value) or Unreadable.DAMAGED

    def _decrypt(self, key: str, value: bytes) -> Decoded | Unreadable:
        if not cipher.INSTALLED:
            return Unreadable.ENCRYPTED
        opened = self._cipher.open(key, value[:_HEADER_SIZE], value[_HEADER_SIZE:])
        if opened is None:
            return Unreadable.DAMAGED
        return _decoded(opened.body, outdated=opened.place > 0)


def _header(key: str, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, FORMAT, flags, len(body), _tag(key))


def _tag(key: str) -> bytes:
    """The last 8 characters of a storage key: enough to say that a record belongs to another."""
    return key[-8:].encode()


def _check_header(key: str, value: bytes) -> Unreadable | None:
    if value[:2] != _MAGIC:
        return Unreadable.FOREIGN
    if len(value) > 2 and value[2] > FORMAT:
        return Unreadable.NEWER
    if len(value) < _HEADER_SIZE + SIZE:
        return Unreadable.TRUNCATED
    _, _, flags, length, tag = _HEADER.unpack_from(value)
    if len(value) != _HEADER_SIZE + length + (cipher.OVERHEAD if flags & _ENCRYPTED else SIZE):
        return Unreadable.TRUNCATED
    return None if tag == _tag(key) else Unreadable.SWAPPED


def _pack(record: Record) -> bytes:
    # The order of Record's fields is the format: a change of either is a new FORMAT.
    return packed(record)


def _decoded(body: bytes, *, outdated: bool) -> Decoded | Unreadable:
    record = _unpack(body)
    return Unreadable.DAMAGED if record is None else Decoded(record, outdated=outdated)


def _unpack(body: bytes) -> Record | None:
    try:
        fields = list(msgpack.unpackb(body, use_list=False, unicode_errors="surrogatepass"))
        entries: dict[str, tuple[Any, ...]] = fields[_ENTRIES]
        for entry in entries.values():
            if type(entry) is not tuple or len(entry) != ENTRY_FIELDS:
                return None
        fields[_STATE] = _STATES[fields[_STATE]]
        return _new(Record, fields) if len(fields) == _RECORD_FIELDS else None
    except (ValueError, TypeError, AttributeError, LookupError, msgpack.UnpackException):
        return None
