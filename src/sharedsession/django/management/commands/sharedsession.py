"""`manage.py sharedsession`: asks every memcached node now, and says how it answers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ....diagnostics import probe
from ....errors import ConfigError
from ...options import current_parts


class Command(BaseCommand):
    """Shows the health of the memcached nodes; fails when one does not answer."""

    help = "Asks every memcached node of the session store and shows how it answers; exit status 1 if one does not."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line a node.

        Raises:
            CommandError: a node does not answer, or the settings are wrong.
        """
        try:
            parts = current_parts()
        except ConfigError as error:
            raise CommandError(f"the settings are wrong: {error}") from error
        probed = probe(parts)
        if not probed:
            self.stdout.write("no memcached nodes are configured: sessions are kept in each process")
        for node in probed:
            self.stdout.write(f"{node.name:<12} {node.address:<24} {node}")
        down = [node.name for node in probed if not node.answers]
        if down:
            raise CommandError(f"{len(down)} of {len(probed)} nodes do not answer: {', '.join(down)}")
