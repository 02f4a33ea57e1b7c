"""Keeps the id on this site in what is left of a page that is not followed any more."""

from __future__ import annotations

# What is looked for, and what is put where in it: neither name means anything then, or only what it meant before.
_BASE = (b"<base", 5, b' href=""')
_ACTIONS = tuple((bytes([before]) + b"formaction", 1, b"data-") for before in b" \t\n\f\r/\"'")
_LONGEST = 11


class Guard:
    """Makes each `<base>` and `formaction` harmless, in tags or not; can stop at any byte.

    Args:
        base: links with the id have been sent, which no `<base href>` is to take elsewhere.
        action: forms with the field have been sent, which no button is to send elsewhere.
    """

    def __init__(self, *, base: bool, action: bool) -> None:
        self._words = ((_BASE,) if base else ()) + (_ACTIONS if action else ())
        self._kept = b""

    def push(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what is certain by now."""
        text = self._kept + data
        low = text.lower()
        begun = (n for n in range(min(_LONGEST, len(low)), 0, -1) if self._begins(low[-n:]))
        end = len(text) - next(begun, 0)
        out: list[bytes] = []
        sent = 0
        for at, new in sorted(self._found(low[:end])):
            out += (text[sent:at], new)
            sent = at
        self._kept = text[end:]
        return b"".join((*out, text[sent:end]))

    def _begins(self, tail: bytes) -> bool:
        return any(len(tail) < len(word) and word.startswith(tail) for word, _, _ in self._words)

    def _found(self, low: bytes) -> list[tuple[int, bytes]]:
        found = []
        for word, offset, new in self._words:
            at = low.find(word)
            while at >= 0:
                found.append((at + offset, new))
                at = low.find(word, at + len(word))
        return found

    def finish(self) -> bytes:
        """Return what was held back."""
        kept, self._kept = self._kept, b""
        return kept
