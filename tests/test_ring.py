"""The ring: where a key lies, how evenly, and how little moves when nodes come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.memcached.ring import LONGEST_LIST, POINTS, Ring, key_point, key_position
from sharedsession.nodelist import NodeConfig

KEYS = [f"sharedsession:{number:064x}" for number in range(2000)]


def node(name: str, weight: int = 1, zone: str = "") -> NodeConfig:
    return NodeConfig(name, (f"{name}.example", 11211), weight, zone)


def ring(*names: str) -> Ring:
    return Ring([node(name) for name in names])


def named(count: int) -> list[str]:
    return [f"n{number}" for number in range(1, count + 1)]


def share(of: Ring, keys: Iterable[str] = KEYS) -> Counter[str]:
    """Count the keys whose first copy is on each node."""
    return Counter(of.nodes_for(key)[0] for key in keys)


# -- one list ------------------------------------------------------------------------------------------------------


def test_where_keys_lie_is_pinned() -> None:
    """Known keys lie on known nodes: another hash would lose every session at an upgrade, and mixed versions differ."""
    found = {key: ring("n1", "n2", "n3").nodes_for(key) for key in ("a", "b", "c", "d", "", KEYS[0], KEYS[1])}
    assert found == {
        "a": ("n3", "n2", "n1"),
        "b": ("n1", "n3", "n2"),
        "c": ("n2", "n3", "n1"),
        "d": ("n2", "n1", "n3"),
        "": ("n2", "n3", "n1"),
        KEYS[0]: ("n1", "n3", "n2"),
        KEYS[1]: ("n2", "n3", "n1"),
    }
    assert [key_point(key) for key in ("", "a", KEYS[0])] == [0, 3904355907, 395463219]
    assert ring("n1").points()[:2] == ((0.004059026949107647, "n1"), (0.009477052604779601, "n1"))


@given(st.integers(1, LONGEST_LIST), st.text(max_size=80), st.randoms(use_true_random=False))
def test_the_order_of_the_node_list_does_not_matter(count: int, key: str, random: object) -> None:
    """Application nodes that write the same nodes in another order put every session on the same ones."""
    names = named(count)
    shuffled = names.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ring(*names).nodes_for(key) == ring(*shuffled).nodes_for(key)


@given(st.sets(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=LONGEST_LIST), st.text())
def test_every_node_stands_once_in_every_list(names: set[str], key: str) -> None:
    """A list holds each node exactly once: two copies never lie on one node, and all can stand in."""
    found = ring(*sorted(names)).nodes_for(key)
    assert len(found) == len(set(found))
    assert set(found) == names


def test_a_long_list_is_cut() -> None:
    """With a thousand nodes a list holds as many different ones as will ever be asked, and no more."""
    large = Ring([node(name) for name in named(1000)])
    for key in KEYS[:200]:
        found = large.nodes_for(key)
        assert len(found) == len(set(found)) == LONGEST_LIST
    assert len(share(large)) > 800


def test_names_are_hashed_not_addresses() -> None:
    """A node that moves to another address, port or socket keeps every session."""
    before = Ring([NodeConfig("n1", ("10.0.0.1", 11211)), NodeConfig("n2", ("10.0.0.2", 11211))])
    after = Ring([NodeConfig("n1", "/run/mc.sock"), NodeConfig("n2", ("10.0.0.1", 1))])
    assert before.points() == after.points()
    assert [before.nodes_for(key) for key in KEYS] == [after.nodes_for(key) for key in KEYS]
    assert share(ring("n1", "n2")) != share(ring("n1", "n3"))


def test_the_same_list_is_given_again() -> None:
    """Asking again, in any order, gives the same answer."""
    one = ring(*named(5))
    first = [one.nodes_for(key) for key in KEYS]
    assert [one.nodes_for(key) for key in reversed(KEYS)] == first[::-1]


# -- how evenly ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 12])
def test_keys_are_spread_evenly(count: int) -> None:
    """With 160 points a node, no node has over 25 % more or less than its share of the keys."""
    found = share(ring(*named(count)))
    for name in named(count):
        assert 0.75 < found[name] * count / len(KEYS) < 1.25


def test_what_a_lost_node_had_is_spread_over_the_others() -> None:
    """The second nodes of one node's keys are all others in about equal parts: a failure burdens no single node."""
    one = ring(*named(5))
    second = Counter(one.nodes_for(key)[1] for key in KEYS if one.nodes_for(key)[0] == "n1")
    for name in named(5)[1:]:
        assert 0.6 < second[name] * 4 / second.total() < 1.4


@pytest.mark.parametrize("weight", [2, 3, 10])
def test_a_heavier_node_takes_more(weight: int) -> None:
    """A node of weight w has w times the points, and about w times the keys of a node of weight 1."""
    weighted = Ring([node("n1", weight), node("n2"), node("n3")])
    points = Counter(name for _, name in weighted.points())
    assert points == {"n1": POINTS * weight, "n2": POINTS, "n3": POINTS}
    found = share(weighted)
    assert 0.75 < found["n1"] * (weight + 2) / (weight * len(KEYS)) < 1.25


# -- when nodes come and go ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5, LONGEST_LIST])
def test_removing_a_node_moves_only_its_keys(count: int) -> None:
    """Without one node, every list is what it was without that node: the survivors keep their order."""
    full = ring(*named(count))
    for gone in named(count)[:3]:
        rest = ring(*(name for name in named(count) if name != gone))
        for key in KEYS[:400]:
            assert rest.nodes_for(key) == tuple(name for name in full.nodes_for(key) if name != gone)


def test_adding_a_node_moves_only_its_share() -> None:
    """A new node takes about its share of the keys, and no key moves between old nodes."""
    before, after = ring(*named(4)), ring(*named(5))
    moved = [key for key in KEYS if before.nodes_for(key)[0] != after.nodes_for(key)[0]]
    assert all(after.nodes_for(key)[0] == "n5" for key in moved)
    assert 0.75 < len(moved) * 5 / len(KEYS) < 1.25


def test_one_change_of_the_list_keeps_a_copy() -> None:
    """After adding or removing one node, one of the first two nodes of every key had it before."""
    three, four = ring(*named(3)), ring(*named(4))
    for key in KEYS:
        assert set(three.nodes_for(key)[:2]) & set(four.nodes_for(key)[:2])


def test_another_weight_moves_only_to_the_heavier() -> None:
    """Doubling a node's weight moves keys to it and none between the others."""
    before = Ring([node("n1"), node("n2"), node("n3")])
    after = Ring([node("n1", 2), node("n2"), node("n3")])
    for key in KEYS:
        if before.nodes_for(key)[0] != after.nodes_for(key)[0]:
            assert after.nodes_for(key)[0] == "n1"


# -- zones ---------------------------------------------------------------------------------------------------------

zoned = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 3)), min_size=2, max_size=30).map(
    lambda pairs: [node(f"n{number}", weight, zone) for number, (zone, weight) in enumerate(pairs)]
)


@given(zoned, st.text(max_size=20))
def test_the_first_two_copies_lie_in_different_zones(nodes: list[NodeConfig], key: str) -> None:
    """Where there are two zones, the first two nodes are of different ones, however many nodes each zone has."""
    zones = {each.name: each.zone for each in nodes}
    found = Ring(nodes).nodes_for(key)
    wanted = min(len(set(zones.values())), len(found))
    assert len({zones[name] for name in found[:wanted]}) == wanted
    assert len(found) == len(set(found)) == min(len(nodes), LONGEST_LIST)


def test_a_small_zone_beside_a_large_one_is_found() -> None:
    """Two nodes in zone b beside thirty in zone a: each session still has a copy in both."""
    nodes = [node(f"n{number}", 1, "b" if number < 2 else "a") for number in range(32)]
    zones = {each.name: each.zone for each in nodes}
    zoned_ring = Ring(nodes)
    for key in KEYS[:500]:
        first, second, *_ = zoned_ring.nodes_for(key)
        assert {zones[first], zones[second]} == {"a", "b"}


def test_zones_do_not_change_the_first_copy() -> None:
    """Naming zones later moves second copies only: the first stays where it was."""
    plain = Ring([node(name) for name in named(6)])
    with_zones = Ring([node(name, 1, "ab"[number % 2]) for number, name in enumerate(named(6))])
    for key in KEYS:
        assert plain.nodes_for(key)[0] == with_zones.nodes_for(key)[0]


def test_one_zone_and_no_zone_are_the_same() -> None:
    """A zone that all nodes share has no effect."""
    plain = Ring([node(name) for name in named(6)])
    same = Ring([node(name, 1, "a") for name in named(6)])
    assert [plain.nodes_for(key) for key in KEYS] == [same.nodes_for(key) for key in KEYS]


def test_a_node_without_zone_is_a_zone_of_its_own() -> None:
    """Nodes with and without zones can be mixed: those without never count as the same zone."""
    mixed = Ring([node("n1", 1, "a"), node("n2", 1, "a"), node("n3"), node("n4")])
    spelled_out = Ring([node("n1", 1, "a"), node("n2", 1, "a"), node("n3", 1, "b"), node("n4", 1, "c")])
    for key in KEYS:
        assert set(mixed.nodes_for(key)[:2]) != {"n1", "n2"}
        assert mixed.nodes_for(key) == spelled_out.nodes_for(key)


# -- points --------------------------------------------------------------------------------------------------------


def test_points_are_in_order_on_the_circle() -> None:
    """What the operator sees: every point from 0 to below 1, in order, 160 a node."""
    points = ring(*named(3)).points()
    positions = [position for position, _ in points]
    assert positions == sorted(positions)
    assert positions[0] >= 0
    assert positions[-1] < 1
    assert Counter(name for _, name in points) == dict.fromkeys(named(3), POINTS)


@given(st.text())
def test_a_key_belongs_to_the_next_point(key: str) -> None:
    """The first node of a key is the owner of the first point clockwise from the key's own position."""
    one = ring(*named(3))
    position = key_position(key)
    assert 0 <= position < 1
    owner = next((name for point, name in one.points() if point > position), one.points()[0][1])
    assert one.nodes_for(key)[0] == owner
