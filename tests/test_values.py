"""Attribute values: what goes in comes out with its exact type, and what cannot is refused by name."""

from __future__ import annotations

import collections
import contextlib
import enum
import os
import subprocess
import sys
import textwrap
import types
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from strategies import ZONES, any_text, exactly, hashables, values

from sharedsession.values import IMMUTABLE, UnknownTypeError, ValueCodec

CODEC = ValueCodec()


@dataclass(frozen=True)
class Money:
    """A type that an application registers."""

    cents: int
    currency: str


@dataclass
class Basket:
    """A mutable one, which holds registered and plain values."""

    items: list[Any]


class Colour(enum.Enum):
    RED = 1


def with_types() -> ValueCodec:
    codec = ValueCodec()
    codec.register("money", Money, lambda money: (money.cents, money.currency), lambda plain: Money(*plain))
    codec.register("basket", Basket, lambda basket: basket.items, Basket)
    codec.register("colour", Colour, lambda colour: colour.name, lambda name: Colour[name])
    return codec


def type_name(value: object) -> str:
    """Name a parameter: a repr would differ between processes where it shows a set."""
    return type(value).__name__


def there_and_back(value: Any, codec: ValueCodec = CODEC) -> Any:
    return codec.decode(codec.encode("a", value))


# -- round trip ----------------------------------------------------------------------------------------------------


@given(values)
@settings(max_examples=200)
def test_every_value_comes_back_exactly(value: Any) -> None:
    """Any value of the supported types, however nested, comes back equal and of the same types throughout."""
    assert exactly(there_and_back(value)) == exactly(value)


@given(values)
def test_what_came_back_encodes_to_the_same_bytes(value: Any) -> None:
    """Reading a value and storing it again is no change: a read-only request writes nothing."""
    payload = CODEC.encode("a", value)
    assert CODEC.encode("a", CODEC.decode(payload)) == payload


SAMPLES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**100,
    -(10**100),
    0.0,
    -0.0,
    1.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    5e-324,
    "",
    "x" * 100_000,
    "\0",
    "\U0001f600",
    "\ud83d\ude00",
    "\udcff",
    b"",
    b"\xff" * 100_000,
    [],
    (),
    {},
    set(),
    frozenset(),
    [()],
    ([],),
    {(): []},
    {((1, 2), frozenset({(3,)})): {"x": (None,)}},
    {1: "int", "1": "str", b"1": "bytes", None: "none", 1.5: "float", (1,): "tuple", date(1, 1, 1): "date"},
    {True: 1},
    {1: True},
    {(1, "a"), (2, "b"), ()},
    {frozenset({1}), frozenset()},
    [1, True, 1.0, Decimal(1)],
    [1, [2, [3, (4, {5: {6}})]]],
    datetime(1, 1, 1),
    datetime.max,
    datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
    datetime(2024, 1, 1, 2, 30, fold=1),
    date.min,
    date.max,
    time(0),
    time.max,
    time(1, 2, 3, 4, tzinfo=UTC, fold=1),
    timedelta(0),
    timedelta.min,
    timedelta.max,
    timedelta(microseconds=-1),
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
    Decimal(0),
    Decimal("-0.00"),
    Decimal("1E+1000000"),
    Decimal("1.10"),
    Decimal("NaN"),
    Decimal("sNaN123"),
    Decimal("-Infinity"),
    Markup("<b>"),
    [Markup("<b>"), "<b>", {Markup("a"): "b"}],
    *(datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=zone) for zone in ZONES for fold in (0, 1)),
    *(time(2, 30, tzinfo=zone) for zone in ZONES),
]


@pytest.mark.parametrize("value", SAMPLES, ids=type_name)
def test_values_at_the_edges_come_back_exactly(value: Any) -> None:
    """The edges of every type, where encodings usually lose something, come back as they were."""
    CODEC.check("a", value)
    assert exactly(there_and_back(value)) == exactly(value)


@pytest.mark.skipif(not ZONES, reason="no time zone database on this machine")
def test_the_two_readings_of_an_ambiguous_hour_stay_apart() -> None:
    """A datetime in a zone keeps the zone's rules and its fold, so it still means the same instant."""
    first = datetime(2024, 10, 27, 2, 30, tzinfo=ZONES[0])
    second = first.replace(fold=1)
    assert there_and_back(first).utcoffset() == first.utcoffset() != second.utcoffset()
    assert there_and_back(second).utcoffset() == second.utcoffset()
    assert there_and_back(second).tzinfo is ZONES[0]


def test_containers_hold_bytearrays_as_bytes() -> None:
    """The documented exception: what msgpack itself takes for bytes inside a container comes back as bytes."""
    assert there_and_back([bytearray(b"x"), memoryview(b"y")]) == [b"x", b"y"]


# -- equal values, equal bytes -------------------------------------------------------------------------------------


@given(st.lists(hashables, max_size=6), st.randoms(use_true_random=False))
def test_a_set_encodes_the_same_in_any_order(members: list[Any], random: Any) -> None:
    """Two equal sets built in different orders give the same bytes, also inside other containers."""
    shuffled = members.copy()
    random.shuffle(shuffled)
    # Of equal members (1 and True) the first stays: only sets of the same types are the same value.
    one, other = set(members), set(shuffled)
    if exactly(one) == exactly(other):
        assert CODEC.encode("a", one) == CODEC.encode("a", other)
        assert CODEC.encode("a", [{"k": (frozenset(one),)}]) == CODEC.encode("a", [{"k": (frozenset(other),)}])


def test_every_process_encodes_a_set_the_same() -> None:
    """Python orders sets differently in every process; the bytes do not depend on it, or copies would never agree."""
    program = """
        from datetime import date
        from sharedsession.values import ValueCodec
        words = {f"word{n}" for n in range(50)}
        mixed = {1, "a", b"b", None, (1, "x"), frozenset({"p", "q", "r"}), date(2024, 1, 2), 2.5}
        value = [words, frozenset(words), {"nested": ({"x", "y", "z"}, mixed)}]
        print(ValueCodec().encode("a", value).hex())
    """
    outputs = {run(program, PYTHONHASHSEED=seed) for seed in ("0", "1", "2")}
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


def run(program: str, **environ: str) -> str:
    """Run a program in a Python of its own; return what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"exit code {result.returncode}: {result.stderr}"
    return result.stdout


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, "c0"),
        (True, "c3"),
        (7, "07"),
        (2**63 - 1, "cf7fffffffffffffff"),
        (2**64, "c70b00c409010000000000000000"),
        (-(2**63) - 1, "c70b00c409ff7fffffffffffffff"),
        (1.5, "cb3ff8000000000000"),
        ("tea", "a3746561"),
        ("\ud800", "a3eda080"),
        (b"tea", "c403746561"),
        ([1, "a"], "9201a161"),
        ((1, "a"), "d6019201a161"),
        ({1: "a"}, "8101a161"),
        ({"a", "b"}, "c7090292c402a161c402a162"),
        (frozenset([1]), "d60391c40101"),
        (datetime(2024, 2, 29, 1, 2, 3, 4, fold=1), "c70c0499cd07e8021d0102030401c0"),
        (datetime(2024, 2, 29, tzinfo=UTC), "c70f0499cd07e8021d000000000093000000"),
        (datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=1))), "c7110499cd07e8021d00000000009300cd0e1000"),
        (date(2024, 2, 29), "c7060593cd07e8021d"),
        (time(1, 2, 3, 4, UTC), "c70a0696010203040093000000"),
        (timedelta(1, 2, 3), "d60793010203"),
        (uuid.UUID(int=1), "c71208c41000000000000000000000000000000001"),
        (Decimal("1.10"), "c70509a4312e3130"),
        (Markup("<b>"), "d60aa33c623e"),
        (Money(100, "EUR"), "d82092a56d6f6e6579c706019264a3455552"),
    ],
    ids=type_name,
)
def test_the_stored_form_is_pinned(value: Any, encoded: str) -> None:
    """What an earlier version stored is what this one stores and reads: no code ever gets another meaning."""
    codec = with_types()
    assert codec.encode("a", value).hex() == encoded
    assert exactly_or_money(codec.decode(bytes.fromhex(encoded))) == exactly_or_money(value)


def exactly_or_money(value: Any) -> Any:
    return value if isinstance(value, Money) else exactly(value)


# -- registered types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Money(100, "EUR"),
        [Money(1, "EUR"), (Money(2, "USD"),)],
        {Money(1, "EUR"): {Money(2, "EUR")}},
        Basket([1, "a", Money(3, "EUR"), Basket([])]),
        Colour.RED,
    ],
    ids=repr,
)
def test_a_registered_type_comes_back(value: Any) -> None:
    """Registered types keep their type anywhere in a value: inside containers, each other, keys and sets."""
    codec = with_types()
    codec.check("a", value)
    assert there_and_back(value, codec) == value
    assert type(there_and_back(value, codec)) is type(value)


def test_another_codec_with_the_same_names_reads_it() -> None:
    """What one application node stores, another that registered the same types reads."""
    assert with_types().decode(with_types().encode("a", [Money(1, "EUR")])) == [Money(1, "EUR")]


@pytest.mark.parametrize("value", [Money(1, "EUR"), [1, {"k": (Colour.RED,)}], {Money(1, "EUR")}, {Money(1, "EUR"): 1}])
def test_an_unknown_type_says_so(value: Any) -> None:
    """Where the type is not registered, anywhere in the value, the answer is UnknownTypeError and no half a value."""
    payload = with_types().encode("a", value)
    with pytest.raises(UnknownTypeError, match="registered"):
        CODEC.decode(payload)


class Fault(Exception):
    pass


@pytest.mark.parametrize("error", [AttributeError, KeyError, TypeError, AssertionError, RuntimeError, OSError, Fault])
def test_a_type_that_cannot_be_read_any_more_is_unknown(error: type[Exception]) -> None:
    """When a registered type's own decode fails, as after it was changed, the value counts as unknown and is kept."""

    def decode(plain: Any) -> Money:
        raise error("changed")

    codec = ValueCodec()
    codec.register("money", Money, lambda money: money.cents, decode)
    with pytest.raises(UnknownTypeError):
        codec.decode(codec.encode("a", Money(1, "EUR")))


@pytest.mark.parametrize(
    "cls", [int, str, list, dict, tuple, set, datetime, Markup, type(None), bytearray, memoryview, msgpack.ExtType]
)
def test_a_builtin_type_cannot_be_registered(cls: type[Any]) -> None:
    """What has its own encoding keeps it: a registration that would have no effect is refused."""
    with pytest.raises(ValueError, match=cls.__name__):
        ValueCodec().register("mine", cls, repr, repr)


def test_a_type_and_a_name_are_registered_once() -> None:
    """Neither a second name for a class nor a second class for a name: stored values could not be told apart."""
    codec = with_types()
    with pytest.raises(ValueError, match="Money"):
        codec.register("other", Money, repr, repr)
    with pytest.raises(ValueError, match="'money'"):
        codec.register("money", Fault, repr, repr)


def test_a_registered_subclass_is_its_own_type() -> None:
    """A registered subclass of a plain type comes back as itself, not as the plain type."""

    class Name(str):
        __slots__ = ()

    codec = ValueCodec()
    codec.register("name", Name, str.__str__, Name)
    assert type(there_and_back([Name("x")], codec)[0]) is Name
    assert type(there_and_back(["x"], codec)[0]) is str


# -- refused -------------------------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Level(enum.IntEnum):
    HIGH = 1


class Word(enum.StrEnum):
    TEA = "tea"


class Point(NamedTuple):
    x: int
    y: int


class Zone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, when: datetime | None) -> timedelta | None:
        return None

    def tzname(self, when: datetime | None) -> str | None:
        return None


UNSUPPORTED: list[Any] = [
    object(),
    Colour.RED,
    Level.HIGH,
    Word.TEA,
    Text("x"),
    Number(1),
    Point(1, 2),
    collections.OrderedDict(),
    collections.defaultdict(list),
    collections.Counter(),
    collections.deque(),
    type("L", (list,), {})(),
    type("S", (set,), {})(),
    type("D", (datetime,), {})(2024, 1, 1),
    type("M", (Markup,), {})("x"),
    type("F", (float,), {})(1.0),
    1j,
    range(3),
    len,
    int,
    iter([1]),
    types.SimpleNamespace(),
    Money(1, "EUR"),
    ValueError("x"),
    NotImplemented,
    ...,
]


@pytest.mark.parametrize("value", UNSUPPORTED, ids=type_name)
def test_another_type_is_refused_by_name(value: Any) -> None:
    """A value of another type is a TypeError that names attribute, type and remedy: at once, or inside containers."""
    with pytest.raises(TypeError) as caught:
        CODEC.check("the basket", value)
    message = str(caught.value)
    assert "'the basket'" in message
    assert type(value).__qualname__ in message
    assert "register_type" in message
    for container in ([value], (value,), {"k": value}, [[{"k": (value,)}]]):
        CODEC.check("the basket", container)
        with pytest.raises(TypeError) as caught:
            CODEC.encode("the basket", container)
        assert "'the basket'" in str(caught.value)
        assert type(value).__qualname__ in str(caught.value)


@pytest.mark.parametrize("value", [Colour.RED, Text("x"), Number(1), Point(1, 2), 1j, Word.TEA])
def test_another_type_is_refused_as_key_and_member(value: Any) -> None:
    """Keys and members of sets are no way around: a str subclass as a key would come back as str."""
    for container in ({value: 1}, {value}, frozenset([value])):
        with pytest.raises(TypeError, match="'a'"):
            CODEC.encode("a", container)


@pytest.mark.parametrize("value", [bytearray(b"x"), memoryview(b"x"), msgpack.ExtType(1, b""), msgpack.Timestamp(0)])
def test_a_value_that_would_come_back_as_another_type_is_refused(value: Any) -> None:
    """What msgpack would take for something else cannot be an attribute itself."""
    with pytest.raises(TypeError, match="'a'"):
        CODEC.check("a", value)


def test_an_unknown_time_zone_type_is_refused() -> None:
    """A tzinfo that cannot be found again on another node is a TypeError, not a lost zone."""
    for value in (datetime(2024, 1, 1, tzinfo=Zone()), time(1, tzinfo=Zone())):
        with pytest.raises(TypeError, match=r"'a'.*Zone"):
            CODEC.encode("a", value)


def cyclic_list() -> Any:
    value: list[Any] = []
    value.append([value])
    return value


def cyclic_dict() -> Any:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def cyclic_tuple() -> Any:
    inside: list[Any] = []
    value = (inside,)
    inside.append(value)
    return value


def nested(depth: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        cyclic_list(),
        cyclic_dict(),
        cyclic_tuple(),
        nested(5000, lambda inner: [inner]),
        nested(5000, lambda inner: {"k": inner}),
        nested(1000, lambda inner: (inner,)),
        nested(1000, lambda inner: frozenset([inner])),
        nested(1000, lambda inner: ([inner],)),
    ],
    ids=["list", "dict", "tuple", "lists", "dicts", "tuples", "sets", "mixed"],
)
def test_a_cyclic_or_endless_value_is_refused(value: Any) -> None:
    """A value that holds itself, or is too deep, is a TypeError that names the attribute; it never hangs."""
    with pytest.raises(TypeError, match="'a'"):
        CODEC.encode("a", value)


def test_whatever_depth_is_accepted_can_be_read() -> None:
    """No nesting that was stored kills the process that reads it (msgpack recurses on the C stack)."""
    program = """
        import threading
        from sharedsession.values import ValueCodec
        codec = ValueCodec()
        wraps = [lambda v: (v,), lambda v: frozenset([v]), lambda v: [v], lambda v: ([v],), lambda v: [{(1,): (v,)}]]
        deepest = [0] * len(wraps)

        def nest():
            for number, wrap in enumerate(wraps):
                value = 1
                for depth in range(1, 400):
                    value = wrap(value)
                    try:
                        payload = codec.encode("a", value)
                    except TypeError:
                        break
                    assert codec.encode("a", codec.decode(payload)) == payload
                    deepest[number] = depth

        threading.stack_size(1024 * 1024)  # what CPython gives threads on musl
        thread = threading.Thread(target=nest)
        thread.start()
        thread.join()
        print(*deepest)
    """
    deepest = [int(depth) for depth in run(program).split()]
    assert min(deepest) >= 10


# -- hostile bytes -------------------------------------------------------------------------------------------------


def decode_or_unknown(payload: bytes) -> None:
    with contextlib.suppress(UnknownTypeError):
        CODEC.decode(payload)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_unknown_at_worst(payload: bytes) -> None:
    """Bytes of any origin decode to some value or raise UnknownTypeError, nothing else."""
    decode_or_unknown(payload)


@given(st.integers(0, 127), values, st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_extension_over_any_value_is_unknown_at_worst(code: int, value: Any, ours: bool) -> None:
    """An extension code over contents that do not belong to it raises nothing but UnknownTypeError."""
    code = code % 13 if ours else code
    decode_or_unknown(msgpack.packb(msgpack.ExtType(code, CODEC.encode("a", value))))


@pytest.mark.parametrize(
    "plain",
    [None, True, -1, 2**63, 1.5, "", "x" * 16, "Europe", "../../etc/passwd", b"", b"x" * 16, [], {}, [[]], [{}], {0: 0},
     ["money", 1], [None] * 9, [2024, 1, 1, 0, 0, 0, 0, 0, "Europe"], [2024, 1, 1, 0, 0, 0, 0, 0, "../x"],
     [2024, 1, 1, 0, 0, 0, 0, 9, None], [0, 0, 0, 0, 0, [10**9, 0, 0]], [10**9, 0, 0], [2**63], [b"\xc1"], [b""]],
    ids=repr,
)  # fmt: skip
def test_wrong_contents_of_an_extension_are_unknown(plain: Any) -> None:
    """Contents of the wrong type, length or range for their code raise nothing but UnknownTypeError."""
    for code in (*range(14), 31, 32, 33, 127):
        decode_or_unknown(msgpack.packb(msgpack.ExtType(code, msgpack.packb(plain))))


@given(values, st.data())
def test_a_damaged_value_is_unknown_at_worst(value: Any, data: st.DataObject) -> None:
    """A valid encoding with any byte changed, removed or added raises nothing but UnknownTypeError."""
    payload = bytearray(CODEC.encode("a", value))
    position = data.draw(st.integers(0, len(payload) - 1))
    byte = data.draw(st.integers(0, 255))
    action = data.draw(st.sampled_from(["change", "remove", "insert", "cut"]))
    if action == "change":
        payload[position] = byte
    elif action == "remove":
        del payload[position]
    elif action == "insert":
        payload.insert(position, byte)
    else:
        del payload[position:]
    decode_or_unknown(bytes(payload))


@pytest.mark.parametrize("size", [20, 100, 2000])
def test_a_bomb_of_extensions_is_unknown(size: int) -> None:
    """Extensions nested without end are refused before they use up the stack."""
    payload = b"\xc0"
    for _ in range(size):
        payload = msgpack.packb(msgpack.ExtType(1, payload))
    program = f"""
        from sharedsession.values import UnknownTypeError, ValueCodec
        try:
            ValueCodec().decode(bytes.fromhex("{payload.hex()}"))
        except UnknownTypeError:
            print("unknown")
    """
    assert run(program) == "unknown\n"


# -- the set of types ----------------------------------------------------------------------------------------------


@given(values)
def test_check_accepts_what_encode_accepts(value: Any) -> None:
    """Nothing that can be stored is refused at assignment."""
    CODEC.check("a", value)


@given(any_text)
def test_any_attribute_name_is_shown_in_the_message(name: str) -> None:
    """The message shows the name as Python writes it, whatever characters it has."""
    with pytest.raises(TypeError) as caught:
        CODEC.check(name, object())
    assert repr(name) in str(caught.value)


def test_immutable_types_are_those_that_cannot_change() -> None:
    """Only types without contents that could change in place count as immutable: not tuple, which may hold a list."""
    assert {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        datetime,
        date,
        time,
        timedelta,
        uuid.UUID,
        Decimal,
        Markup,
    } == IMMUTABLE
