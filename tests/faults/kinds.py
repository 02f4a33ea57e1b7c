"""What can be wrong with the way between an application process and a memcached node."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .proxy import Way


class Fault:
    """What a link does to connections, commands and replies; this one: nothing."""

    #: New connections are refused and those that are open break.
    refuses = False
    #: New connections are not even refused: nothing answers, as when the machine has gone.
    silent = False

    def command(self, data: bytes, way: Way) -> None:
        """Handle bytes on their way to memcached."""
        way.forward(data)

    def reply(self, frame: bytes, way: Way) -> None:
        """Handle one reply on its way to the application."""
        way.deliver(frame)


class Refuse(Fault):
    """The port is closed; open connections break."""

    refuses = True


class Silent(Fault):
    """The machine has gone: no packet is answered."""

    silent = True

    def command(self, data: bytes, way: Way) -> None:
        """Lose it."""

    def reply(self, frame: bytes, way: Way) -> None:
        """Lose it."""


class Swallow(Fault):
    """Connections are accepted; commands get lost, so nothing answers."""

    def command(self, data: bytes, way: Way) -> None:
        """Lose it."""

    def reply(self, frame: bytes, way: Way) -> None:
        """Lose it."""


class Mute(Fault):
    """Commands are executed, but no reply comes back."""

    def reply(self, frame: bytes, way: Way) -> None:
        """Lose it."""


class Delay(Fault):
    """Every reply takes `seconds` longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def reply(self, frame: bytes, way: Way) -> None:
        """Send it later."""
        way.deliver(frame, self._seconds)


class Trickle(Fault):
    """Replies come byte by byte, `seconds` apart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def reply(self, frame: bytes, way: Way) -> None:
        """Send it in pieces of one byte."""
        for index in range(len(frame)):
            way.deliver(frame[index : index + 1], self._seconds, one_after_the_other=True)


class Sometimes(Fault):
    """Does something to a part of the replies, at random but the same in every run.

    Args:
        share: part of the replies, 0 to 1.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._random = random.Random(f"{type(self).__name__} {share}")

    def reply(self, frame: bytes, way: Way) -> None:
        """Treat it or let it pass."""
        if self._random.random() < self._share:
            self.treat(frame, way, self._random.randrange(len(frame)))
        else:
            way.deliver(frame)

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Do it, at one byte if it concerns one."""
        raise NotImplementedError


class Cut(Sometimes):
    """The connection breaks in mid reply."""

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Send the first part and hang up."""
        way.deliver(frame[:at])
        way.hang_up()


class Corrupt(Sometimes):
    """One byte of the reply is another."""

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Flip some bits of one byte."""
        way.deliver(frame[:at] + bytes([frame[at] ^ self._random.randrange(1, 256)]) + frame[at + 1 :])


class Stutter(Sometimes):
    """One byte of the reply comes twice."""

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Repeat one byte."""
        way.deliver(frame[: at + 1] + frame[at:])


class Repeat(Sometimes):
    """The reply comes twice, so that the connection is one reply ahead."""

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Send it twice, the second time when the first has been taken."""
        way.deliver(frame)
        way.deliver(frame, 0.002)


class Drop(Sometimes):
    """The reply gets lost, so that the connection is one reply behind."""

    def treat(self, frame: bytes, way: Way, at: int) -> None:
        """Lose it."""


class Behind(Fault):
    """The last reply comes once more before the next one: from then on each answers the question before its own."""

    def command(self, data: bytes, way: Way) -> None:
        """Put the connection out of step, once."""
        if way.last and not way.behind:
            way.behind = True
            way.deliver(way.last)
        way.forward(data)


class Forget(Fault):
    """Open connections are dead without a word, as behind a NAT that has restarted; new ones work."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def command(self, data: bytes, way: Way) -> None:
        """Lose it on a connection from before."""
        if way.opened > self._begun:
            way.forward(data)


NOTHING = Fault()
