"""The nodes behind a DNS name that resolves to several addresses, such as a Kubernetes headless service."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from .errors import ConfigError
from .nodelist import DEFAULT_PORT, DNS, NodeList

Resolve = Callable[..., Sequence[tuple[Any, ...]]]

#: What getaddrinfo says when there is the name, or may be, but without an address of the family asked for.
_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}


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

    def __init__(self, host: str, port: int = DEFAULT_PORT, *, resolve: Resolve = socket.getaddrinfo) -> None:
        self._host = host
        self._port = port
        self._resolve = resolve
        # The first family that has addresses stays the only one: a change would make all nodes new ones.
        self._families: tuple[socket.AddressFamily, ...] = (socket.AF_INET, socket.AF_INET6)

    def __call__(self) -> list[str]:
        """Return the list.

        Raises:
            ConfigError: the name has no address, or cannot be looked up now.
        """
        for family in self._families:
            addresses = self._look_up(family)
            if addresses:
                self._families = (family,)
                return [self._node(text) for text in sorted(addresses, key=lambda text: int(ip_address(text)))]
        raise ConfigError("nodes", f"{self._host!r} has no address")

    def _look_up(self, family: socket.AddressFamily) -> set[str]:
        try:
            infos = self._resolve(self._host, self._port, family=family, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NO_ADDRESS:
                return set()
            raise ConfigError("nodes", f"{self._host!r} cannot be looked up now: {error}") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            raise ConfigError("nodes", f"{self._host!r} cannot be looked up: {error}") from error
        return {str(info[4][0]) for info in infos}

    def _node(self, text: str) -> str:
        address = ip_address(text)
        if address.version == 4:
            return f"ip-{text.replace('.', '-')}:{text}:{self._port}"
        # 32 hexadecimal digits: as long as a node's name may be.
        return f"{int(address):032x}:[{text}]:{self._port}"


def as_function(nodes: NodeList) -> NodeList:
    """Return the function that `dns:<host>` or `dns:<host>:<port>` stands for; any other list as it is.

    Raises:
        ConfigError: the text after `dns:` is no host and port.
    """
    if not isinstance(nodes, str) or not nodes.strip().startswith(DNS):
        return nodes
    text = nodes.strip()
    host, colon, port = text.removeprefix(DNS).partition(":")
    if not host or len(host.split()) != 1 or "," in host:
        raise _malformed(text, "is not one name")
    if not colon:
        return DnsNodes(host)
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise _malformed(text, f"{port!r} is not a port")
    return DnsNodes(host, int(port))


def _malformed(text: str, problem: str) -> ConfigError:
    return ConfigError("nodes", f"{text!r}: {problem}; write for example 'dns:memcached.local:11211', and nothing else")
