"""What every operation on stored records needs: the nodes, how to speak with them, and how records are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..codec import RecordCodec
from ..record import SLACK, Record, life
from ..stats import Stats
from .commands import Transport
from .health import Health
from .ring import Ring


@dataclass
class Cluster:
    """What every operation needs: the nodes and how to speak with them. `Membership` alone changes it."""

    ring: Ring
    transport: Transport
    health: Health
    codec: RecordCodec
    stats: Stats
    #: Copies of every record: all nodes, where there are fewer.
    copies: int
    #: Copies that must have taken a change.
    required: int
    #: Seconds since the epoch.
    clock: Callable[[], float]
    #: Called with the number of the round after a lost compare-and-swap: waits a little.
    pause: Callable[[int], None]
    #: Seconds after its creation at which a session ends; None: no limit.
    max_lifetime: int | None = None

    def ttl(self, record: Record) -> int:
        """Return the life in seconds that memcached gives the record: a tombstone's outlives every orphan copy."""
        if record.state:
            return record.longest + SLACK
        ttl = life(record.max_inactive_interval)
        if self.max_lifetime is not None:
            ttl = min(ttl, record.created + self.max_lifetime - int(self.clock()))
        return max(ttl, 1)
