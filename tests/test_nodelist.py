"""The node list: every way to write it, and every mistake refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_text

from sharedsession.errors import ConfigError
from sharedsession.nodelist import DEFAULT_PORT, MAX_WEIGHT, NodeConfig, parse_nodes

N1 = NodeConfig("n1", ("10.0.0.1", 11211))
N2 = NodeConfig("n2", ("10.0.0.2", 11211))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("n1:10.0.0.1:11212", NodeConfig("n1", ("10.0.0.1", 11212))),
        ("n1:10.0.0.1", NodeConfig("n1", ("10.0.0.1", 11211))),
        ("n1:localhost", NodeConfig("n1", ("localhost", 11211))),
        ("n1:mc-1.example.com:1", NodeConfig("n1", ("mc-1.example.com", 1))),
        ("n1:my_service:65535", NodeConfig("n1", ("my_service", 65535))),
        ("Node_1-a:h", NodeConfig("Node_1-a", ("h", 11211))),
        ("1:h", NodeConfig("1", ("h", 11211))),
        ("n1:[::1]", NodeConfig("n1", ("::1", 11211))),
        ("n1:[::1]:11212", NodeConfig("n1", ("::1", 11212))),
        ("n1:[2001:db8::1:2]:11212", NodeConfig("n1", ("2001:db8::1:2", 11212))),
        ("n1:[::ffff:10.0.0.1]", NodeConfig("n1", ("::ffff:10.0.0.1", 11211))),
        ("n1:[fe80::1%eth0]:11212", NodeConfig("n1", ("fe80::1%eth0", 11212))),
        ("n1:unix:/run/memcached.sock", NodeConfig("n1", "/run/memcached.sock")),
        ("n1:unix:/run/a:b.sock", NodeConfig("n1", "/run/a:b.sock")),
        ("n1:h?weight=2", NodeConfig("n1", ("h", 11211), 2)),
        ("n1:h?weight=100", NodeConfig("n1", ("h", 11211), 100)),
        ("n1:h:1?zone=a", NodeConfig("n1", ("h", 1), 1, "a")),
        ("n1:h:1?zone=eu-1_b&weight=3", NodeConfig("n1", ("h", 1), 3, "eu-1_b")),
        ("n1:[::1]:1?weight=3&zone=a", NodeConfig("n1", ("::1", 1), 3, "a")),
        ("n1:unix:/run/mc.sock?weight=2&zone=a", NodeConfig("n1", "/run/mc.sock", 2, "a")),
    ],
)
def test_one_node_as_users_write_it(text: str, node: NodeConfig) -> None:
    """Each documented form of a node means what the documentation says."""
    assert parse_nodes(text) == (node,)


@pytest.mark.parametrize(
    "nodes",
    [
        "n1:10.0.0.1 n2:10.0.0.2",
        "n1:10.0.0.1,n2:10.0.0.2",
        "n1:10.0.0.1, n2:10.0.0.2",
        " n1:10.0.0.1\n\tn2:10.0.0.2 ,\n",
        ",,n1:10.0.0.1,,n2:10.0.0.2",
        ["n1:10.0.0.1", "n2:10.0.0.2"],
        ("n1:10.0.0.1", "n2:10.0.0.2"),
        ["n1:10.0.0.1 n2:10.0.0.2"],
        ["n1:10.0.0.1", "", " n2:10.0.0.2 "],
        lambda: "n1:10.0.0.1 n2:10.0.0.2",
        lambda: ["n1:10.0.0.1", "n2:10.0.0.2"],
    ],
)
def test_a_list_in_every_form(nodes: Any) -> None:
    """Spaces, commas, both, a list or a callable: the same nodes in the order written."""
    assert parse_nodes(nodes) == (N1, N2)


def test_a_callable_is_asked_each_time() -> None:
    """A callable may answer differently the next time: nothing is remembered."""
    answers = iter(["n1:10.0.0.1", "n2:10.0.0.2"])

    def ask() -> str:
        return next(answers)

    assert parse_nodes(ask) == (N1,)
    assert parse_nodes(ask) == (N2,)


BAD_ENTRIES = [
    "n1",
    "n1:",
    ":10.0.0.1",
    "10.0.0.1",
    "localhost",
    "localhost:11211",
    "10.0.0.1:11211",
    "memcached://10.0.0.1",
    "n 1:h",
    "n.1:h",
    "n1\u0661:h",
    "\xe9:h",
    "n" * 33 + ":h",
    "n1:-h",
    "n1:h-",
    "n1:h/x",
    "n1:user@h",
    "n1:h\xe9:1",
    "n1:h\0:1",
    "n1:a..b:1",
    "n1:h:",
    "n1:h:0",
    "n1:h:65536",
    "n1:h:-1",
    "n1:h:+1",
    "n1:h:1.5",
    "n1:h:1_1",
    "n1:h:http",
    "n1:h:\u0661",
    "n1:h:99999999999999999999",
    "n1:h:00000199999",
    "n1:h:1:2",
    "n1:::1",
    "n1:2001:db8::1",
    "n1:[::1",
    "n1:[]",
    "n1:[::1]11211",
    "n1:[::1]:",
    "n1:[::1]:0",
    "n1:[12]:1",
    "n1:[....]:1",
    "n1:[:::::]:1",
    "n1:[1:2:3:4:5:6:7:8:9]",
    "n1:[localhost]",
    "n1:[10.0.0.1]",
    "n1:unix:",
    "n1:unix:run/mc.sock",
    "n1:unix:./mc.sock",
    "n1:h?weight=0",
    "n1:h?weight=101",
    "n1:h?weight=-1",
    "n1:h?weight=1.5",
    "n1:h?weight=",
    "n1:h?weight=\u0662",
    "n1:h?weight=000100000",
    "n1:h?weight=99999999999999999999",
    "n1:h?weight",
    "n1:h?zone=",
    "n1:h?zone=a.b",
    "n1:h?zone=" + "z" * 33,
    "n1:h?wieght=2",
    "n1:h?weight=2;zone=a",
    "n1:h?=",
]


@pytest.mark.parametrize("entry", BAD_ENTRIES)
def test_a_mistake_is_refused_by_name(entry: str) -> None:
    """A malformed entry among good ones is a ConfigError about `nodes` that shows the whole entry."""
    for nodes in (entry, f"m1:10.1.1.1 {entry}", ["m1:10.1.1.1", entry]):
        with pytest.raises(ConfigError) as caught:
            parse_nodes(nodes)
        assert caught.value.option == "nodes"
        # "n 1:h" is two entries, as text is split at blanks.
        assert repr(entry) in str(caught.value) or any(repr(part) in str(caught.value) for part in entry.split())


@pytest.mark.parametrize("nodes", ["", "  ", ",", [], [""], [" , "], (), lambda: "", list])
def test_an_empty_list_is_refused(nodes: Any) -> None:
    """No node at all is a mistake, not the embedded store; the message shows what to write."""
    with pytest.raises(ConfigError, match=r"empty.*n1:127\.0\.0\.1:11211"):
        parse_nodes(nodes)


@pytest.mark.parametrize(
    ("nodes", "shown"),
    [
        (5, "int"),
        (None, "NoneType"),
        ({"n1:h"}, "set"),
        ({"n1": "h"}, "dict"),
        ([5], "5"),
        (["n1:h", None], "None"),
        ([["n1:h"]], "['n1:h']"),
        ([b"n1:h"], "b'n1:h'"),
        (lambda: None, "NoneType"),
        (lambda: 5, "int"),
        (lambda: [5], "5"),
    ],
)
def test_something_else_than_text_is_refused(nodes: Any, shown: str) -> None:
    """A value of another type, also from a callable, is a ConfigError that says what was given."""
    with pytest.raises(ConfigError) as caught:
        parse_nodes(nodes)
    assert caught.value.option == "nodes"
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "shown"),
    [
        ("n1:h1 n1:h2", "name 'n1' appears twice"),
        ("n1:h1 n2:h2 n1:h3", "name 'n1' appears twice"),
        ("n1:h1 n2:h1", "address ('h1', 11211) appears twice"),
        ("n1:h1:11211 n2:h1", "address ('h1', 11211) appears twice"),
        ("n1:h1:1?zone=a n2:h1:1?zone=b", "address ('h1', 1) appears twice"),
        ("n1:unix:/a n2:unix:/a", "address '/a' appears twice"),
        ("n1:[::1] n2:[::1]", "address ('::1', 11211) appears twice"),
    ],
)
def test_duplicates_are_refused_by_name(nodes: str, shown: str) -> None:
    """Two nodes of one name, or two names for one memcached, would count one copy twice."""
    with pytest.raises(ConfigError) as caught:
        parse_nodes(nodes)
    assert shown in str(caught.value)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True),
            st.integers(1, 65535),
            st.integers(1, MAX_WEIGHT),
            st.just("") | st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True),
        ),
        min_size=1,
        max_size=5,
        unique_by=(lambda node: node[0], lambda node: node[1]),
    )
)
def test_what_is_written_is_what_is_read(wanted: list[tuple[str, int, int, str]]) -> None:
    """Any node list written out in full is read back in the same order with the same options."""
    text = ",".join(
        f"{name}:h:{port}?weight={weight}" + (f"&zone={zone}" if zone else "") for name, port, weight, zone in wanted
    )
    assert parse_nodes(text) == tuple(
        NodeConfig(name, ("h", port), weight, zone) for name, port, weight, zone in wanted
    )


fragments = st.lists(
    st.sampled_from(
        ["n1", ":", "::", "[", "]", "h", "1", "99999", "?", "weight=", "zone=", "&", "unix:", "/", ",", " ", "%", "\n"]
    ),
    max_size=12,
).map("".join)


@given(any_text | fragments | fragments.map(lambda text: "n1:" + text))
def test_arbitrary_text_is_a_node_list_or_a_config_error(text: str) -> None:
    """Nonsense raises nothing but ConfigError, and what passes is within its limits."""
    try:
        nodes = parse_nodes(text)
    except ConfigError:
        return
    assert nodes
    for node in nodes:
        assert node.name
        assert 1 <= node.weight <= MAX_WEIGHT
        assert isinstance(node.address, str) or (node.address[0] and 1 <= node.address[1] <= 65535)


def test_the_default_port_is_memcacheds() -> None:
    """Without a port, memcached's own."""
    assert DEFAULT_PORT == 11211
