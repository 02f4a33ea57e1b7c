"""The consistent-hash ring (ketama): which nodes hold a key, in which order. Pure.

Node *names* are hashed, so a node that gets another address keeps its keys. A node of weight w puts 160 w points on
the circle; a key belongs to the first node clockwise from its own point. Adding or removing a node moves only the
keys next to its points.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from bisect import bisect, bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from ..nodelist import NodeConfig

POINTS = 160
#: Nodes that are ever considered for one key: enough for its copies and all that may stand in for them.
LONGEST_LIST: Final = 12
_CIRCLE = 2**32
#: Looked up once: compiled, each time costs as much as the call.
_crc32: Final = zlib.crc32


class Ring:
    """Maps keys to nodes.

    Args:
        nodes: the nodes; their order does not matter.
    """

    def __init__(self, nodes: Sequence[NodeConfig]) -> None:
        points = sorted((point, node.name) for node in nodes for point in _node_points(node))
        self._points = array("I", (point for point, _ in points))
        # A table of the first bits in front: a search through 160,000 points would miss the processor's caches.
        bits = len(points).bit_length()
        self._shift = 32 - bits
        starts = (bisect_left(self._points, start << self._shift) for start in range((1 << bits) + 1))
        self._starts = array("I", starts)
        self._owners = [name for _, name in points]
        self._zones = {node.name: node.zone for node in nodes}
        self._zone_count = len({self._zone(node.name) for node in nodes})
        self._lists: dict[int, tuple[str, ...]] = {}

    def nodes_for(self, key: str) -> tuple[str, ...]:
        """Return the names of the nodes, at most `LONGEST_LIST`, in order of preference for `key`.

        The first are the key's home; the rest stand in, in turn, for those that are away. Where nodes name zones, a
        node of a zone not yet seen comes before one of a zone that has its copy.
        """
        point = key_point(key)
        bucket = point >> self._shift
        index = bisect(self._points, point, self._starts[bucket], self._starts[bucket + 1]) % len(self._points)
        found = self._lists.get(index)
        if found is None:
            # At most one list per point of the ring; two threads that make the same one do no harm.
            found = self._lists[index] = self._preference(index)
        return found

    def points(self) -> tuple[tuple[float, str], ...]:
        """Return every point as (position on the circle from 0 to below 1, node name), in order."""
        return tuple((point / _CIRCLE, name) for point, name in zip(self._points, self._owners, strict=True))

    def _preference(self, index: int) -> tuple[str, ...]:
        clockwise: dict[str, None] = {}
        seen: set[str] = set()
        enough = min(len(self._zones), LONGEST_LIST)
        for step in range(len(self._owners)):
            name = self._owners[(index + step) % len(self._owners)]
            clockwise[name] = None
            seen.add(self._zone(name))
            # On until every zone was met: one with few nodes may lie far away.
            if len(clockwise) >= enough and len(seen) >= min(self._zone_count, LONGEST_LIST):
                break
        return tuple(self._spread(clockwise)[:LONGEST_LIST])

    def _zone(self, name: str) -> str:
        return self._zones[name] or f"\0{name}"  # a node without a zone is a zone of its own

    def _spread(self, clockwise: Iterable[str]) -> list[str]:
        """Order nodes so that each round takes one node of every zone."""
        waiting = list(clockwise)
        order: list[str] = []
        while waiting:
            seen: set[str] = set()
            later: list[str] = []
            for name in waiting:
                (later if self._zone(name) in seen else order).append(name)
                seen.add(self._zone(name))
            waiting = later
        return order


def key_point(key: str) -> int:
    """Return a key's point on the circle, 0 to 2**32 - 1."""
    # Enough, since keys end with hashes of their own, which clients do not choose: all that is left is to spread them.
    return _crc32(key.encode())


def key_position(key: str) -> float:
    """Return a key's point as a fraction of the circle, 0 to below 1."""
    return key_point(key) / _CIRCLE


def _node_points(node: NodeConfig) -> Iterable[int]:
    # Ketama: each digest of "<name>-<number>" gives four points.
    for number in range(POINTS * node.weight // 4):
        digest = hashlib.md5(f"{node.name}-{number}".encode(), usedforsecurity=False).digest()
        for start in range(0, 16, 4):
            yield int.from_bytes(digest[start : start + 4], "little")
