"""Character references in HTML attributes (HTML Standard, 13.2.5.72 to 80), and changes of a value that leave them."""

from __future__ import annotations

from html import unescape
from html.entities import html5

_REFERENCE = frozenset("#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
#: Characters of the longest reference there is, with room for leading zeros.
_LONGEST = 64


def decode(value: bytes) -> str:
    """Return the text of a value; bytes that are not ASCII as latin-1."""
    text = value.decode("latin-1")
    return "".join(piece for piece, _ in _pieces(text)) if "&" in text else text


def _pieces(text: str) -> list[tuple[str, int]]:
    """Return the decoded text in pieces, each with the number of characters that stood for it."""
    start, *others = text.split("&")
    found = [(character, 1) for character in start]
    for part in others:
        decoded, length = _reference(part)
        found.append((decoded, length + 1))
        found += [(character, 1) for character in part[length:]]
    return found


def _reference(part: str) -> tuple[str, int]:
    """Return what a "&" with the text behind it stands for, and how much of the text belongs to it."""
    end = 0
    while end < min(len(part), _LONGEST) and part[end] in _REFERENCE:
        end += 1
    name, follows = part[:end], part[end : end + 1]
    if end == _LONGEST and name.startswith("#"):
        return "\0", end  # too long to be read: no URL with it leads anywhere for sure
    if name.startswith("#"):
        return _numeric(name, follows)
    if follows == ";" and f"{name};" in html5:
        return html5[f"{name};"], end + 1
    # Without ";" a reference is text where "=" or a letter follows: "?a=1&copy=2" (13.2.5.73).
    return (html5[name], end) if name in html5 and follows not in ("=", ";") else ("&", 0)


def _numeric(name: str, follows: str) -> tuple[str, int]:
    digits = "0123456789abcdefABCDEF" if name[1:2] in ("x", "X") else "0123456789"
    end = first = 2 if name[1:2] in ("x", "X") else 1
    while end < len(name) and name[end] in digits:
        end += 1
    if end == first:
        return "&", 0
    semicolon = end == len(name) and follows == ";"
    # Control characters, which `unescape` drops, stay in a page (13.2.5.80): any of them keeps a URL from being one.
    return unescape(f"&{name[:end]};") or "\0", end + semicolon


def change(value: bytes, new: str) -> bytes | None:
    """Return a value with as few bytes changed as its new text asks for; None if it cannot be had so.

    Args:
        value: as it stands in the page.
        new: its new text, as `decode` gives it.
    """
    pieces = _pieces(value.decode("latin-1"))
    old = [piece for piece, _ in pieces]
    before = _common(old, new)
    after = _common([piece[::-1] for piece in reversed(old[before:])], new[len("".join(old[:before])) :][::-1])
    first = sum(length for _, length in pieces[:before])
    last = len(value) - sum(length for _, length in pieces[len(pieces) - after :])
    middle = new[len("".join(old[:before])) : len(new) - len("".join(old[len(old) - after :]))]
    changed = value[:first] + escape(middle) + value[last:]
    # What is put behind "&amp", without its ";", would belong to it.
    return changed if decode(changed) == new else None


def _common(pieces: list[str], text: str) -> int:
    """Return how many pieces a text begins with."""
    at = 0
    for number, piece in enumerate(pieces):
        if not piece or not text.startswith(piece, at):
            return number
        at += len(piece)
    return len(pieces)


def escape(text: str) -> bytes:
    """Return text as it may stand in a value, with any quotes or none but for blanks."""
    for character, reference in (("&", "&amp;"), ('"', "&#34;"), ("'", "&#39;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, reference)
    return text.encode("latin-1", "xmlcharrefreplace")
