"""Hypothesis strategies for what a session can hold and what is stored of it, and a comparison that sees types."""

from __future__ import annotations

import struct
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from markupsafe import Markup

from sharedsession.record import _GENERATION as GENERATION
from sharedsession.record import Entry, Record, State, remember, tombstone

#: Zones with summer time, so that `fold` means something; none on a machine without a time zone database.
ZONES = [
    zoneinfo.ZoneInfo(key)
    for key in ("Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "UTC")
    if key in zoneinfo.available_timezones()
]

#: Any text, lone surrogates included.
any_text = st.text(st.characters(exclude_categories=()), max_size=8)

_OFFSETS = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(timezone)
_TZINFOS: st.SearchStrategy[tzinfo | None] = st.none() | _OFFSETS
if ZONES:
    _TZINFOS |= st.sampled_from(ZONES)

_EDGES = [edge + step for edge in (-(2**63), 2**63, 2**64, 2**1000) for step in (-1, 0, 1)]

#: Values that cannot change in place and can be a dict's key.
hashable_leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(_EDGES),
    st.floats(),
    any_text,
    st.binary(max_size=8),
    st.datetimes(timezones=_TZINFOS),
    st.builds(datetime.replace, st.datetimes(timezones=_TZINFOS), fold=st.integers(0, 1)),
    st.dates(),
    st.builds(lambda moment, zone: moment.replace(tzinfo=zone), st.times(), _TZINFOS),
    st.timedeltas(),
    st.uuids(),
    st.decimals().filter(lambda number: not number.is_snan()),
    any_text.map(Markup),
)

#: The same with nested tuples and frozensets: what can be a dict's key or a set's member.
hashables: st.SearchStrategy[Any] = st.recursive(
    hashable_leaves,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)

#: Everything that a session attribute can hold.
values: st.SearchStrategy[Any] = st.recursive(
    hashables | st.just(Decimal("sNaN")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    """Return something that is equal for two values only if types, order, sign of zero, fold and zone are the same."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, "nan" if value != value else struct.pack(">d", value)
    if isinstance(value, datetime | time):
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, _exactly_zone(value.tzinfo)
    if isinstance(value, Decimal):
        return kind, value.as_tuple()
    if isinstance(value, list | tuple):
        return kind, [exactly(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(exactly(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(exactly(key), exactly(item)) for key, item in value.items()]
    assert isinstance(value, None.__class__ | int | str | bytes | date | timedelta) or kind == "UUID", kind
    return kind, value


def _exactly_zone(zone: tzinfo | None) -> object:
    if zone is None or isinstance(zone, zoneinfo.ZoneInfo):
        return zone and zone.key
    return zone.utcoffset(None)


# Small ranges, so that stamps, floors and names meet often.
_NAMES = st.sampled_from(["a", "b", "c", "\ud800"])
_VERSIONS = st.integers(1, 6)
_WRITERS = st.integers(1, 3)
_TIMES = st.integers(1, 5)

# The clears of a session, the last first: each is known by its generation and who made it.
_CLEARS = st.sampled_from([(), (GENERATION + 1,), (GENERATION + 2,), (2 * GENERATION + 1, GENERATION + 2)])


def _entries(seen: int) -> st.SearchStrategy[Entry]:
    return st.one_of(
        st.tuples(_VERSIONS, _WRITERS, st.sampled_from([b"", b"1", b"2"]), st.just(0), st.just(seen)),
        st.tuples(_VERSIONS, _WRITERS, st.none(), _TIMES, st.just(seen)),
    )


@st.composite
def live_records(draw: st.DrawFn) -> Record:
    """Draw a live record as writers leave it: nothing in it was written without having seen its last clear."""
    floor = draw(_CLEARS)
    record = Record(
        created=draw(_TIMES),
        interval=(draw(st.sampled_from([0, 60, 1800])), draw(_VERSIONS), draw(_WRITERS)),
        longest=draw(st.sampled_from([60, 1800, 86400])),
        entries=draw(st.dictionaries(_NAMES, _entries(floor[0] if floor else 0), max_size=4)),
        floor=floor,
        decider=(draw(st.integers(0, 2)), draw(st.sampled_from(["n1", "n2"]))),
        cookie_only=draw(st.booleans()),
    )
    for writer in draw(st.sets(_WRITERS, max_size=3)):
        record = remember(record, writer, draw(_TIMES))
    return record


_ENDED = st.builds(tombstone, live_records(), st.just(State.ENDED), _TIMES, st.just(""))
_MOVED = st.builds(tombstone, live_records(), st.just(State.MOVED), _TIMES, st.sampled_from(["key1", "key2"]))

#: Any record: live (three times in five), ended or moved.
records: st.SearchStrategy[Record] = st.one_of(live_records(), live_records(), live_records(), _ENDED, _MOVED)
