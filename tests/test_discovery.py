"""The nodes behind a DNS name."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Memcached
from test_membership import serving, wait_until
from webclient import SECRET, Client, put, show

from sharedsession import ConfigError, DnsNodes, SessionConfig, SessionMiddleware
from sharedsession.discovery import as_function
from sharedsession.memcached.membership import Poller
from sharedsession.nodelist import NodeConfig, parse_nodes
from sharedsession.settings import build_config, read_environment

HOST = "memcached.default.svc.cluster.local"
AWAY = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}


class Resolver:
    """Answers as `socket.getaddrinfo` does."""

    def __init__(self, *addresses: str) -> None:
        #: Addresses of the name, in the order of the answer.
        self.addresses: list[str] = list(addresses)
        #: Raised instead, for every family or for one.
        self.failures: dict[socket.AddressFamily, Exception] = {}
        self.asked: list[tuple[str, int]] = []

    def fail(self, failure: Exception) -> None:
        """Let every look-up fail."""
        self.failures = dict.fromkeys(FAMILIES, failure)

    def __call__(self, host: str, port: int, **hints: Any) -> list[tuple[Any, ...]]:
        """Return what the name has of a family."""
        family, kind = hints["family"], hints["type"]
        assert kind is socket.SOCK_STREAM
        self.asked.append((host, port))
        if family in self.failures:
            raise self.failures[family]
        found = [address for address in self.addresses if (":" in address) == (family == socket.AF_INET6)]
        if not found:
            raise UNKNOWN
        rest = (0, 0) if family == socket.AF_INET6 else ()
        # glibc answers once per protocol where the type is left open, and repeats what /etc/hosts repeats.
        return [(family, kind, 6, "", (address, port, *rest)) for address in found for _ in range(2)]


def told(*addresses: str, port: int = 11211) -> list[str]:
    """Return the node list of a name with these addresses."""
    return DnsNodes(HOST, port, resolve=Resolver(*addresses))()


def test_every_address_is_a_node() -> None:
    """Each address is one node, named after it, with the port asked for; the name is what is looked up."""
    resolver = Resolver("10.1.0.5", "10.1.0.20")
    nodes = DnsNodes(HOST, 11212, resolve=resolver)()
    assert parse_nodes(nodes) == (
        NodeConfig("ip-10-1-0-5", ("10.1.0.5", 11212)),
        NodeConfig("ip-10-1-0-20", ("10.1.0.20", 11212)),
    )
    assert resolver.asked == [(HOST, 11212)]


def test_the_order_of_the_answer_does_not_matter() -> None:
    """Resolvers rotate their answers: the list is the same."""
    addresses = ["10.1.0.5", "10.1.0.20", "10.1.0.9"]
    assert told(*addresses) == told(*reversed(addresses)) == told(*sorted(addresses))


def test_ipv4_is_preferred() -> None:
    """Where machines have both, they are not counted twice."""
    assert told("fd00::5", "10.1.0.5", "fd00::6", "10.1.0.6") == told("10.1.0.5", "10.1.0.6")


def test_ipv6_alone() -> None:
    """A name with IPv6 addresses only has nodes of these."""
    nodes = parse_nodes(told("fd00::6", "fd00::5"))
    assert [node.address for node in nodes] == [("fd00::5", 11211), ("fd00::6", 11211)]


@given(st.sets(st.ip_addresses(v=6).map(str), min_size=1, max_size=5))
def test_ipv6_names(addresses: set[str]) -> None:
    """Every IPv6 address gives a valid node list: a name of at most 32 characters, one for each address."""
    nodes = parse_nodes(told(*addresses))
    assert {node.address[0] for node in nodes} == addresses
    assert len({node.name for node in nodes}) == len(addresses)


@given(st.sets(st.ip_addresses(v=4).map(str), min_size=1, max_size=5))
def test_ipv4_names(addresses: set[str]) -> None:
    """Every IPv4 address gives a valid node list, with one node for each address."""
    nodes = parse_nodes(told(*addresses))
    assert {node.address[0] for node in nodes} == addresses
    assert all(re.fullmatch(r"ip(-\d{1,3}){4}", node.name) for node in nodes)


def test_an_address_of_one_link() -> None:
    """An address with a scope (of mDNS or /etc/hosts) is a valid node too."""
    assert parse_nodes(told("fe80::1%eth0")) == (
        NodeConfig(f"{int(IPv6Address('fe80::1')):032x}", ("fe80::1%eth0", 11211)),
    )


def test_the_family_stays() -> None:
    """When the IPv4 addresses are missing from one answer, the IPv6 ones do not take their place: all would be new."""
    resolver = Resolver("10.1.0.5", "fd00::5")
    nodes = DnsNodes(HOST, resolve=resolver)
    before = nodes()
    resolver.addresses = ["fd00::5"]
    with pytest.raises(ConfigError, match=f"'{HOST}' has no address"):
        nodes()
    resolver.addresses = ["fd00::5", "10.1.0.5"]
    assert nodes() == before


def test_a_failure_of_one_family_is_no_answer() -> None:
    """While IPv4 cannot be looked up, nobody knows whether there are such addresses."""
    resolver = Resolver("10.1.0.5", "fd00::5")
    resolver.failures = {socket.AF_INET: AWAY}
    with pytest.raises(ConfigError, match="cannot be looked up now"):
        DnsNodes(HOST, resolve=resolver)()


@pytest.mark.parametrize("failure", [AWAY, UNKNOWN, OSError("no network"), UnicodeError("label too long")])
def test_a_failing_look_up_names_the_name(failure: Exception) -> None:
    """Whatever the resolver raises is a ConfigError about `nodes` that names what was looked up."""
    resolver = Resolver()
    resolver.fail(failure)
    with pytest.raises(ConfigError, match=f"nodes: '{HOST}' ") as caught:
        DnsNodes(HOST, resolve=resolver)()
    assert caught.value.option == "nodes"


@pytest.mark.parametrize(
    "host", ["nobody.invalid", "x" * 70 + ".example", "a..b"], ids=["unknown", "too long a label", "an empty label"]
)
def test_a_real_failing_look_up(host: str) -> None:
    """A name that does not exist, or cannot, stops the start by its name."""
    with pytest.raises(ConfigError, match=re.escape(repr(host))):
        SessionMiddleware(lambda environ, start_response: [], secret_key=SECRET, nodes=f"dns:{host}:11211")


def test_a_later_failure_keeps_the_list() -> None:
    """When the name cannot be looked up any more, the nodes found before stay, and the log says which name it is."""
    resolver = Resolver("10.1.0.5", "10.1.0.6")
    app = serving({}, DnsNodes(HOST, resolve=resolver), nodes_interval=3600)
    poller = app.parts.poller
    assert isinstance(poller, Poller)
    ring = app.ring()
    for failure in (AWAY, UNKNOWN, OSError("no network")):
        resolver.fail(failure)
        poller.poll()
    assert app.ring() == ring
    assert app.stats() == {"nodes_refused": 3}
    resolver.failures = {}
    resolver.addresses = ["10.1.0.6", "10.1.0.5", "10.1.0.7"]
    poller.poll()
    assert [node.name for node in app.health()] == ["ip-10-1-0-5", "ip-10-1-0-6", "ip-10-1-0-7"]
    app.close()


# -- as text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dns:localhost", 11211),
        ("dns:localhost:11211", 11211),
        ("dns:localhost:1", 1),
        ("  dns:localhost:65535\n", 65535),
    ],
)
def test_the_text_form(text: str, expected: int) -> None:
    """`dns:<host>` and `dns:<host>:<port>` are that name's nodes, as an option and in the environment."""
    for config in (
        SessionConfig(nodes=text, secret_key=SECRET),
        build_config(read_environment({"SHAREDSESSION_NODES": text, "SHAREDSESSION_SECRET_KEY": SECRET})),
    ):
        assert isinstance(config.nodes, DnsNodes)
        assert config.memcached_nodes == (NodeConfig("ip-127-0-0-1", ("127.0.0.1", expected)),)


@pytest.mark.parametrize(
    "nodes",
    [
        "dns:",
        "dns::11211",
        "dns:localhost:",
        "dns:localhost:0",
        "dns:localhost:65536",
        "dns:localhost:-1",
        "dns:localhost:\u0661",
        "dns:localhost:99999999999999999999",
        "dns:localhost:http",
        "dns:localhost:11211 n2:10.0.0.2",
        "dns:localhost n2:10.0.0.2",
        "dns:localhost,dns:other",
        "dns:[::1]:11211",
        "n1:10.0.0.1 dns:localhost:11211",
        ["dns:localhost:11211"],
        ["n1:10.0.0.1", "dns:localhost"],
    ],
)
def test_a_malformed_text_is_refused(nodes: str | list[str]) -> None:
    """A mistake in the text form is a ConfigError that shows it, also in a list with others: no node is named "dns"."""
    with pytest.raises(ConfigError) as caught:
        SessionConfig(nodes=nodes, secret_key=SECRET)
    assert caught.value.option == "nodes"
    assert "dns:" in str(caught.value)


def test_any_other_list_is_left_as_it_is() -> None:
    """Text, lists and functions that are no DNS name stay what they are."""
    lists: list[Any] = ["n1:10.0.0.1", ["n1:10.0.0.1"], lambda: "n1:10.0.0.1", "memory"]
    assert [as_function(nodes) for nodes in lists] == lists


# -- over memcached ----------------------------------------------------------------------------------------------------


@pytest.fixture
def twin(memcached: Memcached) -> Iterator[subprocess.Popen[bytes]]:
    """Return a memcached on the same port as n1, but on 127.0.0.2: one DNS name has one port."""
    command = ["memcached", "-l", "127.0.0.2", "-p", str(memcached.port), "-U", "0"]
    if os.geteuid() == 0:
        command += ["-u", "nobody"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers("127.0.0.2", memcached.port), "starting")
        yield process
    finally:
        process.kill()
        process.wait()


def answers(host: str, port: int) -> bool:
    """Say whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def test_sessions_on_the_nodes_of_a_name(memcached: Memcached, twin: subprocess.Popen[bytes]) -> None:
    """A session is kept on every node of the name; when one is scaled away, it is there."""
    resolver = Resolver("127.0.0.2", "127.0.0.1")
    app = serving({"/login": put("a", 1), "/show": show}, DnsNodes("memcached", memcached.port, resolve=resolver))
    client = Client(app)
    client.get("/login")
    twin.kill()
    twin.wait()
    resolver.addresses = ["127.0.0.1"]
    poller = app.parts.poller
    assert poller is not None
    poller.poll()
    assert [node.name for node in app.health()] == ["ip-127-0-0-1"]
    assert client.get("/show").text == "{'a': 1}"
    app.close()


def test_localhost_is_a_name_too(memcached: Memcached) -> None:
    """The text form works with the machine's own resolver."""
    client = Client(serving({"/login": put("a", 1), "/show": show}, f"dns:localhost:{memcached.port}"))
    client.get("/login")
    assert client.get("/show").text == "{'a': 1}"
    assert memcached.command(f"mg {client.key}".encode()).startswith(b"HD")
