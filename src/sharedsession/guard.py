"""What speaks for or against a client, beside the id that it shows: asked of the request, or of the application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from hmac import compare_digest
from pathlib import PurePath
from typing import TypeVar

from .dialogue import Request
from .record import OWN, Changes, Record
from .stats import Stats

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")

#: The attribute that holds the hash of what a session's client looks like; the application never sees it.
FINGERPRINT = OWN + "fingerprint"


class Client:
    """A request's client. A function of the application's is asked once, and its faults are no answer to the client.

    Args:
        request: what can be asked.
        stats: counts `hook_errors`, `refused_creations`.
    """

    def __init__(self, request: Request, stats: Stats) -> None:
        self._request = request
        self._stats = stats
        self._shown: Sequence[bytes] | None = None
        self._was_asked = False
        self._may_create: bool | None = None

    def owns(self, record: Record) -> bool:
        """Say whether the client looks like the one whose session it is. One that was never bound is anybody's.

        A function that fails has told nothing, and nothing is not what a bound session's client looks like.
        """
        stored = record.payload(FINGERPRINT)
        shown = None if stored is None else self._fingerprint()
        return stored is None or shown is None or any(compare_digest(stored, each) for each in shown)

    def bind(self, changes: Changes, record: Record | None) -> Changes:
        """Return the changes with the fingerprint, if the session does not carry it yet, or not under the present key.

        Args:
            changes: what is to be stored.
            record: the session as it is stored; None: a new one.
        """
        stored = None if record is None else record.payload(FINGERPRINT)
        shown = self._fingerprint()
        wanted = shown[0] if shown else stored
        # A clear() sweeps the library's own attributes away too.
        if wanted is None or (wanted == stored and not changes.cleared):
            return changes
        return changes._replace(values={**changes.values, FINGERPRINT: wanted})

    def may_create(self) -> bool:
        """Say whether a new session may be stored; a function that fails means no.

        A limit of which whoever makes it fail is free would be none.
        """
        if self._may_create is None:
            self._may_create = self._ask("may_create", self._request.may_create, otherwise=False)
            if not self._may_create:
                self._stats.warn("refused_creations", "may_create refused a new session", level=logging.INFO)
        return self._may_create

    def from_elsewhere(self) -> bool:
        """Say whether another site caused the request, so that the browser has kept its cookie back."""
        return self._request.from_elsewhere()

    def _fingerprint(self) -> Sequence[bytes] | None:
        if not self._was_asked:
            self._was_asked = True
            self._shown = self._ask("fingerprint", self._request.fingerprint, otherwise=())
        return self._shown

    def _ask(self, option: str, question: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
        try:
            return question()
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not become a 500
            where = _place_of(error)
            self._stats.warn("hook_errors", "the function in %s failed with %s", option, where, about=option)
            return otherwise


def _place_of(error: Exception) -> str:
    """Return an error's kind and where it was raised; not its text, which may hold what the client sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
