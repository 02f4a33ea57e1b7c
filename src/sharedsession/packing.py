"""Packs by msgpack, with a packer at hand: making one takes longer than it takes to pack what most attributes hold.

Each is used by one thread at a time. No lock of the interpreter's would do: while something is packed the garbage
collector may run, and with it anybody's code, which lets other threads go on.
"""

from __future__ import annotations

import msgpack

#: Packers that are at hand. A list's append and pop are atomic.
_IDLE: list[msgpack.Packer] = []
#: A packer that has packed more bytes than this keeps a buffer that is not worth its memory.
_LARGEST = 256 * 1024


def packed(value: object) -> bytes:
    """Return a value of msgpack's own types as bytes; surrogates in texts are kept.

    Raises:
        OverflowError: it holds an int beyond 64 bits.
        TypeError: it holds something of another type.
    """
    try:
        packer = _IDLE.pop()
    except IndexError:
        packer = msgpack.Packer()
    try:
        data: bytes = packer.pack(value)
    except UnicodeEncodeError:
        # To say beforehand what is to become of surrogates, which nearly no text has, would cost every text its time.
        return bytes(msgpack.Packer(unicode_errors="surrogatepass").pack(value))
    if len(data) <= _LARGEST:
        _IDLE.append(packer)  # not one that has failed
    return data
