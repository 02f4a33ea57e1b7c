"""What the steps of the check share: the cluster, a client with a session, and a few questions to ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .client import Client, Reply
from .cluster import Cluster
from .process import wait_until

#: Seconds within which a node that is back must be in use again everywhere.
RETURN_TIME = 10.0


class Broken(Exception):
    """A promise did not hold."""


def require(holds: bool, otherwise: object) -> None:
    """Raise Broken with what was found instead, unless it holds."""
    if not holds:
        raise Broken(str(otherwise))


@dataclass
class Scene:
    """A running cluster and one user whose session lives through all steps."""

    cluster: Cluster
    user: Client

    @property
    def doors(self) -> list[int]:
        """The ports of the application nodes: past the balancer, one node asked by name."""
        return [app.port for app in self.cluster.apps.values()]

    def copies(self, door: int | None = None) -> list[str]:
        """Return the nodes that hold the user's session, as an application node sees it."""
        return list(self.user.at(door or self.user.port).get("/api/copies").body["copies"])

    def counter(self) -> list[int]:
        """Return the user's counter as each application node reads it."""
        replies = [self.user.at(door).get("/api/session") for door in self.doors]
        return [reply.body["attributes"].get("count", 0) for reply in replies]

    def await_return(self, name: str) -> None:
        """Wait until both application nodes use a memcached node again and have read the user's session."""

        def used(door: int) -> bool:
            self.user.at(door).get("/api/session")
            return bool(self.user.at(door).get("/api/health").body["up"][name])

        for door in self.doors:
            require(wait_until(partial(used, door), RETURN_TIME, 0.1), f"{name} is not used again")
        self.counter()


def require_fresh(reply: Reply, presented: str) -> str:
    """Require that an id was not taken over: a count with it began a session of its own. Return that one's id."""
    require(reply.status == 200, f"{reply.status} for {presented[:40]!r}: {reply.text[:80]}")
    require(reply.body["count"] == 1, f"data for {presented[:40]!r}: {reply.text}")
    require(reply.body["id"].partition(".")[0] != presented.partition(".")[0], f"{presented[:40]!r} was adopted")
    require(reply.cookie is not None, f"no cookie in place of {presented[:40]!r}")
    return str(reply.body["id"])
