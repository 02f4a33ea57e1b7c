"""Attribute values as bytes and back: msgpack, with extension types so that what comes back is what went in.

Never pickle: whoever can write to memcached must not be able to run code here. msgpack because it asks `default` for
dict keys as well and calls it for every subclass (strict_types), which the faster encoders do not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
from markupsafe import Markup

from .packing import packed

#: Types whose values cannot change in place: what was read need not be encoded again at commit.
IMMUTABLE = frozenset(
    [type(None), bool, int, float, str, bytes, datetime, date, time, timedelta, UUID, Decimal, Markup]
)
#: Of these, those that msgpack holds as they are.
_DIRECT = frozenset([type(None), bool, int, float, str, bytes])
_PLAIN = frozenset([*IMMUTABLE, list, tuple, dict, set, frozenset])

#: Types that msgpack encodes by itself, so that no registration could keep them what they are.
_TAKEN = frozenset([bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp])
#: Tuples, sets and registered types inside each other: every level is a msgpack call inside another, on the C stack.
_DEEPEST = 16

# Extension codes; stored data depends on them, so a code never gets another meaning. 0..31 ours, 32..127 named types.
(
    _BIG_INT,
    _TUPLE,
    _SET,
    _FROZENSET,
    _DATETIME,
    _DATE,
    _TIME,
    _TIMEDELTA,
    _UUID,
    _DECIMAL,
    _MARKUP,
    _SURROGATE,
) = range(12)
_REGISTERED = 32


class UnknownTypeError(Exception):
    """A stored value holds a type that is not registered here (another node knows it)."""


class _Registered(NamedTuple):
    cls: type[Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class ValueCodec:
    """Encodes and decodes attribute values.

    Keeps their types: None, bool, int of any size, float, str, bytes, list, tuple, dict with any keys of these types,
    set, frozenset, datetime, date, time, timedelta (aware and naive), UUID, Decimal, markupsafe.Markup and registered
    types. A subclass of one of these is another type: it is refused unless registered. (Inside a container msgpack
    itself takes bytearray and memoryview: those come back as bytes.)
    """

    def __init__(self) -> None:
        self._by_class: dict[type[Any], str] = {}
        self._by_name: dict[str, _Registered] = {}
        self._families: dict[type[Any], Callable[[Any], Any]] = {}

    def register_family(self, base: type[Any], to_plain: Callable[[Any], Any]) -> None:
        """Store values of every subclass of `base` as what `to_plain(value)` returns, which is what comes back.

        For classes that a framework makes as it goes, such as lazy texts.
        """
        self._families[base] = to_plain

    def register(self, name: str, cls: type[Any], encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
        """Teach the codec a type: `encode(value)` returns something it knows already, `decode` turns that back.

        `name` is stored with every value: choose it once and keep it. Register on every application node, before the
        first request. A node that does not know a name keeps such attributes as they are.

        Raises:
            ValueError: the class or the name is taken.
        """
        if cls in _PLAIN or cls in _TAKEN or cls in self._by_class or name in self._by_name:
            raise ValueError(f"{cls.__name__} or the name {name!r} is known already")
        self._by_class[cls] = name
        self._by_name[name] = _Registered(cls, encode, decode)

    def check(self, name: str, value: object) -> None:
        """Refuse a value whose own type cannot be stored; what it holds is checked by `encode`.

        Raises:
            TypeError: names the attribute and the type.
        """
        known = type(value) in _PLAIN or type(value) in self._by_class
        if not known and not isinstance(value, tuple(self._families)):
            raise TypeError(f"session attribute {name!r} is a {_type_name(value)}, which cannot be stored; {_ADVICE}")

    def encode(self, name: str, value: object) -> bytes:
        """Return the value of attribute `name` as bytes; equal values of equal types give equal bytes.

        Raises:
            TypeError: the value, or something inside it, is of a type that cannot be stored; names the attribute.
        """
        try:
            if type(value) in _DIRECT:
                return packed(value)
        except OverflowError:
            pass  # an int beyond 64 bits is a type of ours
        try:
            return self._encoded(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"session attribute {name!r} cannot be stored: {error}") from error

    def _encoded(self, value: object) -> bytes:
        try:
            return _Encoder(self._by_class, self._by_name, self._families, None).pack(value)
        except UnicodeEncodeError:
            # See `packing`; all of it anew, since what has surrogates may lie in others that have.
            return _Encoder(self._by_class, self._by_name, self._families, "surrogatepass").pack(value)

    def decode(self, payload: bytes) -> Any:
        """Return the value that `payload` encodes.

        Raises:
            UnknownTypeError: it holds a type that is not registered here.
        """
        return _Decoder(self._by_name).unpack(payload)


class _Encoder:
    """Encodes one value; counts how deep extension types lie in each other."""

    def __init__(
        self,
        by_class: dict[type[Any], str],
        by_name: dict[str, _Registered],
        families: dict[type[Any], Callable[[Any], Any]],
        errors: str | None,
    ) -> None:
        self._errors = errors
        self._by_class = by_class
        self._by_name = by_name
        self._families = families
        self._depth = 0

    def pack(self, value: object) -> bytes:
        whole: bytes = msgpack.packb(value, default=self._to_ext, strict_types=True, unicode_errors=self._errors)
        return whole

    def _to_ext(self, value: Any) -> Any:
        """Encode what msgpack itself does not know (msgpack calls this, for dict keys too)."""
        if self._families:
            plain = self._plain(value)
            if plain is not value:
                return plain
        if self._depth == _DEEPEST:
            raise TypeError(f"it holds more than {_DEEPEST} tuples or sets inside each other")
        self._depth += 1
        try:
            return self._ext(type(value), value)
        finally:
            self._depth -= 1

    def _ext(self, cls: type[Any], value: Any) -> msgpack.ExtType:
        encoder = _ENCODERS.get(cls)
        if encoder is not None:
            code, to_plain = encoder
            return msgpack.ExtType(code, self.pack(to_plain(value)))
        if cls in (set, frozenset):
            # Sorted by their bytes: the order of a set differs between processes, the encoding must not.
            return msgpack.ExtType(_SET if cls is set else _FROZENSET, self.pack(sorted(map(self.pack, value))))
        name = self._by_class.get(cls)
        if name is None:
            raise TypeError(f"it holds a {_type_name(value)}; {_ADVICE}")
        return msgpack.ExtType(_REGISTERED, self.pack([name, self._by_name[name].encode(value)]))

    def _plain(self, value: Any) -> Any:
        """Return what a value of a registered family is stored as; any other is itself."""
        for base, to_plain in self._families.items():
            if isinstance(value, base):
                return to_plain(value)
        return value


class _Decoder:
    """Decodes one value; counts how deep extension types lie in each other."""

    def __init__(self, by_name: dict[str, _Registered]) -> None:
        self._by_name = by_name
        self._depth = 0

    def unpack(self, payload: bytes) -> Any:
        try:
            return msgpack.unpackb(
                payload, ext_hook=self._from_ext, strict_map_key=False, unicode_errors="surrogatepass"
            )
        except UnknownTypeError:
            raise
        except Exception as error:  # a registered type's own code may raise anything
            raise UnknownTypeError(f"{type(error).__name__}: {error}") from error

    def _from_ext(self, code: int, data: bytes) -> Any:
        if self._depth == _DEEPEST:
            raise UnknownTypeError("nested too deep")
        self._depth += 1
        try:
            return self._typed(code, self.unpack(data))
        finally:
            self._depth -= 1

    def _typed(self, code: int, plain: Any) -> Any:
        if code in _DECODERS:
            return _DECODERS[code](plain)
        if code in (_SET, _FROZENSET):
            members = map(self.unpack, plain)
            return set(members) if code == _SET else frozenset(members)
        if code == _REGISTERED and plain[0] in self._by_name:
            return self._by_name[plain[0]].decode(plain[1])
        raise UnknownTypeError(f"type {plain[0] if code == _REGISTERED else code!r} is not registered here")


_ADVICE = "store plain values, or register the type with register_type()"


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _int_to_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _int_from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _zone_to_plain(zone: object) -> Any:
    if zone is None:
        return None
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        return [offset.days, offset.seconds, offset.microseconds]
    raise TypeError(f"it holds a time with the time zone type {_type_name(zone)}; use datetime.timezone or zoneinfo")


def _zone_from_plain(plain: Any) -> Any:
    if plain is None:
        return None
    if isinstance(plain, str):
        return ZoneInfo(plain)
    offset = timedelta(*plain)
    return timezone(offset) if offset else UTC


def _datetime_to_plain(value: datetime) -> Any:
    parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
    return [*parts, value.fold, _zone_to_plain(value.tzinfo)]


def _datetime_from_plain(plain: Any) -> datetime:
    *parts, fold, zone = plain
    return datetime(*parts).replace(fold=fold, tzinfo=_zone_from_plain(zone))


def _time_to_plain(value: time) -> Any:
    return [
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.fold,
        _zone_to_plain(value.tzinfo),
    ]


def _time_from_plain(plain: Any) -> time:
    *parts, fold, zone = plain
    return time(*parts).replace(fold=fold, tzinfo=_zone_from_plain(zone))


# int and str come here only where msgpack cannot hold them: beyond 64 bits, or a subclass of ours (Markup).
_ENCODERS: dict[type[Any], tuple[int, Callable[[Any], Any]]] = {
    int: (_BIG_INT, _int_to_bytes),
    tuple: (_TUPLE, list),
    datetime: (_DATETIME, _datetime_to_plain),
    date: (_DATE, lambda value: [value.year, value.month, value.day]),
    time: (_TIME, _time_to_plain),
    timedelta: (_TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
    UUID: (_UUID, lambda value: value.bytes),
    Decimal: (_DECIMAL, str),
    Markup: (_MARKUP, str.__str__),
}
_DECODERS: dict[int, Callable[[Any], Any]] = {
    _BIG_INT: _int_from_bytes,
    _TUPLE: tuple,
    _DATETIME: _datetime_from_plain,
    _DATE: lambda plain: date(*plain),
    _TIME: _time_from_plain,
    _TIMEDELTA: lambda plain: timedelta(*plain),
    _UUID: lambda plain: UUID(bytes=plain),
    _DECIMAL: Decimal,
    _MARKUP: Markup,
}
