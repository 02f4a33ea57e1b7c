"""The tables of docs/explanation/scale.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from bench.growth.meter import table

from . import cost, records, repair
from .balance import balance, relief, sample, worst_pair
from .circle import COPIES, Circle, nodes
from .moves import moves
from .silence import Waits, silence
from .sockets import Fleet, pool, sockets
from .zones import zoned


class Size(NamedTuple):
    """What is played."""

    nodes: int = 1000
    sessions: int = 100_000_000
    #: Keys that are looked up.
    keys: int = 500_000
    #: Requests of a process whose connections are counted.
    requests: int = 300_000
    #: For which a process with silent nodes is played.
    seconds: int = 600
    seed: int = 1


Section = Callable[[Size, Circle], Iterator[str]]


def sections(size: Size) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the lines of each section."""
    circle = Circle(nodes(size.nodes))
    for make in (_balance, _moves, _repair, _cost, _bytes, _zones, _silence, _sockets):
        yield make.__name__.strip("_"), list(make(size, circle))


def _balance(size: Size, circle: Circle) -> Iterator[str]:
    checked = sample(circle, size.keys)
    away = relief(circle, circle.nodes[0].name)
    yield from [
        "## Balance",
        "",
        "*Computed* from the ring itself, stretch by stretch, so without any error of sampling: copies on a node,",
        f"relative to the mean. *Checked* by looking {checked.keys:,} keys up: they differ from that by",
        f"{checked.error:.2f} standard deviations of counting (1 is expected). {size.sessions:,} sessions scatter by",
        f"another {(size.nodes / size.sessions) ** 0.5:.1%} on each node.",
        "",
        *table(("nodes", "least", "most", "standard deviation"), _balances(size, circle)),
        f"The copies of a node that is away fall on {away.helpers} others; the one that takes most takes",
        f"{away.most:.1%} of a mean node's load. The two nodes that share most sessions share",
        f"{worst_pair(circle) * size.sessions:,.0f}: what their loss at the same moment costs.",
        "",
    ]


def _balances(size: Size, circle: Circle) -> Iterator[tuple[object, ...]]:
    few, some, half = size.nodes // 100 or 2, size.nodes // 10, size.nodes // 2
    rings = {
        f"{few}": Circle(nodes(few)),
        f"{some}": Circle(nodes(some)),
        f"{size.nodes:,}": circle,
        f"{some}, every weight 4": Circle(nodes(some, weights=(4,))),
        f"{half:,}, half of weight 1, half of 2 (each for its weight)": Circle(nodes(half, weights=(1, 2))),
    }
    for name, ring in rings.items():
        found = balance(ring)
        yield name, f"{found.least:.2f}", f"{found.most:.2f}", f"{found.deviation:.1%}"


def _moves(size: Size, circle: Circle) -> Iterator[str]:
    count = size.nodes
    yield from [
        "## What moves when nodes come and go",
        "",
        "*Computed*, of all sessions: whose first copy is on another node than before; of whose copies one is; all",
        "are. Of the last a read finds an old copy by asking one node more, but for those *not found*.",
        "",
        *table(
            ("change", "first copy", "ideal", "any copy", "ideal", "all copies", "not found"), _changes(size, circle)
        ),
        f"By `hash % {count}` a node more would move {count / (count + 1):.1%} of all first copies. A node that gets",
        "another address moves nothing: names are hashed.",
        "",
    ]


def _changes(size: Size, circle: Circle) -> Iterator[tuple[object, ...]]:
    count = size.nodes
    for title, many in (("joins", 1), ("join at once", 10), ("join at once", count // 10)):
        yield _change(f"{many} {title}", size, circle, Circle(nodes(count + many)), many / (count + many))
    for title, many in (("leaves", 1), ("leave at once", 10)):
        yield _change(f"{many} {title}", size, circle, Circle(nodes(count - many)), many / count)


def _change(title: str, size: Size, old: Circle, new: Circle, ideal: float) -> tuple[object, ...]:
    found = moves(old, new)
    counts = (f"{share * size.sessions:,.0f}" for share in (found.all, found.lost))
    some = 1 - (1 - ideal) ** COPIES
    return title, f"{found.first:.2%}", f"{ideal:.2%}", f"{found.any:.2%}", f"{some:.2%}", *counts


def _repair(size: Size, circle: Circle) -> Iterator[str]:
    held = round(size.sessions * COPIES / size.nodes)
    yield from [
        "## Repair traffic",
        "",
        f"*Simulated*, every session of one node: it restarts empty, and {held:,} sessions have one copy less (as many",
        f"as when a node joins, a {COPIES / size.nodes:.1%} share). Each is repaired by its next read. Users make",
        "requests for a while and then leave; their session expires 30 minutes later. *Whole* is when half, 90 % and",
        "99 % of those that were read again were repaired; *thin* are sessions with one copy less that have not",
        "expired, after so many seconds.",
        "",
        *table(
            (
                "users (seconds between requests / of a visit)",
                "requests/s, all",
                "commands/s, a node",
                "repairs, first second",
                "whole, s",
                "never read again",
                "thin after 0 / 60 / 300 / 1800 s",
            ),
            (_recovery(users, size, held) for users in repair.USERS),
        ),
        f"A second node that is lost later takes with it 1 in {size.nodes - 1} of those that are thin then:",
        f"{held / (size.nodes - 1):.0f} sessions at once, none after 30 minutes.",
        "",
    ]


def _recovery(users: repair.Users, size: Size, held: int) -> tuple[object, ...]:
    found = repair.recover(users, held, size.seed)
    requests = users.requests(size.sessions)
    return (
        f"{users.name} ({users.think:g} / {users.visit:g})",
        f"{requests:,.0f}",
        f"{requests * COPIES / size.nodes:,.0f}",
        f"{found.first_second:,}",
        f"{found.half:.0f} / {found.most:.0f} / {found.nearly:.0f}",
        f"{1 - found.repaired / found.sessions:.0%}",
        " / ".join(f"{count:,}" for count in found.thin.values()),
    )


def _cost(size: Size, circle: Circle) -> Iterator[str]:
    yield from [
        "## What a repair costs",
        "",
        "*Counted*: the project's own store over nodes in memory, `copies=2`. A log-out also sends deletes, which are",
        "not waited for, to the ten other nodes of the session's list.",
        "",
        *table(("request", "commands / waits"), cost.costs().items()),
    ]


def _bytes(size: Size, circle: Circle) -> Iterator[str]:
    sessions, found = records.sessions(), records.parts()
    rows = [
        (
            name,
            plain,
            stored,
            f"{records.item(stored):,}",
            f"{_gigabytes(records.item(stored) * COPIES * size.sessions)}",
        )
        for name, (plain, stored) in sessions.items()
    ]
    ends = size.sessions / 1800
    yield from [
        "## Bytes",
        "",
        "*Measured* with the project's own codecs; the item with memcached's header (56 bytes) and the key, without",
        "what its slabs waste (10 to 20 %).",
        "",
        *table(
            ("session", "plain values, msgpack", "record", "memcached item", f"{size.sessions:,} sessions, 2 copies"),
            rows,
        ),
        *table(("of this", "bytes"), found.items()),
        "A tombstone lives for the session's longest interval and 5 minutes. Where every session logs in and out once",
        f"in its half hour ({ends:,.0f}/s each), that is {_gigabytes(records.tombstones(ends, 1800, COPIES))} of",
        "tombstones.",
        "",
    ]


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _zones(size: Size, circle: Circle) -> Iterator[str]:
    yield from [
        "## Zones",
        "",
        f"*Computed* with {max(3 * size.nodes // 10, 30)} nodes; the shares do not depend on how many. Sessions whose",
        "copies are all in one zone are lost with it; *left thin* are those with one copy in it. A read asks both",
        "copies; *crossing* is how many of its 2 commands leave the application node's zone, on average. *Most* is the",
        "node with most copies, relative to the mean, with all zones and with the worst one away.",
        "",
        *table(
            ("ring", "lost with a zone", "left thin", "crossing", "most", "most, one zone away"),
            (_zone(name, size, parts, told) for name, parts, told in _layouts()),
        ),
    ]


def _layouts() -> list[tuple[str, list[str], bool]]:
    three, two = ["a", "b", "c"], ["a", "b"]
    return [
        ("3 equal zones, the node list names them", three, True),
        ("3 equal zones, the node list does not", three, False),
        ("2 equal zones, named", two, True),
        ("3 zones of 60, 30 and 10 %, named", ["a"] * 6 + ["b"] * 3 + ["c"], True),
        ("2 zones of 70 and 30 %, named", ["a"] * 7 + ["b"] * 3, True),
    ]


def _zone(name: str, size: Size, parts: list[str], told: bool) -> tuple[object, ...]:
    count = max(3 * size.nodes // 10, 30)
    members = nodes(count, zones=parts)
    homes = {node.name: node.zone for node in members}
    found = zoned(Circle(members if told else nodes(count)), homes)
    counts = (f"{share * size.sessions / 1e6:,.1f} million" for share in (found.lost, found.touched - found.lost))
    return name, *counts, f"{found.crossing:.2f}", f"{found.most:.2f}", f"{found.most_without:.2f}"


def _silence(size: Size, circle: Circle) -> Iterator[str]:
    zoned_circle = Circle(nodes(size.nodes, zones=("a", "b", "c")))
    yield from [
        "## A zone falls silent",
        "",
        "*Simulated*, by a model of the waits and of the probe: one process with one thread, 5 ms a request, a",
        "connection to every node; then one of three zones answers nothing any more, not even a refusal. Each process",
        "finds out about each node by itself. (Nodes that refuse, since only memcached has ended, cost no wait.)",
        "",
        *table(
            (
                "nodes",
                "timeout / connect_timeout, s",
                "requests delayed",
                "waited, s",
                "longest, ms",
                "over after, s",
                "served in the first 10 s",
            ),
            _silences(zoned_circle, size),
        ),
    ]


def _silences(circle: Circle, size: Size) -> Iterator[tuple[object, ...]]:
    small = Circle(nodes(size.nodes // 10, zones=("a", "b", "c")))
    for ring, waits in ((circle, Waits()), (circle, Waits(0.1, 0.05)), (small, Waits()), (small, Waits(0.1, 0.05))):
        away = {node.name for node in ring.nodes if node.zone == "a"}
        found = silence(ring, away, waits, 0.005, size.seed, size.seconds)
        waited = f"{found.waited:.0f}", f"{found.longest * 1e3:.0f}", f"{found.last:.0f}", f"{found.served:.0%}"
        yield len(ring.nodes), f"{waits.answer} / {waits.connect}", found.delayed, *waited


def _sockets(size: Size, circle: Circle) -> Iterator[str]:
    yield from [
        "## Connections",
        "",
        f"*Simulated* for one process: {size.requests:,} requests, threads that wait for memcached for a fifth of",
        "their time; then multiplied for 500 application nodes. A process keeps as many connections to a node as it",
        "ever used at once, at most one for each thread.",
        "",
        *table(
            (
                "processes x threads",
                "nodes",
                "most to a node",
                "sockets of a process",
                "of an application node",
                "of a memcached node",
            ),
            _fleets(size),
        ),
    ]


def _fleets(size: Size) -> Iterator[tuple[object, ...]]:
    for count in (size.nodes, size.nodes // 10, 30):
        for fleet in (Fleet(500, 8, 1), Fleet(500, 8, 8), Fleet(500, 2, 64)):
            requests = size.requests // (1 + fleet.threads // 16)
            found = pool(count, fleet.threads, requests, 0.2, size.seed)
            total = sockets(fleet, count, found)
            yield str(fleet), count, found.most, f"{total.process:,}", f"{total.host:,}", f"{total.node:,}"


def text(found: Iterable[tuple[str, list[str]]]) -> str:
    """Return the page's tables."""
    return "\n".join(line for _, lines in found for line in lines).rstrip() + "\n"
