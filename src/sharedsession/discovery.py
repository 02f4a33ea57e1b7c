"""The nodes behind a DNS name that resolves to several addresses, such as a Kubernetes headless service."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from .errors import ConfigError

Resolve = Callable[..., Sequence[tuple[Any, ...]]]


class DnsNodes:
    """A node list for the option `nodes`: every address that a name has, asked again every `nodes_interval` seconds.

        SessionMiddleware(app, nodes=DnsNodes("memcached.default.svc.cluster.local"), ...)

    As text, such as in `SHAREDSESSION_NODES`, that is `dns:memcached.default.svc.cluster.local:11211`. A node is
    named after its address, so every application node names it alike; one that gets another address is another node,
    and comes empty. Where the name has IPv4 addresses, only those are used: they are the same machines.

    Args:
        host: the name.
        port: the port of every node.
        resolve: as `socket.getaddrinfo`.
    """

    def __init__(self, host: str, port: int = 11211, *, resolve: Resolve = socket.getaddrinfo) -> None:
        self._host = host
        self._port = port
        self._resolve = resolve

    def __call__(self) -> list[str]:
        """Return the list.

        Raises:
            ConfigError: the name has no address, or cannot be looked up now.
        """
        try:
            infos = self._resolve(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError("nodes", f"{self._host!r} cannot be looked up: {error}") from error
        addresses = sorted({str(info[4][0]) for info in infos}, key=lambda text: int(ip_address(text)))
        usable = [text for text in addresses if ":" not in text] or addresses
        if not usable:
            raise ConfigError("nodes", f"{self._host!r} has no address")
        return [self._node(text) for text in usable]

    def _node(self, text: str) -> str:
        address = ip_address(text)
        if address.version == 4:
            return f"ip-{text.replace('.', '-')}:{text}:{self._port}"
        # 32 hexadecimal digits: as long as a node's name may be.
        return f"{address.exploded.replace(':', '')}:[{text}]:{self._port}"


def from_text(text: str) -> DnsNodes:
    """Return what `dns:<host>` or `dns:<host>:<port>` says.

    Raises:
        ConfigError: the port is none.
    """
    host, colon, port = text.removeprefix("dns:").partition(":")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError("nodes", f"{text!r}: {port!r} is not a port; write for example 'dns:memcached.local:11211'")
    return DnsNodes(host, int(port) if colon else 11211)
