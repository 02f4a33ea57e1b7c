"""From 100 sessions in memcached to 100,000."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack

from servers import Memcached

from ..figures import SAME, Spread
from ..payloads import SMALL
from ..timing import cores, start_servers
from .meter import in_turn, pinned, table
from .site import Site

COUNTS = (100, 1000, 10_000, 100_000)
_READS = 300
_ROUNDS = 9


def measure() -> list[str]:
    """Return the section."""
    cookies: list[str] = []
    rows = []
    with ExitStack() as stack:
        servers = start_servers(stack, cores()[SAME])
        stack.enter_context(pinned(cores()[SAME]))
        site = Site(servers, 2)
        for count in COUNTS:
            cookies += [site.create(SMALL) for _ in range(count - len(cookies))]
            rows.append((f"{count:,}", _read(site, cookies), *_memory(servers, count)))
    columns = ("sessions", "us of CPU for a read", "bytes of a copy", "bytes of memory a copy")
    return [
        "## Many sessions",
        "",
        f"The small session, `copies=2` on two nodes; reads of {_READS} sessions chosen at random, median and",
        f"quartiles of {_ROUNDS} rounds. *Bytes of a copy* are memcached's item: record, key and header; *memory* is",
        "what its slabs take for them, whole pages of 1 MiB, which says something from 10,000 sessions on.",
        "",
        *table(columns, rows),
    ]


def _read(site: Site, cookies: list[str]) -> Spread:
    chance = random.Random(len(cookies))

    def read() -> None:
        for cookie in chance.choices(cookies, k=_READS):
            request(cookie)()

    request: Callable[[str], Callable[[], object]] = lambda cookie: site.request("/read", cookie)  # noqa: E731
    return in_turn({"read": (read, 1)}, _ROUNDS, each=_READS)["read"]


def _memory(servers: list[Memcached], count: int) -> tuple[str, str]:
    items = sum(server.stats()["bytes"] for server in servers)
    pages = sum(_slabs(server) for server in servers)
    return f"{items / count / len(servers):.0f}", f"{pages / count / len(servers):,.0f}"


def _slabs(server: Memcached) -> int:
    reply = server.command(b"stats slabs").decode().split()
    return int(reply[reply.index("total_malloced") + 1])
