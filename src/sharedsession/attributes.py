"""One request's view of a session's attributes: decoded when read, encoded again when they could have changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .compression import compressed, decompressed
from .record import NO_CHANGES, OWN, Changes, Entry, payload_of
from .values import IMMUTABLE, UnknownTypeError, ValueCodec

#: Stands for a value where there is none.
_NOTHING: Final = object()
#: Makes a named tuple at half of what its class takes.
_new: Final = tuple.__new__


class Attributes:
    """The stored attributes with this request's changes over them.

    Args:
        codec: encodes and decodes values.
        base: what is stored: attribute name -> entry.
        compresses: large values are stored compressed.
    """

    def __init__(self, codec: ValueCodec, base: dict[str, Entry], *, compresses: bool = True) -> None:
        self._codec = codec
        self._compresses = compresses
        self._base = base
        self._values: dict[str, Any] = {}
        # Values that were handed out and can change in place -> as they are encoded, not compressed; None: unknown.
        self._exposed: dict[str, bytes | None] = {}
        self._written: set[str] = set()
        self._deleted: set[str] = set()
        self._cleared = False
        #: Seconds, 0 for never; None while unchanged.
        self.interval: int | None = None
        #: The library's own attributes that this request sets (None: deletes): name -> encoded value.
        self.own: dict[str, bytes | None] = {}

    def get(self, name: Any) -> Any:
        """Return a value; a container is the same object every time.

        Raises:
            KeyError: there is none, or its type is not known here.
        """
        found = self.find(name, _NOTHING)
        if found is _NOTHING:
            raise KeyError(name)
        return found

    def find(self, name: Any, otherwise: Any) -> Any:
        """Return what `get` returns, and `otherwise` where that raises KeyError."""
        if name in self._values:
            return self._values[name]
        if not isinstance(name, str) or name in self._deleted or name.startswith(OWN):
            return otherwise
        payload = payload_of(self._base, name)
        if payload is None:
            return otherwise
        try:
            payload = decompressed(payload)
            value = self._values[name] = self._codec.decode(payload)
        except UnknownTypeError:
            return otherwise  # kept as it is, not shown
        if type(value) not in IMMUTABLE:
            self._exposed[name] = payload
        return value

    def has(self, name: Any) -> bool:
        """Say whether there is an attribute that can be read."""
        return self.find(name, _NOTHING) is not _NOTHING

    def set(self, name: Any, value: Any) -> None:
        """Set a value.

        Raises:
            TypeError: the name is no text, or the value's type cannot be stored.
        """
        if not isinstance(name, str):
            raise TypeError(f"session attributes are named by text, not {type(name).__name__} ({name!r})")
        if name.startswith(OWN):
            raise TypeError(f"session attribute {name!r}: names that begin with NUL are the library's own")
        self._codec.check(name, value)
        self._values[name] = value
        self._written.add(name)
        self._deleted.discard(name)

    def delete(self, name: Any) -> None:
        """Delete an attribute.

        Raises:
            KeyError: there is none.
        """
        self.get(name)
        del self._values[name]
        self._written.discard(name)
        if self._stored(name) is not None:
            self._deleted.add(name)

    def clear(self) -> None:
        """Delete every attribute, also those that another request is writing right now."""
        self._base = {}
        self._values.clear()
        self._exposed.clear()
        self._written.clear()
        self._deleted.clear()
        self.own.clear()
        self._cleared = True

    def names(self) -> Iterator[str]:
        """Yield the name of every attribute that can be read."""
        for name in [*self._base, *(name for name in self._values if name not in self._base)]:
            if name not in self._deleted and not name.startswith(OWN) and self.has(name):
                yield name

    def holds(self, name: str) -> bool:
        """Say whether an attribute of the library's own is stored, and was not cleared since."""
        return self._stored(name) is not None

    def touched(self) -> bool:
        """Say whether anything was assigned or deleted; a change inside a value shows only in `changes`."""
        return bool(self._written or self._deleted or self._cleared or self.own or self.interval is not None)

    def may_differ(self) -> bool:
        """Say whether anything was assigned or deleted, or handed out that can change in place."""
        return bool(self._exposed) or self.touched()

    def emptied(self) -> bool:
        """Say whether this request deleted the last attribute."""
        return bool(self._deleted or self._cleared) and not any(self.names())

    def changes(self) -> Changes:
        """Return the difference to what was stored: encodes what was assigned or could have changed in place.

        Raises:
            TypeError: a value holds something that cannot be stored; names the attribute.
        """
        if not self.may_differ():
            return NO_CHANGES
        values: dict[str, bytes] = {}
        for name, value in self._values.items():
            if name in self._written or name in self._exposed:
                payload = self._codec.encode(name, value)
                if payload == self._exposed.get(name):
                    continue  # before it is compressed, which costs more than all else
                payload = compressed(payload) if self._compresses else payload
                if payload != self._stored(name):
                    values[name] = payload
        values.update((name, payload) for name, payload in self.own.items() if payload is not None)
        gone = {name for name, payload in self.own.items() if payload is None and self.holds(name)}
        return _new(Changes, (values, frozenset(self._deleted | gone), self._cleared, self.interval, False))

    def rebase(self, base: dict[str, Entry], saved: Changes) -> None:
        """Go on from what is stored after `saved` was committed.

        A value the application holds stays the same object while it is what is stored; where another request's value
        won, the next read decodes that one.
        """
        former, values, exposed, self._base = self._base, self._values, self._exposed, base
        self._values, self._exposed = {}, {}
        for name, value in values.items():
            known = saved.values.get(name) or payload_of(former, name)
            if known is not None and known == payload_of(base, name):
                self._values[name] = value
                if type(value) not in IMMUTABLE:
                    self._exposed[name] = None if name in saved.values else exposed.get(name)
        self._written.clear()
        self._deleted.clear()
        self.own.clear()
        self._cleared = False
        self.interval = None

    def _stored(self, name: str) -> bytes | None:
        return payload_of(self._base, name)
