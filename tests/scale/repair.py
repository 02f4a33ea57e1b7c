"""After a node has lost its copies: its sessions' users come back one by one, and each read repairs one session."""

from __future__ import annotations

import random
from typing import NamedTuple


class Users(NamedTuple):
    """How people use a site: a visit of many requests, then nothing more until the session expires."""

    name: str
    #: Mean seconds between two requests of a visit.
    think: float
    #: Mean seconds of a visit.
    visit: float
    #: Seconds of idle life: `max_inactive_interval`.
    interval: float = 1800.0

    @property
    def active(self) -> float:
        """Share of the stored sessions whose visit goes on (Little's law); the others wait to expire."""
        return self.visit / (self.visit + self.interval)

    def requests(self, sessions: float) -> float:
        """Return the requests a second of that many stored sessions."""
        return sessions * self.active / self.think


USERS = (Users("busy", 5, 600), Users("usual", 30, 300), Users("calm", 120, 600))


class Recovery(NamedTuple):
    """What became of the sessions that had lost a copy."""

    #: How many.
    sessions: int
    #: How many were read again, so repaired; the others expired unread.
    repaired: int
    #: Repairs in the first second.
    first_second: int
    #: Seconds until a half, 90 % and 99 % of those that were ever repaired were.
    half: float
    most: float
    nearly: float
    #: Seconds -> sessions that then still had one copy less, and had not expired.
    thin: dict[int, int]


def recover(users: Users, sessions: int, seed: int, moments: tuple[int, ...] = (0, 60, 300, 1800)) -> Recovery:
    """Play the users of some sessions from the moment on at which each has lost a copy."""
    chance = random.Random(seed)
    repaired, ends = [], []
    for _ in range(sessions):
        read, gone = _fate(users, chance)
        if read < gone:
            repaired.append(read)
        ends.append(min(read, gone))
    repaired.sort()
    thin = {moment: sum(end > moment for end in ends) for moment in moments}
    half, most, nearly = (repaired[int(len(repaired) * share)] for share in (0.5, 0.9, 0.99))
    return Recovery(sessions, len(repaired), sum(time < 1 for time in repaired), half, most, nearly, thin)


def _fate(users: Users, chance: random.Random) -> tuple[float, float]:
    """Return when a session is read next, and when it expires if it is not."""
    if chance.random() >= users.active:
        return float("inf"), chance.uniform(0, users.interval)
    # The exponential distribution has no memory: what was before does not matter.
    next_request, leaves = chance.expovariate(1 / users.think), chance.expovariate(1 / users.visit)
    if next_request < leaves:
        return next_request, float("inf")
    return float("inf"), max(users.interval - chance.expovariate(1 / users.think), 0.0)
