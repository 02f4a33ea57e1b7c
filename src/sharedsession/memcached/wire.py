"""The socket under a connection: sends and receives bytes in time, at as few system calls as it takes.

A socket with a Python time-out polls before each of its calls, and changing that time-out is a call of its own. So a
plain one blocks, with time-outs in the kernel (SO_RCVTIMEO, SO_SNDTIMEO) that suffice for nearly every answer; what
takes longer is waited for by poll. TLS, and sockets that are not the standard library's (gevent), keep Python's
time-outs.
"""

from __future__ import annotations

import _socket
import os
import select
import socket
import ssl
import struct
import time
from typing import Final

#: Seconds for which one node's answer is awaited before others that are outstanding are looked at.
TURN = 0.02
#: Seconds for which what has arrived already is read after the deadline.
_ARRIVED = 0.05
#: Bytes that an empty send buffer takes at once; to send more may take time.
_SENT_AT_ONCE: Final = 8192
_RECEIVE: Final = 65536
#: The kernel knows time-outs of its own, as POSIX has them.
_KERNEL_TIMES = os.name == "posix" and hasattr(select, "poll")
#: struct timeval of the kernel: seconds, microseconds.
_TIMEVAL = struct.Struct("@ll")


class Wire:
    """One connected socket.

    Args:
        sock: belongs to the wire from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket = sock
        self._plain: bool = _is_plain(sock) and _set_times(sock)

    def send(self, data: bytes, deadline: float) -> None:
        """Send bytes, by `deadline` (time.monotonic).

        Raises:
            OSError: they cannot be sent, or not in time (TimeoutError).
        """
        if self._plain and len(data) <= _SENT_AT_ONCE:
            try:
                self.sock.sendall(data)
            except BlockingIOError:
                raise TimeoutError("timed out") from None
            return
        self.sock.settimeout(_until(deadline))
        self.sock.sendall(data)
        if self._plain:
            self.sock.settimeout(None)

    def prompt(self) -> bytes | None:
        """Return the next bytes, b"" at the end, None if they take longer than `TURN`."""
        if not self._plain:
            return self.wait(time.monotonic() + TURN)
        try:
            return self.sock.recv(_RECEIVE)
        except BlockingIOError:
            return None

    def wait(self, until: float) -> bytes | None:
        """Return the next bytes, b"" at the end, None if they have not come by then (time.monotonic)."""
        # 0, which means "do not wait", finds what has arrived already.
        seconds = max(until - time.monotonic(), 0)
        if self._plain:
            return self.prompt() if self._has_come(seconds) else None
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(_RECEIVE)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return None

    def more(self, deadline: float) -> bytes:
        """Return the next bytes, b"" at the end.

        Raises:
            TimeoutError: none have come by `deadline` (time.monotonic).
        """
        # With an end for every piece: a server that trickles bytes must not stretch the time-out.
        if time.monotonic() > deadline + _ARRIVED:
            raise TimeoutError("timed out")
        received = self.wait(time.monotonic() + _until(deadline))
        if received is None:
            raise TimeoutError("timed out")
        return received

    def _has_come(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        # Up to the next millisecond: 0 would not wait.
        return bool(poll.poll(seconds and seconds * 1000 + 1))


def _is_plain(sock: socket.socket) -> bool:
    """Say whether it is the kernel's own: gevent's are no subclass, and TLS must not be read behind its back."""
    # TLS not by the class: gevent puts another in the place of ssl.SSLSocket.
    return _KERNEL_TIMES and _socket.socket in type(sock).__mro__ and not hasattr(sock, "do_handshake")


def _set_times(sock: socket.socket) -> bool:
    """Let the socket block, with time-outs in the kernel; say whether that has them."""
    sock.settimeout(None)
    try:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(0, int(TURN * 1_000_000)))
    except OSError:  # such as a 32-bit system whose struct timeval is longer
        return False
    return True


def _until(deadline: float) -> float:
    # Never 0, which would mean "do not wait": what has arrived already is still read after the deadline.
    return max(deadline - time.monotonic(), 0.001)
