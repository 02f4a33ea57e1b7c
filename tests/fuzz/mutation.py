"""Changes of bytes, from a flipped bit to a word of the grammar in the wrong place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

#: Bytes that separators, quotes, blanks, ends and encodings are made of.
_ODD = b"\x00\t\n\r \"%&'+,-./:;<=>?@[\\]_{|}~\x7f\x80\xa0\xc1\xff"
_NUMBERS = [b"0", b"-1", b"1", b"255", b"65535", b"65536", b"2147483648", b"4294967296", b"9" * 19, b"9" * 400]
_NUMBER = re.compile(rb"\d+")
#: At most so many changes of one input.
_MOST = 4

Change = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]


def made_of(words: Sequence[bytes], random: Random) -> bytes:
    """Return some words in a row."""
    return b"".join(random.choices(words, k=1 + int(random.random() * 12)))


def mutated(data: bytes, words: Sequence[bytes], others: Sequence[bytes], random: Random) -> bytes:
    """Return the input with one change or a few.

    Args:
        data: the input.
        words: of the grammar.
        others: inputs that parts may come from.
        random: decides.
    """
    for _ in range(1 + int(random.random() ** 2 * _MOST)):
        data = random.choice(_CHANGES)(random, data, words, others)
    return data


def _place(random: Random, data: bytes) -> int:
    return int(random.random() * (len(data) + 1))


def _span(random: Random, data: bytes) -> tuple[int, int]:
    """Return the begin and end of a part; short ones are more likely."""
    begin = _place(random, data)
    return begin, begin + int(random.random() ** 3 * (len(data) - begin + 1))


def _flip(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = int(random.random() * len(data))
    return b"%b%c%b" % (data[:at], data[at] ^ 1 << int(random.random() * 8), data[at + 1 :])


def _odd(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return b"%b%c%b" % (data[:at], random.choice(_ODD), data[at + int(random.random() * 2) :])


def _word(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return data[:at] + random.choice(words) + data[at:]


def _replace(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    begin, end = _span(random, data)
    return data[:begin] + random.choice(words) + data[end:]


def _delete(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    begin, end = _span(random, data)
    return data[:begin] + data[end:]


def _repeat(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    begin, end = _span(random, data)
    times = 2 + int(random.random() ** 4 * 200)
    return data[:begin] + data[begin:end] * times + data[end:]


def _splice(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return data[: _place(random, data)] + other[_place(random, other) :]


def _number(random: Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    match = random.choice(numbers)
    return data[: match.start()] + random.choice(_NUMBERS) + data[match.end() :]


_CHANGES: list[Change] = [_flip, _odd, _word, _word, _replace, _delete, _repeat, _splice, _number]
