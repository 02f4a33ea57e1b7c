"""Watches every log record of the whole suite, at every level, for what must never be in a log.

Session ids, storage keys and the random part of either; secrets; values of attributes. In records of the library all
of them count, in those of anybody else ids and secrets. A test during which such a record is made fails and shows it.

The watch stands where loggers hand their records on, before levels and handlers: so it sees what is too fine for any
level set, and changes nothing of what handlers and `caplog` see.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from storage import SECRET as STORAGE_SECRET
from webclient import SECRET

from sharedsession.values import ValueCodec

#: 64 hexadecimal digits are an id or a storage key, 32 the random part of an id or its MAC.
_IDS = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-zA-Z])")
#: Names of nodes known by an IPv6 address are 32 digits too (`discovery`): of documentation, loopback and private use.
_NOT_IDS = re.compile(r"(?:20010db8|0{8}|f[cd]00)[0-9a-f]{24}")
#: Logs, at debug level, the variables of the page that Django shows with DEBUG=True: all of the request, cookies too.
_DEBUG_PAGES = "django.template"
#: A shorter value may stand in a log by chance.
_SHORTEST_VALUE = 10
_VALUES_KEPT = 5000
#: How deep in containers a value is looked for.
_DEEPEST = 5

#: What nothing may log: secrets that tests use. Others are added by `guard`.
_SECRETS: set[str] = {SECRET, STORAGE_SECRET.decode()}


def guard(secret: str) -> str:
    """Add a secret to those that nothing may log; return it."""
    _SECRETS.add(secret)
    return secret


class Watch:
    """Looks at records and keeps the texts of those that tell too much."""

    def __init__(self) -> None:
        self.looked_at = 0
        self._leaks: list[str] = []
        self._values: OrderedDict[str, None] = OrderedDict()

    def look(self, record: logging.LogRecord) -> None:
        """Search a record: its message, its arguments, and its traceback."""
        self.looked_at += 1
        if record.name == _DEBUG_PAGES:
            return
        text = _text_of(record)
        found = self._ids(text) + [secret for secret in _SECRETS if secret in text]
        if record.name.partition(".")[0] == "sharedsession":
            found += [value for value in self._values if value in text]
        if found:
            self._leaks.append(f"{record.name} logged {found}: {text}")

    def remember(self, value: object, depth: int = 0) -> None:
        """Take note of what an attribute holds: texts and bytes, inside containers too."""
        if depth > _DEEPEST:
            return
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str) and len(value) >= _SHORTEST_VALUE:
            self._values[value[:200]] = None
            if len(self._values) > _VALUES_KEPT:
                self._values.popitem(last=False)
        elif isinstance(value, dict):
            self.remember([*value, *value.values()], depth + 1)
        elif isinstance(value, list | tuple | set | frozenset):
            for item in list(value)[:20]:
                self.remember(item, depth + 1)

    def take(self) -> list[str]:
        """Return the texts of records that told too much, and forget them."""
        leaks, self._leaks = self._leaks, []
        return leaks

    @staticmethod
    def _ids(text: str) -> list[str]:
        return [found for found in _IDS.findall(text) if not _NOT_IDS.fullmatch(found)]


def _text_of(record: logging.LogRecord) -> str:
    try:
        parts = [record.getMessage()]
    except Exception:  # a record that cannot be formatted: logging says so by itself
        parts = [str(record.msg)]
    parts.append(repr(record.args))
    if record.exc_info and record.exc_info[1] is not None:
        parts += traceback.format_exception(record.exc_info[1])
    return "\n".join([*parts, record.stack_info or ""])


WATCH = Watch()


def pytest_configure(config: pytest.Config) -> None:
    """Put the watch between loggers and handlers, until the process ends."""
    patch = pytest.MonkeyPatch()
    is_enabled, handle, encode = logging.Logger.isEnabledFor, logging.Logger.handle, ValueCodec.encode

    def watched(logger: logging.Logger, record: logging.LogRecord) -> None:
        WATCH.look(record)
        if is_enabled(logger, record.levelno):
            handle(logger, record)

    def remembered(codec: ValueCodec, name: str, value: Any) -> bytes:
        WATCH.remember(value)
        return encode(codec, name, value)

    patch.setattr(logging.Logger, "isEnabledFor", lambda logger, level: True)
    patch.setattr(logging.Logger, "handle", watched)
    patch.setattr(ValueCodec, "encode", remembered)
    config.add_cleanup(patch.undo)


@pytest.fixture(autouse=True)
def _watch_logs() -> Iterator[None]:
    yield
    leaks = WATCH.take()
    assert not leaks, "\n".join(["what must never be in a log:", *leaks])
