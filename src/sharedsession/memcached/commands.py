"""What can be asked of one node, and every answer it can give: the words that nodes and store share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Token(NamedTuple):
    """Proof of which value was read, for compare-and-swap.

    memcached numbers values from 1 again after a restart, so the bare number may match another value. It counts only
    on a connection that was open when it was read: `connection` is the newest such connection's number.
    """

    cas: int
    connection: int


class Get(NamedTuple):
    """Read a value and, unless `ttl` is None, prolong its life to `ttl` seconds in the same trip."""

    key: str
    ttl: int | None


class Put(NamedTuple):
    """Store a value: with a token only over the value read with it, with None only where there is none (add)."""

    key: str
    value: bytes
    ttl: int
    token: Token | None
    #: Whether it may be sent again when a connection breaks before the answer came.
    repeatable: bool = True


class Touch(NamedTuple):
    """Prolong a value's life to `ttl` seconds without reading it."""

    key: str
    ttl: int


class Delete(NamedTuple):
    """Remove a value. The answer is not waited for: always `Stored`."""

    key: str


class Ping(NamedTuple):
    """Ask whether the node answers, on a connection of its own."""


Command = Get | Put | Touch | Delete | Ping


class Found(NamedTuple):
    """A value. `remaining` is its life in seconds before this command prolonged it; -1: it never expires."""

    value: bytes
    token: Token
    remaining: int


class Missing(NamedTuple):
    """The node has no value under the key."""


class Stored(NamedTuple):
    """Done. The token of what now stands there (of no use after Touch, Delete and Ping)."""

    token: Token


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
