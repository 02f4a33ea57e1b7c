"""A project's own engine, made from ours."""

from __future__ import annotations

from sharedsession.django import SessionStore as SharedStore


class SessionStore(SharedStore):
    """Says something of its own."""

    def greeting(self) -> str:
        """Return it."""
        return f"hello {self.get('a')}"
