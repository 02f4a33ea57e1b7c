"""How evenly sessions lie on the nodes, and on whom a node's load falls when it is away."""

from __future__ import annotations

import hashlib
from collections import Counter
from statistics import fmean, pstdev
from typing import NamedTuple

from sharedsession.memcached.ring import Ring

from .circle import COPIES, Circle, summed


class Balance(NamedTuple):
    """Loads of nodes for each unit of weight, relative to the mean."""

    least: float
    most: float
    deviation: float


def balance(circle: Circle) -> Balance:
    """Return how evenly all copies lie."""
    weights = {node.name: node.weight for node in circle.nodes}
    loads = [load / weights[name] for name, load in circle.loads().items()]
    mean = COPIES / sum(weights.values())
    return Balance(min(loads) / mean, max(loads) / mean, pstdev(loads) / mean)


class Relief(NamedTuple):
    """Who stands in for a node that is away."""

    #: Nodes among which its copies are spread.
    helpers: int
    #: What the one that takes most takes more than before, as a share of a mean node's load.
    most: float


def relief(circle: Circle, away: str) -> Relief:
    """Return who holds the copies of one node while it is away."""
    taken = summed((names[COPIES], share) for share, names in circle.stretches() if away in names[:COPIES])
    return Relief(len(taken), max(taken.values()) * len(circle.nodes) / COPIES)


def worst_pair(circle: Circle) -> float:
    """Return the largest share of all sessions that lies on the same two nodes: what two losses cost at most."""
    pairs = summed(("+".join(sorted(names[:COPIES])), share) for share, names in circle.stretches())
    return max(pairs.values())


class Sample(NamedTuple):
    """Keys that were looked up, against the exact shares."""

    keys: int
    #: Root mean square of (counted - expected), in standard deviations of counting: about 1 when all is well.
    error: float
    #: One such deviation, as a share of a node's sessions.
    grain: float


def sample(circle: Circle, keys: int) -> Sample:
    """Look keys up as the library does, and compare the first copies with the exact shares."""
    counts = Counter(circle.ring.nodes_for(_key(number))[0] for number in range(keys))
    expected = summed((names[0], share * keys) for share, names in circle.stretches())
    errors = [(counts[name] - mean) ** 2 / mean for name, mean in expected.items()]
    return Sample(keys, fmean(errors) ** 0.5, (len(circle.nodes) / keys) ** 0.5)


def _key(number: int) -> str:
    """Return a storage key: a prefix and a SHA-256, as the library makes them."""
    return "sharedsession:" + hashlib.sha256(b"%d" % number).hexdigest()


def agrees(circle: Circle, ring: Ring, keys: int) -> bool:
    """Say whether every key's nodes are those of its stretch."""
    from sharedsession.memcached.ring import key_position

    return all(
        ring.nodes_for(key)[: len(names)] == names
        for key in map(_key, range(keys))
        for names in [circle.at(key_position(key))]
    )
