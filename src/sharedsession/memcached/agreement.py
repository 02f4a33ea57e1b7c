"""Do all nodes of an application have the same secret? Where they do not, each takes the others' ids for forged.

That would show as log-outs and nothing else. So each process leaves a truncated check value of its keys in memcached
when it first creates a session, and looks at what is there then, and when it meets a forged id. A check value is 32
bits of a MAC: enough to tell two keys apart, and no help to whoever looks for a key.
"""

from __future__ import annotations

import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..forking import renew_after_fork
from ..ids import derive_keys
from ..stats import Stats, logger
from .cluster import Cluster
from .commands import Found, Get, Missing, Put

#: Seconds for which what a process left is kept: the longest that memcached counts from now.
_KEPT = 30 * 86400
#: Seconds between two looks because of forged ids, which anybody can send.
_LOOK_INTERVAL = 600.0
_LEFT = re.compile(rb"sharedsession secret 1 ([0-9a-f]{8})")


class Difference(NamedTuple):
    """Another process signs with a key that is none of ours."""

    #: Check value of our signing key, and of theirs.
    ours: str
    theirs: str

    def __str__(self) -> str:
        return (
            f"another application node signs with a secret_key that this one does not know (check values {self.ours} "
            f"here, {self.theirs} there): each takes the other's session ids for forged. Give all nodes of an "
            "application the same secret_key, or the new one as a fallback first; another application on the same "
            "memcached nodes needs a key_prefix of its own"
        )


class Agreement:
    """Compares this process's keys with those of others.

    Args:
        cluster: where check values are left.
        keys: the signing key, then the fallbacks.
        key_prefix: start of every storage key.
        stats: counts `secrets_differ`.
    """

    def __init__(self, cluster: Cluster, keys: tuple[bytes, ...], key_prefix: str, stats: Stats) -> None:
        self._cluster = cluster
        derived = derive_keys(keys, "sharedsession.check.v1", key_prefix)
        self._values = [hmac.digest(key, b"check", "sha256")[:4].hex() for key in derived]
        # It does not begin with the prefix: it is no session.
        self._key = f"secret-of:{key_prefix}"
        self._stats = stats
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child: it has a first use of its own."""
        self._used = False
        self._looked = -_LOOK_INTERVAL
        self._said = False

    def note_use(self) -> None:
        """Note that an id was signed here; the first time, look and leave our check value, in the background."""
        if not self._used:
            self._used = True
            self._begin(self.leave)

    def note_forged(self) -> None:
        """Note a forged id: from time to time, look whether another node has made it, in the background."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_INTERVAL:
            self._looked = now
            self._begin(self.say)

    def compare(self) -> Difference | None:
        """Ask the nodes what others have left; return how it differs, None if it does not or nothing is there."""
        return self._compare(self._look())

    def say(self) -> None:
        """Compare, and log a difference, once."""
        self._say(self._look())

    def leave(self) -> None:
        """Compare, and leave our check value for the others."""
        looked = self._look()
        self._say(looked)
        value = f"sharedsession secret 1 {self._values[0]}".encode()
        stale = {node: found for node, found in looked.items() if found is None or found.value != value}
        self._cluster.transport.ask(
            [
                (node, Put(self._key, value, _KEPT, found.token if found else None, repeatable=False))
                for node, found in stale.items()
            ]
        )

    def _compare(self, looked: Mapping[str, Found | None]) -> Difference | None:
        differences = (self._difference(found) for found in looked.values() if found is not None)
        return next((difference for difference in differences if difference is not None), None)

    def _say(self, looked: Mapping[str, Found | None]) -> None:
        difference = self._compare(looked)
        if difference is None:
            return
        self._stats.count("secrets_differ")
        if not self._said:
            self._said = True
            logger.error("%s", difference)

    def _difference(self, found: Found) -> Difference | None:
        left = _LEFT.fullmatch(found.value)
        theirs = left[1].decode() if left else self._values[0]
        return None if theirs in self._values else Difference(self._values[0], theirs)

    def _look(self) -> dict[str, Found | None]:
        """Return what each node that answers holds."""
        up = [node for node in self._cluster.ring.nodes_for(self._key) if node not in self._cluster.health.down]
        nodes = up[: self._cluster.copies]
        answers = self._cluster.transport.ask([(node, Get(self._key, None)) for node in nodes])
        return {
            node: answer if isinstance(answer, Found) else None
            for node, answer in zip(nodes, answers, strict=True)
            if isinstance(answer, Found | Missing)
        }

    def _begin(self, work: Callable[[], None]) -> None:
        try:
            threading.Thread(target=work, name="sharedsession-secret", daemon=True).start()
        except RuntimeError:  # no thread to be had now: another process will tell
            self._used = False
