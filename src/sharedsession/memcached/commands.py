"""What can be asked of one node, and every answer it can give: the words that nodes and store share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

# Classes with slots where a request makes several: compiled, they cost a quarter of what a named tuple costs.


class Token:
    """Proof of which value was read, for compare-and-swap.

    memcached numbers values from 1 again after a restart, so the bare number may match another value. It counts only
    on a connection that was open when it was read.

    Args:
        cas: memcached's number.
        connection: the newest connection's number when it was read.
    """

    __slots__ = ("cas", "connection")

    def __init__(self, cas: int, connection: int) -> None:
        self.cas: int = cas
        self.connection: int = connection


class Get:
    """Read a value and, unless `ttl` is None, prolong its life to `ttl` seconds in the same trip."""

    __slots__ = ("key", "ttl")

    def __init__(self, key: str, ttl: int | None) -> None:
        self.key: str = key
        self.ttl: int | None = ttl


class Put:
    """Store a value: with a token only over the value read with it, with None only where there is none (add).

    Args:
        key: under which.
        value: the value.
        ttl: its life in seconds.
        token: of what it replaces.
        repeatable: it may be sent again when a connection breaks before the answer came.
    """

    __slots__ = ("key", "repeatable", "token", "ttl", "value")

    def __init__(self, key: str, value: bytes, ttl: int, token: Token | None, repeatable: bool = True) -> None:
        self.key: str = key
        self.value: bytes = value
        self.ttl: int = ttl
        self.token: Token | None = token
        self.repeatable: bool = repeatable


class Touch:
    """Prolong a value's life to `ttl` seconds without reading it."""

    __slots__ = ("key", "ttl")

    def __init__(self, key: str, ttl: int) -> None:
        self.key: str = key
        self.ttl: int = ttl


class Delete:
    """Remove a value. The answer is not waited for: always `Stored`."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key: str = key


class Ping:
    """Ask whether the node answers, on a connection of its own."""

    __slots__ = ()


Command = Get | Put | Touch | Delete | Ping


class Found:
    """A value. `remaining` is its life in seconds before this command prolonged it; -1: it never expires."""

    __slots__ = ("remaining", "token", "value")

    def __init__(self, value: bytes, token: Token, remaining: int) -> None:
        self.value: bytes = value
        self.token: Token = token
        self.remaining: int = remaining


class Missing(NamedTuple):
    """The node has no value under the key."""


class Stored:
    """Done. The token of what now stands there (of no use after Touch, Delete and Ping)."""

    __slots__ = ("token",)

    def __init__(self, token: Token) -> None:
        self.token: Token = token


class Conflict(NamedTuple):
    """Not stored: another value stands there than the one read (or one where none was expected)."""


class Refused(NamedTuple):
    """Not stored: the node is alive but will not take the value (out of memory)."""

    reason: str


class TooLarge(NamedTuple):
    """Not stored: the value is over the node's item limit."""

    reason: str


class Late(NamedTuple):
    """No answer yet, while other nodes have answered for the same key. What was asked will be done, or has failed."""

    reason: str


class Failed(NamedTuple):
    """No answer, or none that can be trusted. What was asked may or may not have been done."""

    reason: str


Answer = Found | Missing | Stored | Conflict | Refused | TooLarge | Late | Failed

#: For answers that carry no token.
NO_TOKEN = Token(0, 0)
MISSING = Missing()
CONFLICT = Conflict()


class Transport(Protocol):
    """Carries commands to nodes: real memcached, the in-process store, or a simulation."""

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Send every (node name, command) before reading any answer; return the answers in order. Never raises.

        Once `enough` nodes have done what was asked of a key, the others are waited for only a moment longer (`Late`).
        """
        ...

    def close(self) -> None:
        """Drop all connections; the next command opens new ones."""
        ...
