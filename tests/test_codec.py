"""Stored bytes: what was written is read, and whatever was damaged, planted or swapped is named and refused."""

from __future__ import annotations

import gc
import hashlib
import pickle
import zlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import records

from sharedsession import cipher
from sharedsession.codec import _HEADER, FORMAT, Decoded, RecordCodec, Unreadable, _tag
from sharedsession.record import Entry, Record, State, tombstone

SECRET = b"k" * 32
FORMER = b"f" * 32
PREFIX = "sharedsession:"
CODEC = RecordCodec((SECRET,), PREFIX)
ENCRYPTING = RecordCodec((SECRET,), PREFIX, encrypt=True)
CODECS = st.sampled_from([CODEC, ENCRYPTING])

RECORD = Record(
    created=1_700_000_000,
    interval=(1800, 1, 0),
    longest=3600,
    entries={
        "cart": (3, 2**63 - 1, b"\x91\xa3tea", 0, 2**32 + 7),
        "gone": (4, 5, None, 1_700_000_100, 2**32 + 7),
    },
    floor=(2**32 + 7,),
    decider=(1, "n1"),
    recent=((8, 1_700_000_050),),
    cookie_only=True,
)


def storage_key(text: str) -> str:
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()


KEY = storage_key("one")
VALUE = CODEC.encode(KEY, RECORD)
SEALED = ENCRYPTING.encode(KEY, RECORD)

keys = st.sampled_from([storage_key(text) for text in "abcdef"])
# Records as they are, and with contents of any size.
stored = records | st.builds(
    lambda record, payload: record if record.state else record._replace(entries={"big": (9, 1, payload, 0, 0)}),
    records,
    st.binary(max_size=3000) | st.integers(0, 10_000).map(bytes),
)


def told(decoded: Decoded | Unreadable) -> tuple[Record, bool]:
    """Return what a decoded record is, and whether it is to be written anew."""
    assert isinstance(decoded, Decoded), decoded
    return decoded.record, decoded.outdated


# -- round trip ----------------------------------------------------------------------------------------------------


@given(CODECS, keys, stored)
def test_what_was_written_is_read(codec: RecordCodec, key: str, record: Record) -> None:
    """Any record, live or tombstone, small or large, plain or encrypted, comes back exactly under its key."""
    decoded = codec.decode(key, codec.encode(key, record))
    assert told(decoded) == (record, False)
    assert isinstance(decoded, Decoded)
    assert isinstance(decoded.record.state, State)
    assert all(type(entry) is tuple for entry in decoded.record.entries.values())


@given(CODECS, keys, stored)
def test_equal_records_have_equal_bytes(codec: RecordCodec, key: str, record: Record) -> None:
    """Encoding is deterministic, so equal copies can be told by their bytes, encrypted ones too."""
    assert codec.encode(key, record) == codec.encode(key, record)


def test_a_collection_in_mid_packing_mixes_nothing() -> None:
    """What the collector runs while a record is packed may pack another one: both are what they were."""
    others: list[bytes] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            others.append(CODEC.encode("another key", RECORD))

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(100):
            Cycle()
            assert CODEC.encode(KEY, RECORD) == VALUE
    finally:
        gc.set_threshold(*before)
    assert others
    assert set(others) == {CODEC.encode("another key", RECORD)}


@pytest.mark.parametrize("entry", [(3, 1), (3, 1, b"", 0, 0, 0), "abcde", b"abcde", None, 5], ids=repr)
def test_an_entry_of_another_form_is_damage(entry: Any) -> None:
    """A record that was signed here but holds what is no entry is refused as a whole, and raises nothing."""
    value = CODEC.encode(KEY, RECORD._replace(entries={"a": entry}))
    assert CODEC.decode(KEY, value) is Unreadable.DAMAGED


def test_the_stored_form_is_pinned() -> None:
    """Records that an earlier version stored are read by this one; another form must have another format number."""
    assert FORMAT == 1
    assert VALUE.hex() == (
        "535301000000006333666634333165649bce6553f10093cd07080100cd0e1082a4636172749503cf7fffffffffffffff"
        "c40591a374656100cf0000000100000007a4676f6e65950405c0ce6553f164cf000000010000000791cf000000010000"
        "000700a0009201a26e31919208ce6553f132c303aa5b05c4ea454d24275655b6b4c151"
    )
    assert told(CODEC.decode(KEY, bytes.fromhex(VALUE.hex()))) == (RECORD, False)
    assert SEALED.hex() == (
        "535301020000006333666634333165649cb57c9a4e918393056fcbf215a686d03a7edcf8381fbc60b8fa1f98a587ff07"
        "249b4c43404ec3e4e99ecfd78ef375cac756df2e4505e4ea6172b0e8fbbbb85668757a6a8232cb8fe1cc5ea97302f27b"
        "d92b07a355db429dbed8a4fcc22c65aa551d1389790e2f8d996fec1dd5ebc4a779a0d9295c456cedbaa5041bfff4b0"
    )
    assert told(CODEC.decode(KEY, bytes.fromhex(SEALED.hex()))) == (RECORD, False)


# -- keys ----------------------------------------------------------------------------------------------------------


@given(stored, st.booleans())
def test_a_former_secret_is_read_and_said(record: Record, encrypt: bool) -> None:
    """After a change of secret old records are still read, marked to be written anew."""
    value = RecordCodec((FORMER,), PREFIX, encrypt=encrypt).encode(KEY, record)
    present = RecordCodec((SECRET, b"g" * 32, FORMER), PREFIX, encrypt=encrypt)
    assert told(present.decode(KEY, value)) == (record, True)


def test_writing_uses_the_present_secret_only() -> None:
    """A fallback never signs, so it can be removed once everything was rewritten."""
    value = RecordCodec((SECRET, FORMER), PREFIX).encode(KEY, RECORD)
    assert told(RecordCodec((SECRET,), PREFIX).decode(KEY, value)) == (RECORD, False)
    assert RecordCodec((FORMER,), PREFIX).decode(KEY, value) is Unreadable.DAMAGED


@given(stored, st.booleans())
def test_another_secret_or_prefix_reads_nothing(record: Record, encrypt: bool) -> None:
    """A record written under a secret or key_prefix that is not ours is refused: nobody can plant one."""
    for other in (
        RecordCodec((FORMER,), PREFIX, encrypt=encrypt),
        RecordCodec((SECRET,), "other:", encrypt=encrypt),
        RecordCodec((b"g" * 32, FORMER), "", encrypt=encrypt),
    ):
        assert CODEC.decode(KEY, other.encode(KEY, record)) is Unreadable.DAMAGED


@given(CODECS, stored)
def test_a_record_under_another_key_is_refused(codec: RecordCodec, record: Record) -> None:
    """One client's record copied under another client's key is not served: it is named as swapped."""
    assert codec.decode(storage_key("two"), codec.encode(KEY, record)) is Unreadable.SWAPPED


@pytest.mark.parametrize("value", [VALUE, SEALED])
def test_the_signature_covers_the_whole_key(value: bytes) -> None:
    """The tag in the header is only for the operator: a key with the same end is refused by MAC or cipher."""
    other = PREFIX + "0" * 56 + KEY[-8:]
    assert CODEC.decode(other, value) is Unreadable.DAMAGED
    assert CODEC.decode("x" + KEY, value) is Unreadable.DAMAGED


# -- encryption ----------------------------------------------------------------------------------------------------


@given(stored)
def test_encryption_governs_writing_only(record: Record) -> None:
    """Nodes with encryption and without read each other's records; one that encrypts writes plain ones anew."""
    assert told(CODEC.decode(KEY, ENCRYPTING.encode(KEY, record))) == (record, False)
    assert told(ENCRYPTING.decode(KEY, CODEC.encode(KEY, record))) == (record, True)


def test_an_encrypted_record_shows_nothing() -> None:
    """Neither names nor values nor node names can be read, whatever the record holds; what repeats does not show."""
    names: dict[str, Entry] = {f"name-{number}": (3, 1, b"value" * 100, 0, 0) for number in range(100)}
    value = ENCRYPTING.encode(KEY, RECORD._replace(entries=names))
    assert not any(text in value for text in (b"name", b"value", b"n1"))
    assert len(zlib.compress(value)) > len(value)


def test_contents_that_differ_share_no_nonce() -> None:
    """Ten thousand versions of a session, and the same one under other keys, have ten thousand nonces and more."""
    versions = (RECORD._replace(entries={"n": (version, 1, b"", 0, 0)}) for version in range(10_000))
    values = [ENCRYPTING.encode(KEY, each) for each in versions]
    values += [ENCRYPTING.encode(storage_key(str(number)), RECORD) for number in range(1000)]
    assert len({value[_HEADER.size : _HEADER.size + 12] for value in values}) == 11_000


def test_encrypted_records_stay_where_nothing_can_decrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing an encrypted record is named so, and is to be kept as it is."""
    monkeypatch.setattr(cipher, "INSTALLED", False)
    assert CODEC.decode(KEY, SEALED) is Unreadable.ENCRYPTED
    assert Unreadable.ENCRYPTED.to_keep


# -- damage --------------------------------------------------------------------------------------------------------


def expected_of_a_changed_byte(position: int, value: int, former: int) -> Unreadable:
    if position < 2:
        return Unreadable.FOREIGN
    if position == 2 and value > FORMAT:
        return Unreadable.NEWER
    if 4 <= position < 8 or (position == 3 and (value ^ former) & 2):
        return Unreadable.TRUNCATED  # the lengths of plain and encrypted ones differ
    if 8 <= position < 16:
        return Unreadable.SWAPPED
    return Unreadable.DAMAGED


@pytest.mark.parametrize("whole", [VALUE, SEALED], ids=["plain", "encrypted"])
def test_every_changed_byte_of_a_record_is_noticed(whole: bytes) -> None:
    """No byte of a stored record can be changed to any other value and still be read; each is named for what it is."""
    for position, former in enumerate(whole):
        for value in range(256):
            if value != former:
                damaged = whole[:position] + bytes([value]) + whole[position + 1 :]
                expected = expected_of_a_changed_byte(position, value, former)
                assert CODEC.decode(KEY, damaged) is expected, (position, value)


@given(CODECS, stored, st.data())
def test_a_changed_byte_in_any_record_is_noticed(codec: RecordCodec, record: Record, data: st.DataObject) -> None:
    """The same for any record."""
    value = bytearray(codec.encode(KEY, record))
    position = data.draw(st.integers(0, len(value) - 1))
    former = value[position]
    value[position] ^= data.draw(st.integers(1, 255))
    assert CODEC.decode(KEY, bytes(value)) is expected_of_a_changed_byte(position, value[position], former)


@pytest.mark.parametrize("whole", [VALUE, SEALED], ids=["plain", "encrypted"])
def test_every_truncation_is_noticed(whole: bytes) -> None:
    """A record cut anywhere, or with something appended, is truncated (or foreign, when not even its mark is left)."""
    for length in range(len(whole)):
        expected = Unreadable.FOREIGN if length < 2 else Unreadable.TRUNCATED
        assert CODEC.decode(KEY, whole[:length]) is expected, length
    for more in (b"\0", b"\n", whole):
        assert CODEC.decode(KEY, whole + more) is Unreadable.TRUNCATED


@given(CODECS, stored, stored, st.data())
@settings(max_examples=60)
def test_no_mixture_of_two_records_is_read(codec: RecordCodec, one: Record, other: Record, data: st.DataObject) -> None:
    """The head of one record with the tail of another never decodes to a third."""
    first, second = codec.encode(KEY, one), codec.encode(KEY, other)
    cut = data.draw(st.integers(1, min(len(first), len(second)) - 1))
    mixed = first[:cut] + second[cut:]
    if mixed not in (first, second):
        assert isinstance(CODEC.decode(KEY, mixed), Unreadable)


@pytest.mark.parametrize(
    "value",
    [b"", b"S", b"\0", b"null", b"{}", b"hello", b"ss" + VALUE[2:], pickle.dumps({"a": 1}), b"\x1f\x8b\x08", VALUE[1:]],
)
def test_what_is_no_record_is_foreign(value: bytes) -> None:
    """What another program stored under our key is foreign, and is never unpickled or guessed at."""
    assert CODEC.decode(KEY, value) is Unreadable.FOREIGN


@given(st.integers(FORMAT + 1, 255), st.binary(max_size=40), stored)
def test_a_newer_format_is_told_apart(version: int, rest: bytes, record: Record) -> None:
    """Whatever follows a higher format number is newer, not damaged: a rolling upgrade never repairs over it."""
    assert CODEC.decode(KEY, b"SS" + bytes([version]) + rest) is Unreadable.NEWER
    value = CODEC.encode(KEY, record)
    assert CODEC.decode(KEY, value[:2] + bytes([version]) + value[3:]) is Unreadable.NEWER


@given(
    st.binary(max_size=100),
    st.sampled_from([b"", b"SS", b"SS\x01", b"SS\x01\x00", b"SS\x01\x01", VALUE[:16], VALUE[:20]]),
)
def test_arbitrary_bytes_never_raise_and_are_never_a_record(value: bytes, start: bytes) -> None:
    """Whoever writes into memcached without the secret achieves nothing but one of the five answers."""
    assert isinstance(CODEC.decode(KEY, start + value), Unreadable)


def signed(body: bytes, flags: int = 0) -> bytes:
    raw = _HEADER.pack(b"SS", FORMAT, flags, len(body), _tag(KEY)) + body
    return raw + CODEC._macs[0].code(KEY.encode() + raw)


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.sampled_from(["a", b"b", 1.5, True]),
        lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.sampled_from(["a", "b", 1]), inner, max_size=2),
        max_leaves=12,
    ),
    st.integers(0, 1),
)
def test_well_signed_bodies_of_another_shape_never_raise(body: Any, flags: int) -> None:
    """Even what carries the right MAC, but is no record, is an answer and no exception."""
    decoded = CODEC.decode(KEY, signed(msgpack.packb(body), flags))
    assert decoded is Unreadable.DAMAGED


@pytest.mark.parametrize("field", range(11))
@pytest.mark.parametrize(
    "other", [None, [], {}, "x", b"x", 1.5, -1, 9, [1], {"a": 1}, {"a": [1]}, {"a": [1, 2, 3, 4, 5, 6]}]
)
def test_a_signed_record_with_one_odd_field_never_raises(field: int, other: Any) -> None:
    """A record of another version's making, with one field of another type, is an answer and no exception."""
    fields: list[Any] = [1, [60, 1, 1], 60, {"a": [2, 1, b"1", 0, 0]}, [], 0, "", 0, [1, "n1"], [], False]
    assert isinstance(CODEC.decode(KEY, signed(msgpack.packb(fields))), Decoded)
    fields[field] = other
    CODEC.decode(KEY, signed(msgpack.packb(fields)))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", b"\x78\x01" + b"\0" * 50])
@pytest.mark.parametrize("flags", [0, 1])
def test_a_signed_body_that_is_no_msgpack_is_damaged(body: bytes, flags: int) -> None:
    """A body that cannot be unpacked is damaged, whatever its flags."""
    assert CODEC.decode(KEY, signed(body, flags)) is Unreadable.DAMAGED


def test_a_tombstone_holds_nothing_of_the_session() -> None:
    """What is stored after a log-out contains no attribute's name or value."""
    value = CODEC.encode(KEY, tombstone(RECORD, State.ENDED, 1_700_000_200))
    assert b"cart" not in value
    assert b"tea" not in value


def test_neither_secret_nor_key_is_stored() -> None:
    """A dump of memcached gives neither the secret nor anything the id could be had from."""
    assert SECRET not in VALUE
    assert KEY.encode() not in VALUE
    assert KEY[-32:].encode() not in VALUE
