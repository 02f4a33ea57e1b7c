"""Values are compressed where that pays, one by one, and come back whatever they were."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.compression import COMPRESS_ABOVE, compressed, decompressed
from sharedsession.values import UnknownTypeError, ValueCodec

CODEC = ValueCodec()


def test_a_large_value_is_compressed() -> None:
    """Above the threshold a value takes less room in memcached, and comes back the same."""
    text = "a sentence that repeats. " * 400
    payload = compressed(CODEC.encode("a", text))
    assert len(payload) < 1000
    assert CODEC.decode(decompressed(payload)) == text


def test_what_gains_nothing_is_not_compressed() -> None:
    """Below the threshold no time is spent, and what does not shrink is stored as it is."""
    for value in ("a" * (COMPRESS_ABOVE - 10), random.Random(1).randbytes(COMPRESS_ABOVE * 2)):
        payload = CODEC.encode("a", value)
        assert compressed(payload) == payload


@given(st.binary())
def test_compression_is_undone(payload: bytes) -> None:
    """Whatever was compressed comes back, and what was not stays as it is."""
    payload = b"\x93" + payload * 100
    assert decompressed(compressed(payload)) == decompressed(payload) == payload


@pytest.mark.parametrize("payload", [b"\xc1", b"\xc1x", b"\xc1" + zlib.compress(b"cut")[:-1]])
def test_what_cannot_be_decompressed_is_of_an_unknown_type(payload: bytes) -> None:
    """A value that another version stored in another way is kept, not shown, and no error."""
    with pytest.raises(UnknownTypeError):
        decompressed(payload)


def test_a_bomb_is_no_value() -> None:
    """A value that would fill the memory when it is decompressed is given up before that."""
    compressor = zlib.compressobj()
    bomb = b"".join(compressor.compress(bytes(1_000_000)) for _ in range(400)) + compressor.flush()
    tracemalloc.start()
    with pytest.raises(UnknownTypeError):
        decompressed(b"\xc1" + bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000
