"""The node list as users write it: `n1:192.168.0.19:11211 n2:[::1] n3:unix:/run/mc.sock?weight=2&zone=a`.

Tomcat users know the `name:host:port` form from memcached-session-manager. The *name* is what the ring hashes, so a
node may move to another address without moving a single session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import parse_qsl

from .errors import ConfigError

DEFAULT_PORT = 11211
#: Begins the text form of one name that stands for all nodes (see `discovery`): no node has this name.
DNS = "dns:"
MAX_WEIGHT = 100

#: What the option `nodes` takes: text, a sequence of such texts, or a callable that returns either.
NodeList = str | Sequence[str] | Callable[[], "str | Sequence[str]"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]{2,45}(?:%\w+)?)\](?::(.*))?")


class NodeConfig(NamedTuple):
    """One memcached node: where it is and how much of the ring it takes."""

    #: Unique name; what the ring hashes and the log shows.
    name: str
    #: (host, port), or the path of a unix socket.
    address: tuple[str, int] | str
    #: Share of the ring relative to the other nodes, 1 to 100.
    weight: int = 1
    #: Failure domain: copies go to different zones where nodes name one. "" means no zone.
    zone: str = ""


def parse_nodes(nodes: NodeList) -> tuple[NodeConfig, ...]:
    """Return the nodes of a node list in the order written.

    Raises:
        ConfigError: an entry is malformed, or a name or an address appears twice; the message names the entry.
    """
    if callable(nodes):
        nodes = _ask(nodes)
    parsed = tuple(_parse_node(entry) for entry in _entries(nodes))
    if not parsed:
        raise ConfigError("nodes", "the list is empty; write at least one node, such as 'n1:127.0.0.1:11211'")
    _refuse_duplicates("name", [node.name for node in parsed])
    _refuse_duplicates("address", [node.address for node in parsed])
    return parsed


def _ask(function: Callable[[], str | Sequence[str]]) -> str | Sequence[str]:
    try:
        return function()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError("nodes", f"the function that tells them failed: {type(error).__name__}: {error}") from error


def _entries(nodes: str | Sequence[str]) -> Iterable[str]:
    texts = [nodes] if isinstance(nodes, str) else nodes
    if not isinstance(texts, Sequence):
        raise ConfigError("nodes", f"expected text or a list of texts, not {type(nodes).__name__}")
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError("nodes", f"expected text such as 'n1:127.0.0.1:11211', not {text!r}")
        yield from re.split(r"[,\s]+", text.strip(", \t\r\n")) if text.strip(", \t\r\n") else ()


def _parse_node(entry: str) -> NodeConfig:
    if entry.startswith(DNS):
        raise ConfigError("nodes", f"{entry!r} stands alone, as text: it is the whole list")
    target, _, query = entry.partition("?")
    name, colon, address = target.partition(":")
    if not colon or not address or not _NAME.fullmatch(name) or address.isdigit():
        raise ConfigError(
            "nodes",
            f"{entry!r} is not name:host:port; write for example 'n1:127.0.0.1:11211' (the name is yours)",
        )
    weight, zone = _parse_options(entry, query)
    return NodeConfig(name, _parse_address(entry, address), weight, zone)


def _parse_address(entry: str, address: str) -> tuple[str, int] | str:
    kind, _, path = address.partition(":")
    if kind == "unix":
        if not path.startswith("/"):
            raise ConfigError(
                "nodes", f"{entry!r}: the path of a unix socket is absolute, such as 'n1:unix:/run/mc.sock'"
            )
        return path
    ipv6 = _IPV6.fullmatch(address)
    if ipv6 and _is_ipv6(ipv6[1]):
        return ipv6[1], _parse_port(entry, ipv6[2])
    host, colon, port = address.partition(":")
    if ":" in port:
        raise ConfigError("nodes", f"{entry!r}: put an IPv6 address in brackets, such as 'n1:[::1]:11211'")
    if not _HOST.fullmatch(host):
        raise ConfigError("nodes", f"{entry!r}: {host!r} is not a host name or address")
    return host, _parse_port(entry, port if colon else None)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _parse_port(entry: str, port: str | None) -> int:
    if port is None:
        return DEFAULT_PORT
    if not (_is_number(port, 5) and 1 <= int(port) <= 65535):
        raise ConfigError("nodes", f"{entry!r}: {port!r} is not a port; write a number from 1 to 65535")
    return int(port)


def _parse_options(entry: str, query: str) -> tuple[int, str]:
    weight, zone = 1, ""
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "weight" and _is_number(value, 3) and 1 <= int(value) <= MAX_WEIGHT:
            weight = int(value)
        elif key == "zone" and _NAME.fullmatch(value):
            zone = value
        else:
            raise ConfigError(
                "nodes",
                f"{entry!r}: {key}={value} is not known; options are weight=1..{MAX_WEIGHT} and zone=<name>",
            )
    return weight, zone


def _is_number(text: str, most_digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= most_digits


def _refuse_duplicates(what: str, values: Sequence[object]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ConfigError("nodes", f"the {what} {value!r} appears twice; every node has its own")
