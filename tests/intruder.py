"""Somebody who can read and write everything in memcached, but does not know the secret."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from servers import Memcached

from sharedsession.memcached.dump import list_keys
from sharedsession.nodelist import NodeConfig


class Item(NamedTuple):
    """One value on one node."""

    node: Memcached
    key: str
    value: bytes


def look(nodes: Sequence[Memcached]) -> list[Item]:
    """Return everything that the nodes hold."""
    return [Item(node, key, _read(node, key)) for node in nodes for key in _keys(node)]


def write(node: Memcached, key: str, value: bytes) -> None:
    """Put a value there, whatever stood there before."""
    assert _ask(node, b"ms %b %d\r\n%b\r\n" % (key.encode(), len(value), value)) == b"HD\r\n"


def replace(items: Sequence[Item], change: Callable[[bytes], bytes]) -> None:
    """Put something else in place of values."""
    for item in items:
        write(item.node, item.key, change(item.value))


def _keys(node: Memcached) -> list[str]:
    return list_keys(NodeConfig(node.name, ("127.0.0.1", node.port)), "", connect_timeout=5).keys


def _read(node: Memcached, key: str) -> bytes:
    reply = _ask(node, b"mg %b v\r\n" % key.encode())
    head, _, rest = reply.partition(b"\r\n")
    return rest[: int(head.split()[1])]


def _ask(node: Memcached, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", node.port), 5) as connection:
        connection.sendall(command + b"mn\r\n")
        reply = b""
        while not reply.endswith(b"MN\r\n"):
            reply += connection.recv(65536) or b"MN\r\n"
        return reply.removesuffix(b"MN\r\n")
