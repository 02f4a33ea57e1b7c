"""Which keys a memcached server holds (its key dump): for a node that is to be swept."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from ..nodelist import NodeConfig
from .access import Access
from .connection import DumpRefusedError
from .node import Node
from .patience import Deadline

#: Seconds for which a server that is busy with another dump, or a round of its own, is asked again and again.
BUSY_PATIENCE = 60.0
_BUSY_PAUSE = 0.25
#: Seconds to wait for each piece. Long: a memcached before 1.6.26 may crash when its dump is cut off.
PIECE_PATIENCE = 10.0
#: The walk along the hash table, which misses nothing that moves meanwhile, is younger than memcached 1.6.9.
_WALKS = ("hash", "all")


class Listing(NamedTuple):
    """What a node holds."""

    #: Keys that begin with the prefix asked for.
    keys: list[str]
    #: Number of keys that do not.
    others: int


def list_keys(
    config: NodeConfig,
    prefix: str,
    access: Access | None = None,
    /,
    *,
    connect_timeout: float,
    busy_patience: float = BUSY_PATIENCE,
    piece_patience: float = PIECE_PATIENCE,
) -> Listing:
    """Ask a server for the keys of all its values.

    Args:
        config: the server.
        prefix: how the keys begin that are to be named; the others are only counted.
        access: TLS and authentication; None: neither.
        connect_timeout: seconds to wait for the connection.
        busy_patience: seconds for which a busy server is asked again.
        piece_patience: seconds to wait for each piece of the answer.

    Raises:
        OSError, ValueError, EOFError: it does not tell, or is busy for too long.
    """
    node = Node(config, connect_timeout, access=access)
    until = time.monotonic() + busy_patience
    walks = list(_WALKS)
    while True:
        try:
            return _list(node, prefix, walks[0], Deadline(connect_timeout), piece_patience)
        except DumpRefusedError as error:
            if error.reply.startswith("BADCLASS") and len(walks) > 1:
                walks.pop(0)
            elif error.reply.startswith("BUSY") and time.monotonic() < until:
                time.sleep(_BUSY_PAUSE)
            else:
                raise


def _list(node: Node, prefix: str, walk: str, deadline: Deadline, patience: float) -> Listing:
    connection = node.open(deadline)
    try:
        return _sort(connection.keys(walk, patience), prefix)
    except TimeoutError:
        raise TimeoutError("it does not tell its keys in time; is another dump under way?") from None
    finally:
        connection.close()


def _sort(found: Iterable[str], prefix: str) -> Listing:
    keys: list[str] = []
    others = 0
    for key in found:
        if key.startswith(prefix):
            keys.append(key)
        else:
            others += 1
    return Listing(keys, others)
