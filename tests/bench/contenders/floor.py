"""The floor: sessions by hand, with nothing but what the wire and the encoding cost.

No signature, no merge, no ring, no faults, no options; the cookie is nothing but the id. What is faster than this
leaves something out.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgpack

from bench.payloads import PAYLOADS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_RECEIVE = 65536
_TTL = 1800


def build(ports: list[int]) -> WSGIApplication:
    """Return the application."""
    return Floor(ports)


class Floor:
    """The application, with one blocking socket a copy."""

    def __init__(self, ports: list[int]) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for port in ports]
        for connection in self._sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        _, kind, payload = environ["PATH_INFO"].split("/")
        if kind == "untouched":
            return self._answer(b"untouched", "", start_response)
        if kind == "create":
            return self._create(PAYLOADS[payload], b"", start_response)
        key = environ["HTTP_COOKIE"][4:].encode()
        session, token = self._load(key)
        if session is None or kind == "logout":
            self._ask(b"md %b\r\n" % key)
            return self._answer(b"None", "", start_response)
        if kind == "login":
            return self._create({**session, "user": "bob@example.org"}, b"md %b q\r\n" % key, start_response)
        if kind == "change":
            session["count"] += 1
            self._store(key, session, b"C%b" % token)
        return self._answer(str(session["count"]).encode(), "", start_response)

    def _create(self, session: dict[str, Any], also: bytes, start_response: StartResponse) -> list[bytes]:
        new = secrets.token_hex(16)
        self._store(new.encode(), session, b"ME", also)
        return self._answer(str(session["count"]).encode(), f"sid={new}; HttpOnly; Path=/", start_response)

    def _answer(self, body: bytes, cookie: str, start_response: StartResponse) -> list[bytes]:
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        if cookie:
            headers.append(("Set-Cookie", cookie))
        start_response("200 OK", headers)
        return [body]

    def _load(self, key: bytes) -> tuple[dict[str, Any] | None, bytes]:
        replies = self._ask(b"mg %b v c T%d\r\n" % (key, _TTL))
        if replies[0][:2] != b"VA":
            return None, b""
        head, _, value = replies[0].partition(b"\r\n")
        return msgpack.unpackb(value[:-2]), head.partition(b" c")[2]

    def _store(self, key: bytes, session: dict[str, Any], mode: bytes, also: bytes = b"") -> None:
        value = msgpack.packb(session)
        self._ask(b"%bms %b %d T%d %b\r\n%b\r\n" % (also, key, len(value), _TTL, mode, value))

    def _ask(self, command: bytes) -> list[bytes]:
        """Send to every copy before reading any reply."""
        for connection in self._sockets:
            connection.sendall(command)
        return [_reply(connection) for connection in self._sockets]


def _reply(connection: socket.socket) -> bytes:
    reply = connection.recv(_RECEIVE)
    if reply[:2] == b"VA":
        head = reply.index(b"\r\n") + 2
        wanted = head + int(reply[3:head].split(maxsplit=1)[0]) + 2
        while len(reply) < wanted:
            reply += connection.recv(_RECEIVE)
    return reply
