"""Which share of all sessions lies on which nodes: exact, as a ring is the same along each stretch of its circle."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sharedsession.memcached.ring import Ring
from sharedsession.nodelist import NodeConfig

#: Copies of every session; a read that finds one missing asks one node more.
COPIES = 2
#: Of a preference list: enough for all questions asked here.
_DEPTH = 6

#: Names of nodes in order of preference.
Preference = tuple[str, ...]


def nodes(count: int, *, weights: Sequence[int] = (1,), zones: Sequence[str] = ("",)) -> list[NodeConfig]:
    """Return nodes n0, n1, ...; weights and zones are dealt out in turn."""
    return [
        NodeConfig(f"n{i}", ("10.0.0.1", 1 + i), weights[i % len(weights)], zones[i % len(zones)]) for i in range(count)
    ]


class Circle:
    """A ring with all its stretches.

    Args:
        members: its nodes.
    """

    def __init__(self, members: Sequence[NodeConfig]) -> None:
        self.nodes = list(members)
        self.ring = Ring(members)
        self.ends = [position for position, _ in self.ring.points()]
        self._lists = [self.ring._preference(index)[:_DEPTH] for index in range(len(self.ends))]

    def at(self, position: float) -> Preference:
        """Return the nodes of keys at this position, as `Ring.nodes_for` does."""
        return self._lists[bisect(self.ends, position) % len(self.ends)]

    def stretches(self) -> Iterator[tuple[float, Preference]]:
        """Yield the share of all keys that lies in each stretch, and its nodes."""
        before = self.ends[-1] - 1.0
        for end, names in zip(self.ends, self._lists, strict=True):
            yield end - before, names
            before = end

    def loads(self) -> dict[str, float]:
        """Return the copies that each node holds, as a share of all sessions."""
        found = dict.fromkeys((node.name for node in self.nodes), 0.0)
        for share, names in self.stretches():
            for name in names[:COPIES]:
                found[name] += share
        return found


def both(old: Circle, new: Circle) -> Iterator[tuple[float, Preference, Preference]]:
    """Yield the share of each stretch on which both rings are the same, and its nodes on either."""
    ends = sorted({*old.ends, *new.ends})
    for begin, end in zip([ends[-1] - 1.0, *ends[:-1]], ends, strict=True):
        position = begin % 1.0
        yield end - begin, old.at(position), new.at(position)


def summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the sum for each name."""
    found: dict[str, float] = defaultdict(float)
    for name, share in pairs:
        found[name] += share
    return found
