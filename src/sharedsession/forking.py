"""What a forked worker (gunicorn --preload) must not inherit: sockets, held locks, threads that did not come along."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
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
    """Calls a function in every child forked while this is kept: for what cannot itself be referred to weakly.

    Args:
        renew: the function. One that holds what keeps this makes a cycle, which only the collector ends.
    """

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        renew_after_fork(self)

    def renew(self) -> None:
        """Call the function."""
        self._renew()


def _renew_all() -> None:
    for instance in list(_instances):
        try:
            instance.renew()
        except Exception:  # whatever it was, the others must not go on with what they inherited
            logging.getLogger("sharedsession").exception("cannot start afresh in a forked child")


os.register_at_fork(after_in_child=_renew_all)
