"""Bytes that lie in memcached: changed by somebody who has no key, and hostile in spite of a right signature."""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Hashable

import msgpack
from strategies import exactly

from sharedsession.cipher import INSTALLED
from sharedsession.codec import Decoded, RecordCodec, Unreadable
from sharedsession.compression import compressed, decompressed
from sharedsession.record import Record, State, tombstone
from sharedsession.values import UnknownTypeError, ValueCodec

from .target import Target

SECRET = b"the secret of fuzzed records, 32"
PREFIX = "sharedsession:"
KEY = PREFIX + hashlib.sha256(b"one").hexdigest()
OTHER_KEY = PREFIX + "0" * 56 + KEY[-8:]  # with the same tag
RECORD = Record(
    created=1_700_000_000,
    interval=(1800, 1, 0),
    longest=3600,
    entries={"cart": (3, 2**63 - 1, b"\x91\xa3tea", 0, 2**32 + 7), "gone": (4, 5, None, 1_700_000_100, 0)},
    floor=(2**32 + 7,),
    decider=(1, "n1"),
    recent=((8, 1_700_000_050),),
    cookie_only=True,
)
LARGE = RECORD._replace(entries={"text": (3, 1, b"a sentence that repeats. " * 100, 0, 0)})
RECORDS = (RECORD, LARGE, tombstone(RECORD, State.ENDED, 1_700_000_200), tombstone(RECORD, State.MOVED, 5, OTHER_KEY))


class Records:
    """Stored values: nothing is read but what was written under this key, byte for byte."""

    def __init__(self) -> None:
        codec = RecordCodec((SECRET,), PREFIX)
        self._codecs = [codec]
        self.genuine = {codec.encode(KEY, record): record for record in RECORDS}
        if INSTALLED:
            encrypting = RecordCodec((SECRET,), PREFIX, encrypt=True)
            self.genuine |= {encrypting.encode(KEY, record): record for record in RECORDS}
            self._codecs.append(encrypting)

    def __call__(self, data: bytes) -> Hashable:
        """Decode the bytes, under their key and under another with the same end."""
        for codec in self._codecs:
            decoded = codec.decode(KEY, data)
            if isinstance(decoded, Decoded):
                assert self.genuine.get(data) == decoded.record, "a record that nobody wrote"
            assert isinstance(codec.decode(OTHER_KEY, data), Unreadable), "a record under another key"
        return decoded.value if isinstance(decoded, Unreadable) else self.genuine[data].state


def records() -> Target:
    """Stored records."""
    run = Records()
    words = (
        b"SS",
        b"SS\x01\x00",
        b"SS\x01\x01",
        b"SS\x01\x02",
        b"SS\x02",
        KEY[-8:].encode(),
        b"\x00\x00\x00\x08",
        b"\xff",
    )
    foreign = RecordCodec((b"a secret that is not ours, truly",), PREFIX).encode(KEY, RECORD)
    return Target(run, (*run.genuine, foreign, b"", b"\x80\x04."), (*words, *run.genuine), longest=4096)


_HEADER = struct.Struct(">2sBBI8s")


def signed(body: bytes, flags: int) -> bytes:
    """Return a body with the right signature, made without the codec."""
    salt = f"sharedsession.record.v1:{PREFIX}".encode()
    key = hmac.digest(SECRET, salt, "sha256")
    raw = _HEADER.pack(b"SS", 1, flags, len(body), KEY[-8:].encode()) + body
    return raw + hashlib.blake2b(KEY.encode() + raw, key=key, digest_size=16).digest()


class Bodies:
    """Bodies of records that carry a right signature, as from a node that was taken over: an answer, never an error.

    The first byte is the header's flags.
    """

    def __init__(self) -> None:
        self._codec = RecordCodec((SECRET,), PREFIX)

    def __call__(self, data: bytes) -> Hashable:
        """Sign and decode."""
        decoded = self._codec.decode(KEY, signed(data[1:], data[0] & 1 if data else 0))
        if isinstance(decoded, Unreadable):
            return decoded.value
        record = decoded.record
        assert all(type(entry) is tuple and len(entry) == 5 for entry in record.entries.values())
        return record.state, min(len(record.live), 5), min(len(record.entries), 5), type(record.created).__name__


def signed_bodies() -> Target:
    """Bodies of records with a right signature."""
    plain = [msgpack.packb(record, unicode_errors="surrogatepass") for record in RECORDS]
    seeds = [b"\0" + body for body in plain] + [b"\1" + body for body in plain]
    seeds += [b"\0" + b"\x91" * 2000, b"\0\xdd\xff\xff\xff\xff", b"\0\x81\xc0\xc0"]
    atoms = (
        b"\x90",
        b"\x91",
        b"\x93",
        b"\x80",
        b"\x81",
        b"\x95",
        b"\xc0",
        b"\xc2",
        b"\xc3",
        b"\x00",
        b"\x7f",
        b"\xe0",
        b"\xa1a",
    )
    sized = (
        b"\xc4\x01a",
        b"\xcf" + b"\xff" * 8,
        b"\xd3\x80" + b"\0" * 7,
        b"\xcb" + b"\x7f\xf8" + b"\0" * 6,
        b"\xc7\x00\x05",
    )
    return Target(Bodies(), tuple(seeds), (*atoms, *sized, *plain))


class _Point:
    """A type that is registered."""

    def __init__(self, x: object) -> None:
        self.x = x


class Values:
    """Encoded attributes: a value, or `UnknownTypeError`; and what is written of a value is read as the same."""

    def __init__(self) -> None:
        self._codec = ValueCodec()
        self._codec.register("point", _Point, lambda point: point.x, _Point)

    def __call__(self, data: bytes) -> Hashable:
        """Decode; encode what comes and decode that."""
        try:
            value = self._codec.decode(decompressed(data))
        except UnknownTypeError as error:
            return re.sub(r"(?s)type .* is|[^a-zA-Z ]+", "", str(error))[:30]
        try:
            encoded = self._codec.encode("a", value)
        except TypeError:
            return "not ours", type(value).__name__
        self._same(value, self._codec.decode(encoded))
        return type(value).__name__, len(encoded) == len(data)

    @staticmethod
    def _same(value: object, again: object) -> None:
        try:
            one, other = exactly(value), exactly(again)
        except (AssertionError, RecursionError):  # holds a registered type, or lists too deep to be walked
            return
        assert one == other


def values() -> Target:
    """Encoded attribute values."""
    from datetime import UTC, date, datetime, time, timedelta
    from decimal import Decimal
    from uuid import UUID

    from markupsafe import Markup

    codec = ValueCodec()
    codec.register("point", _Point, lambda point: point.x, _Point)
    moment = datetime(2024, 2, 29, 12, 30, 15, 7, UTC)
    plain: list[object] = [
        None, True, 0, -1, 2**64, -(2**200), 1.5, "text", "\ud800", b"bytes", [1, [2]], (1, (2,)), {"a": {1: None}},
        {1, "a"}, frozenset([(1,)]), moment, moment.replace(tzinfo=None), date(2024, 2, 29), time(1, 2, 3, 4, UTC),
        timedelta(-1, 2, 3), UUID(int=7), Decimal("1.50"), Decimal("sNaN"), Markup("<b>"), _Point([1]),
    ]  # fmt: skip
    seeds = [codec.encode("a", value) for value in plain]
    seeds += [compressed(b"".join(seeds) * 20), compressed(bytes(10**6)), b"\xc1", b"\xc1" + b"x" * 50]
    nested: object = 1
    for _ in range(15):
        nested = (nested,)
    seeds += [
        codec.encode("a", nested),
        b"\x91" * 600 + b"\xc0",
        b"\xc8\xff\xff\x01",
        b"\xc7\x00\x7f",
        b"\xdf\xff\xff\xff\xff",
    ]
    atoms = tuple(
        bytes([head]) for head in (0x80, 0x81, 0x90, 0x91, 0xA1, 0xC0, 0xC3, 0xC4, 0xC7, 0xC9, 0xCA, 0xD4, 0xD8, 0xDD)
    )
    codes = tuple(b"\xc7\x01%c" % code for code in (*range(13), 32, 127, 255))
    texts = (
        b"\xd4\x01\x90",
        b"\xc7\x02\x02\x91\x90",
        b"\xa3UTC",
        b"\xadEurope/Vienna",
        b"\xa5point",
        b"\xa41E+9",
        b"\xa9../passwd",
        b"\xa0",
    )
    return Target(Values(), tuple(seeds), (*atoms, *codes, *texts, *seeds))
