"""Sessions of 1 KiB to 900 KiB."""

from __future__ import annotations

import json
import random
from contextlib import ExitStack
from itertools import cycle, islice
from typing import Any

from servers import Memcached

from ..figures import SAME, Spread
from ..payloads import PAYLOADS, SMALL
from ..timing import cores, start_servers
from .meter import in_turn, pinned, table
from .site import ACTS, Site

#: KiB as JSON.
SIZES = (1, 20, 200, 900)
#: Requests a round.
_COUNTS = {1: 50, 20: 20, 200: 4, 900: 2}
_ROUNDS = 9
_PATHS = tuple(ACTS)


def cart(size: int) -> dict[str, Any]:
    """Return a session of about `size` KiB as JSON: a small part, and a cart with many lines."""
    lines = list(islice(cycle(PAYLOADS["huge"]["cart"]), 8 * size))
    each = len(json.dumps(lines)) / len(lines)
    return SMALL | {"cart": lines[: round((size * 1024 - len(json.dumps(SMALL))) / each)]}


def noise(size: int) -> dict[str, Any]:
    """Return a session of `size` KiB of bytes that no compression makes smaller."""
    return SMALL | {"photo": random.Random(size).randbytes(size * 1024)}


def measure() -> list[str]:
    """Return the section."""
    rows: list[tuple[object, ...]] = []
    with ExitStack() as stack:
        servers = start_servers(stack, cores()[SAME])
        stack.enter_context(pinned(cores()[SAME]))
        for what, made in (("cart", cart), ("noise", noise)):
            rows += [_row(servers, f"{size} KiB of {what}", made(size), _COUNTS[size]) for size in SIZES]
    return [
        "## Large sessions",
        "",
        f"Microseconds of the process's CPU for a request, `copies=2`: median and quartiles of {_ROUNDS} rounds. A",
        "cart is many small JSON-like values, noise is one attribute of random bytes; either has small attributes",
        "beside it. *Read* and *change* touch one of these, *readall* all. Stored is one copy; values above 2 KiB are",
        "compressed.",
        "",
        *table(("session", "stored", *(path[1:] for path in _PATHS)), rows),
    ]


def _row(servers: list[Memcached], title: str, values: dict[str, Any], count: int) -> tuple[object, ...]:
    site = Site(servers, 2)
    before = stored_bytes(servers)
    cookie = site.create(values)
    stored = (stored_bytes(servers) - before) / len(servers)
    found = in_turn({path: (site.request(path, cookie), count) for path in _PATHS}, _ROUNDS)
    return title, f"{stored / 1024:.1f} KiB", *(_rounded(found[path]) for path in _PATHS)


def stored_bytes(servers: list[Memcached]) -> int:
    """Return the bytes of all items, on all nodes together."""
    return sum(server.stats()["bytes"] for server in servers)


def _rounded(found: Spread) -> str:
    return f"{found.middle:,.0f} ({found.low:,.0f} to {found.high:,.0f})"
