"""Carrying sessions away from a node before it is retired: what its readers would do one by one, for all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import StoreError
from .copies import Cluster, Copies
from .settle import repair


@dataclass
class Swept:
    """What became of the sessions of a node."""

    #: Keys that it held.
    found: int = 0
    #: Sessions, and marks of ended ones, that now have all their copies on other nodes.
    carried: int = 0
    #: Keys whose value was gone by then, or is no session that can be read.
    skipped: int = 0
    #: Sessions that could not be carried.
    failed: int = 0


def sweep(cluster: Cluster, node: str, keys: Iterable[str]) -> Swept:
    """Bring what `node` holds to where it belongs on a ring without that node. Nothing is prolonged.

    Args:
        cluster: the nodes that stay; its transport reaches the one that goes, too.
        node: name of the node that goes.
        keys: what it holds.
    """
    swept = Swept()
    for key in keys:
        swept.found += 1
        try:
            done = _carry(cluster, node, key)
        except StoreError:
            swept.failed += 1
        else:
            swept.carried += done
            swept.skipped += not done
    return swept


def _carry(cluster: Cluster, node: str, key: str) -> bool:
    copies = Copies(cluster, key)
    copies.read(None)
    copies.include(node)
    record = copies.seen()
    if record is None:
        return False
    record = repair(cluster, copies, record, max(copies.remaining, 1))
    return all(not copies.differs(name, record) for name in copies.current())
