"""sharedsession as `./run compile` makes it, around a bare WSGI application."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_TREE = Path(__file__).resolve().parents[3] / "build" / "compiled" / "src"


def build(ports: list[int]) -> WSGIApplication:
    """Return the application, with one memcached node a copy; to be called before anything of ours is imported."""
    sys.path.insert(0, str(_TREE))
    from sharedsession import life

    from . import ours

    if not str(life.__file__).endswith(".so"):
        raise RuntimeError("nothing is compiled: ./run compile")
    return ours.build(ports)
