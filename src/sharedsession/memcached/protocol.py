"""The text of memcached's meta protocol (protocol.txt, "Meta Commands"): commands as bytes, replies as answers.

Every command carries an opaque number that its reply echoes. Pure but for the time of day in an exptime.
"""

from __future__ import annotations

import time
from typing import Final

from .commands import (
    CONFLICT,
    MISSING,
    NO_TOKEN,
    Answer,
    Command,
    Delete,
    Failed,
    Found,
    Get,
    Put,
    Refused,
    Stored,
    Token,
    TooLarge,
    Touch,
)

#: Larger values are not ours: memcached's own limit is 1 MiB unless raised with -I.
LARGEST_VALUE = 128 * 1024 * 1024
#: memcached reads an exptime above 30 days as a date (protocol.txt, "Expiration times").
_RELATIVE_LIMIT: Final = 30 * 86400
#: memcached keeps exptime in a signed 32-bit integer: a date after this one is in the past.
_LAST_DATE: Final = 2**31 - 1
#: Bytes within which the first line of a usual reply ends.
_USUAL_LINE: Final = 100


class ProtocolError(ValueError):
    """The server said something that is not a reply to what was asked."""


def encode(command: Command, opaque: str) -> bytes:
    """Return a command as it is sent; `Delete` and `Ping` carry no opaque (`O` and a number)."""
    if type(command) is Get:
        touch = "" if command.ttl is None else f" T{exptime(command.ttl)}"
        # t before T: flags act in order, so t tells the life left before this read prolonged it.
        return f"mg {command.key} v c t{touch} {opaque}\r\n".encode()
    if type(command) is Put:
        mode = "ME" if command.token is None else f"C{command.token.cas}"
        head = f"ms {command.key} {len(command.value)} T{exptime(command.ttl)} c {mode} {opaque}\r\n"
        return b"%b%b\r\n" % (head.encode(), command.value)
    if isinstance(command, Touch):
        return f"mg {command.key} T{exptime(command.ttl)} {opaque}\r\n".encode()
    if isinstance(command, Delete):
        # Not md with q: memcached 1.6.18 answers NF all the same.
        return f"delete {command.key} noreply\r\n".encode()
    return b"mn\r\n"


def exptime(ttl: int) -> int:
    """Return a life in seconds as memcached's exptime: at least 1 (0 is for ever), a date when above 30 days."""
    ttl = max(ttl, 1)
    return ttl if ttl <= _RELATIVE_LIMIT else min(int(time.time()) + ttl, _LAST_DATE)


def size(flags: list[bytes]) -> int:
    """Return the length of the value that follows a line VA.

    Raises:
        ProtocolError: there is none, or it is none.
    """
    size = int(flags[0]) if flags and flags[0].isdigit() else -1
    if not 0 <= size <= LARGEST_VALUE:
        raise ProtocolError("no length of the value")
    return size


def usual(command: Command, opaque: str, reply: bytes, newest: int) -> Answer | None:
    """Return the answer if it is what nearly every answer is, a value found or stored, whole and nothing after it.

    Those are `VA <size> c<cas> t<life> O<opaque>` and the value, and `HD c<cas> O<opaque>`: the flags in the order in
    which they were asked for. None: it is something else, for `answer` to look at.
    """
    head = reply[:_USUAL_LINE].decode("latin-1")
    end = head.find("\r\n")
    words = head[: max(end, 0)].split(" ")
    if words[-1] != opaque:
        return None
    if type(command) is Get and len(words) == 5:
        status, size, cas, life, _ = words
        length = len(reply) - end - 4
        whole = length >= 0 and size == str(length) and reply.endswith(b"\r\n")
        stored, left = _counted(cas, "c"), _counted(life, "t")
        if whole and status == "VA" and stored >= 0 and left >= 0:
            return Found(reply[end + 2 : -2], Token(stored, newest), left)
    elif type(command) is Put and len(words) == 3:
        status, cas, _ = words
        stored = _counted(cas, "c")
        if status == "HD" and stored >= 0 and end + 2 == len(reply):
            return Stored(Token(stored, newest))
    return None


def _counted(word: str, letter: str) -> int:
    """Return the number behind the letter, -1 if that is not digits alone: int() takes line ends and signs too."""
    number = word[1:]
    return int(number) if word.startswith(letter) and number.isdecimal() else -1


def answer(command: Command, status: bytes, flags: list[bytes], value: bytes, newest: int) -> Answer:
    """Return what a reply says.

    Args:
        command: what was asked.
        status: the reply's first word.
        flags: its other words.
        value: what followed it.
        newest: number of the newest connection when the command was sent: see `Token`.

    Raises:
        ValueError: it is no reply to this command.
    """
    if status == b"VA" and isinstance(command, Get):
        return Found(value, Token(_number(flags, b"c"), newest), _number(flags, b"t"))
    if status == b"HD" and isinstance(command, Put):
        return Stored(Token(_number(flags, b"c"), newest))
    if status == b"HD" and isinstance(command, Touch):
        return Stored(NO_TOKEN)
    if status in (b"EN", b"NF"):
        return MISSING
    if status in (b"NS", b"EX") and isinstance(command, Put):
        return CONFLICT
    raise ProtocolError(f"unexpected reply {status[:20].decode('ascii', 'replace')!r}")


def _number(flags: list[bytes], letter: bytes) -> int:
    for flag in flags:
        if flag[:1] == letter:
            return int(flag[1:])
    raise ProtocolError(f"reply without {letter.decode()}")


def refusal(command: Command, text: str) -> Answer:
    """Return what a SERVER_ERROR says."""
    if not isinstance(command, Put):
        return Failed(text[:100])
    return TooLarge(text[:100]) if "too large" in text else Refused(text[:100])
