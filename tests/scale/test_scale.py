"""What docs/explanation/scale.md says of very large rings, on one that is small enough for every run."""

from __future__ import annotations

import pytest
from bench.growth.site import Site
from bench.payloads import SMALL
from servers import StartMemcached

from . import page, records
from .balance import agrees, balance, relief, sample
from .circle import COPIES, Circle, both, nodes
from .cost import Cost, costs
from .moves import moves
from .repair import USERS, recover
from .silence import Waits, silence
from .sockets import Fleet, pool, sockets
from .zones import zoned

_COUNT = 60


@pytest.fixture(scope="module")
def circle() -> Circle:
    """Return a ring of 60 nodes."""
    return Circle(nodes(_COUNT))


def test_the_shares_are_those_of_the_ring(circle: Circle) -> None:
    """What is computed from stretches of the circle is what `Ring.nodes_for` says of keys."""
    assert sum(share for share, _ in circle.stretches()) == pytest.approx(1)
    assert sum(circle.loads().values()) == pytest.approx(COPIES)
    assert agrees(circle, circle.ring, 5000)
    # 1 is expected; of 60 nodes' counts the root mean square is within 0.7 and 1.3 but for one time in a thousand.
    assert 0.7 < sample(circle, 60_000).error < 1.3


def test_copies_lie_evenly(circle: Circle) -> None:
    """No node holds over a third more copies than the mean, also for its weight where weights differ."""
    assert balance(circle).most < 4 / 3
    assert balance(Circle(nodes(_COUNT, weights=(1, 2)))).most < 4 / 3


def test_a_node_s_load_falls_on_many(circle: Circle) -> None:
    """The copies of a node that is away go to most of the others; none takes more than a fifth of them."""
    found = relief(circle, "n0")
    assert found.helpers > _COUNT / 2
    assert found.most < 1 / 5


def test_one_node_that_comes_or_goes_moves_its_share_only(circle: Circle) -> None:
    """One node that joins or leaves moves about its share, and every session keeps a copy where it was."""
    for other in (Circle(nodes(_COUNT + 1)), Circle(nodes(_COUNT - 1))):
        found = moves(circle, other)
        assert found.first == pytest.approx(1 / _COUNT, rel=0.4)
        assert found.any == pytest.approx(COPIES / _COUNT, rel=0.4)
        assert found.all == found.lost == 0.0


def test_several_nodes_at_once_lose_sessions(circle: Circle) -> None:
    """Several nodes that leave at once take sessions with them: the reason for one at a time."""
    assert moves(circle, Circle(nodes(_COUNT - 10))).lost > 0


def test_both_rings_are_compared_everywhere(circle: Circle) -> None:
    """The stretches of two rings together cover the circle once."""
    assert sum(share for share, _, _ in both(circle, Circle(nodes(_COUNT + 1)))) == pytest.approx(1)


def test_a_named_zone_is_never_the_only_one() -> None:
    """Where the node list names zones, no session has its copies in one zone; where it does not, a ninth does."""
    members = nodes(_COUNT, zones=("a", "b", "c"))
    homes = {node.name: node.zone for node in members}
    assert zoned(Circle(members), homes).lost == 0.0
    assert zoned(Circle(nodes(_COUNT)), homes).lost == pytest.approx(1 / 9, rel=0.3)


def test_with_a_zone_away_every_session_has_two_nodes() -> None:
    """With three zones, any of them away, the nodes that are left are enough for all copies of every session."""
    members = nodes(_COUNT, zones=("a", "b", "c"))
    zones = {node.name: node.zone for node in members}
    for _, names in Circle(members).stretches():
        assert all(sum(zones[name] != away for name in names) >= COPIES for away in "abc")


def test_all_is_repaired_or_expired_after_one_interval() -> None:
    """Half an hour after a node has lost its copies no session has one copy less: it was read, or has expired."""
    for users in USERS:
        found = recover(users, 5000, seed=1)
        assert found.thin[0] == 5000
        assert found.thin[1800] == 0
        assert found.half < found.most < found.nearly


def test_a_repair_is_paid_once() -> None:
    """A read that finds a copy missing asks one node more and writes once or twice; the next costs what all cost."""
    found = costs()
    assert found["read, all copies there"] == Cost(2, 1)
    assert found["change, all copies there"] == Cost(4, 2)
    for lost, more in (("second copy", 2), ("first copy, which decides transactions,", 3)):
        assert found[f"read, {lost} lost"] == Cost(2 + more, 1 + more)
        assert found[f"the read after that, {lost} lost"] == Cost(2, 1)


def test_a_record_takes_little_more_than_its_values() -> None:
    """A record takes at most 100 bytes more than the values, and 30 for each attribute; tombstones at most 150."""
    parts = records.parts()
    assert parts["record without attributes (header, times, decider, MAC)"] <= 100
    assert parts["an attribute, beside its name and value"] <= 30
    assert max(size for name, size in parts.items() if name.startswith("tombstone")) <= 150


def test_a_process_has_at_most_a_connection_for_each_thread_and_node() -> None:
    """One thread needs one connection to each node, many never more than one for each of them."""
    assert pool(_COUNT, 1, 5000, 0.5, seed=1) == (_COUNT, 1)
    many = pool(_COUNT, 4, 5000, 0.5, seed=1)
    assert 1 < many.most <= 4
    assert sockets(Fleet(10, 2, 1), _COUNT, pool(_COUNT, 1, 5000, 0.5, seed=1)) == (_COUNT, 2 * _COUNT, 20)


def test_silence_is_found_out_and_shorter_waits_find_it_sooner() -> None:
    """A process that has met every silent node waits for none of them again; shorter time-outs make that sooner."""
    circle = Circle(nodes(30, zones=("a", "b", "c")))
    away = {node.name for node in circle.nodes if node.zone == "a"}
    slow = silence(circle, away, Waits(), 0.005, seed=1, seconds=60)
    quick = silence(circle, away, Waits(0.1, 0.05), 0.005, seed=1, seconds=60)
    assert slow.delayed <= 2 * len(away)
    assert quick.last < slow.last < 30
    assert quick.served > slow.served


def test_the_same_seed_tells_the_same(circle: Circle) -> None:
    """What is left to chance is decided by the seed."""
    away = {"n1", "n2"}
    for seed in (1, 2):
        assert recover(USERS[0], 500, seed) == recover(USERS[0], 500, seed)
        assert pool(_COUNT, 4, 500, 0.5, seed) == pool(_COUNT, 4, 500, 0.5, seed)
        assert silence(circle, away, Waits(), 0.005, seed, 5) == silence(circle, away, Waits(), 0.005, seed, 5)


def test_all_tables_of_the_page_are_made() -> None:
    """Every section of docs/explanation/scale.md comes with a table."""
    size = page.Size(nodes=30, sessions=30_000, keys=3000, requests=1000, seconds=20)
    for name, lines in page.sections(size):
        assert sum(line.startswith("|---|") for line in lines) >= 1, name


def test_a_session_takes_as_much_of_memcached_as_said(start_memcached: StartMemcached) -> None:
    """What memcached counts for a new session is what is computed here, but for the length of a node's name."""
    server = start_memcached("n500")
    site = Site([server], 1)
    before = server.stats()["bytes"]
    site.create(SMALL)
    assert server.stats()["bytes"] - before == records.item(records.stored(records.session(SMALL)))
