"""What is fuzzed: a function of bytes that knows what must hold of every input."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple


class Target(NamedTuple):
    """A parser with its promises."""

    #: Feeds it one input and says in a few words what became of it; raises when a promise is broken.
    run: Callable[[bytes], Hashable]
    #: Inputs to begin with.
    seeds: tuple[bytes, ...]
    #: The words and separators of its grammar.
    words: tuple[bytes, ...]
    #: Longest input in bytes.
    longest: int = 2048
