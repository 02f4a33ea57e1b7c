"""Copies in different zones: where they lie, what crosses between zones, what the loss of one costs."""

from __future__ import annotations

from typing import NamedTuple

from .circle import COPIES, Circle, Preference, summed


class Zoned(NamedTuple):
    """What a ring over several zones does."""

    #: Share of all sessions whose copies are all in one zone: lost with it, as a mean over the zones.
    lost: float
    #: Share of all sessions that has a copy in a zone: left with fewer copies when that is lost.
    touched: float
    #: Commands of a read that leave the application node's zone.
    crossing: float
    #: Load of the node that holds most, relative to the mean.
    most: float
    #: The same while a zone is away.
    most_without: float


def zoned(circle: Circle, names: dict[str, str]) -> Zoned:
    """Return what the ring does.

    Args:
        circle: the ring.
        names: node -> the zone it is in, whether or not the ring knows.
    """
    zones = sorted(set(names.values()))
    lost = touched = crossing = 0.0
    for share, preference in circle.stretches():
        homes = [names[node] for node in preference[:COPIES]]
        lost += share * (len(set(homes)) == 1) / len(zones)
        touched += share * len(set(homes)) / len(zones)
        crossing += share * sum(home != zone for home in homes for zone in zones) / len(zones)
    mean = COPIES / len(circle.nodes)
    without = max(_without(circle, names, zone) for zone in zones)
    return Zoned(lost, touched, crossing, max(circle.loads().values()) / mean, without)


def _without(circle: Circle, names: dict[str, str], away: str) -> float:
    """Return the load of the node that holds most while a zone is away, relative to the mean with all zones."""

    def standing(preference: Preference) -> list[str]:
        return [node for node in preference if names[node] != away][:COPIES]

    loads = summed((node, share) for share, preference in circle.stretches() for node in standing(preference))
    return max(loads.values()) * len(circle.nodes) / COPIES
