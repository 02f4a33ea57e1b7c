"""Opening a socket to memcached (TCP, unix, IPv6, time-outs), by pymemcache: the only file that knows it."""

from __future__ import annotations

import socket

from pymemcache.client.base import Client


class _Opener(Client):  # type: ignore[misc]
    """pymemcache's part: connecting."""

    def open(self) -> socket.socket:
        self._connect()
        opened: socket.socket = self.sock
        return opened


def open_socket(address: tuple[str, int] | str, connect_timeout: float) -> socket.socket:
    """Return a connected socket, of gevent's kind where that has taken the place of the standard library's.

    Args:
        address: (host, port) or the path of a unix socket.
        connect_timeout: seconds to wait for the connection; the socket's time-out afterwards.

    Raises:
        OSError: there is none to be had.
    """
    # no_delay: without it a write followed by a read stalls 40 ms (Nagle against delayed acknowledgement).
    return _Opener(
        address, connect_timeout=connect_timeout, timeout=connect_timeout, no_delay=True, default_noreply=False
    ).open()
