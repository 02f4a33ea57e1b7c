"""What a forked worker (gunicorn --preload) must not inherit: sockets, held locks, threads that did not come along."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Holds something that a child process must replace."""

    def renew(self) -> None:
        """Start afresh in a forked child, where only the forking thread exists."""
        ...


_instances: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(instance: Renewable) -> None:
    """Call `instance.renew()` in every child forked from now on; does not keep the instance alive."""
    _instances.add(instance)


class Renewer:
    """Has an instance renewed that keeps this, and cannot itself be referred to weakly, as of a compiled class.

    Args:
        instance: what is to be renewed.
    """

    def __init__(self, instance: Renewable) -> None:
        self._instance = instance
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the instance."""
        self._instance.renew()


def _renew_all() -> None:
    for instance in list(_instances):
        instance.renew()


os.register_at_fork(after_in_child=_renew_all)
