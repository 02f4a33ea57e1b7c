"""Bytes: what a record, an attribute, a mark takes, measured with the project's own codecs."""

from __future__ import annotations

import random
from typing import Any

import msgpack
from bench.payloads import LOGIN, SMALL

from sharedsession.assembly import VALUES
from sharedsession.codec import RecordCodec
from sharedsession.record import EPOCH, RECENT, SLACK, Entry, Record, State, tombstone

KEY = "sharedsession:" + "0" * 64
NOW = 1_800_000_000
#: A random number, as writers of a change have one: 63 bits.
_WRITER = 1 << 62
#: Those of a session's first epoch begin here.
_VERSION = EPOCH + 3
#: memcached 1.6: the head of an item, 48 bytes, and its CAS token, 8; the end of the key and CR LF after the value.
ITEM = 48 + 8 + 1 + 2

_CODEC = RecordCodec((b"s" * 32,), "sharedsession:")
_BLANK = Record(NOW, (1800, 1, 0), 1800, decider=(1, "n500"))


def stored(record: Record) -> int:
    """Return the bytes of a stored record."""
    return len(_CODEC.encode(KEY, record))


def session(values: dict[str, Any]) -> Record:
    """Return the record of a session."""
    entries: dict[str, Entry] = {
        name: (_VERSION, _WRITER, VALUES.encode(name, value), 0, 0) for name, value in values.items()
    }
    return _BLANK._replace(entries=entries)


def item(size: int) -> int:
    """Return the bytes that memcached keeps for a value, without what its slabs waste."""
    return ITEM + len(KEY) + size


def parts() -> dict[str, int]:
    """Return what -> bytes."""
    empty = stored(_BLANK)
    one = stored(_BLANK._replace(entries={"a": (_VERSION, _WRITER, b"", 0, 0)}))
    mark = stored(_BLANK._replace(entries={"a": (_VERSION, _WRITER, None, NOW, 0)}))
    recent = stored(_BLANK._replace(recent=((_WRITER, NOW),)))
    chance = random.Random(1)
    full = stored(_BLANK._replace(recent=tuple((chance.getrandbits(63), NOW) for _ in range(RECENT))))
    floor = stored(_BLANK._replace(floor=((1 << 32) + (1 << 31),)))
    return {
        "record without attributes (header, times, decider, MAC)": empty,
        "an attribute, beside its name and value": one - empty - 1,
        "a deleted attribute, until its mark is dropped": mark - empty - 1,
        "a `clear()`, at most 8 remembered": floor - empty,
        "a transaction of the last 30 s": recent - empty,
        f"the most of these, {RECENT}": full - empty,
        "tombstone after a log-out": stored(tombstone(_BLANK, State.ENDED, NOW)),
        "tombstone of an id that has changed": stored(tombstone(_BLANK, State.MOVED, NOW, KEY)),
    }


def sessions() -> dict[str, tuple[int, int]]:
    """Return session -> bytes of its plain values (msgpack, all as one), and of its record."""
    return {
        name: (len(msgpack.packb(values)), stored(session(values)))
        for name, values in (("small, 5 attributes", SMALL), ("logged in, 10 attributes", LOGIN))
    }


def tombstones(visits_a_second: float, interval: float, copies: int) -> float:
    """Return the bytes of all tombstones when that many sessions log in (a new id) and out every second."""
    marks = (tombstone(_BLANK, State.MOVED, NOW, KEY), tombstone(_BLANK, State.ENDED, NOW))
    return visits_a_second * (interval + SLACK) * copies * sum(item(stored(mark)) for mark in marks)
