"""A node is swept before it is stopped: what it holds is carried to the others, without any reader."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scripted import Dialog, Script, ScriptedServer
from servers import Memcached, StartMemcached
from storage import changes, loaded
from test_membership import Load, asking, listed, wait_until
from webclient import SECRET

from sharedsession import ConfigError, SessionConfig
from sharedsession.assembly import Parts, assemble
from sharedsession.memcached.commands import Answer, Command, Put, Transport
from sharedsession.memcached.dump import Listing, list_keys
from sharedsession.memcached.move import move
from sharedsession.memcached.outcomes import Absence, Absent
from sharedsession.memcached.store import Store
from sharedsession.memcached.sweep import Swept, sweep
from sharedsession.nodelist import NodeConfig
from sharedsession.record import SLACK

PREFIX = "sharedsession:"
#: Default max inactive interval, in seconds.
INTERVAL = 1800
#: Seconds by which a life may seem shorter than it was: time passes, and memcached's clock ticks once a second.
TICKS = 2

NOTHING = Swept(carried=0, gone=0, unreadable=0, failed=0, others=0)


def parts_of(servers: Iterable[Memcached], **options: Any) -> Parts:
    """Return a middleware's parts over these nodes."""
    config = {"nodes": listed(servers), "secret_key": b"x" * 32, "timeout": 5, "connect_timeout": 5, **options}
    return assemble(SessionConfig(**config))


def new_key() -> str:
    """Return a storage key that nobody has used."""
    return PREFIX + hashlib.sha256(random.randbytes(16)).hexdigest()


def swept(servers: Iterable[Memcached], node: str, **options: Any) -> Swept:
    """Sweep a node by parts of their own, as the command does."""
    parts = parts_of(servers, **options)
    try:
        return parts.sweep(node)
    finally:
        parts.close()


def many(server: Memcached, commands: Iterable[bytes]) -> list[bytes]:
    """Send commands, each answered by one line, on one connection; return the replies."""
    commands = list(commands)
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        sender = threading.Thread(target=connection.sendall, args=(b"".join(line + b"\r\n" for line in commands),))
        sender.start()
        lines = connection.makefile("rb")
        replies = [lines.readline().rstrip() for _ in commands]
        sender.join()
        return replies


def lives(server: Memcached, keys: Iterable[str]) -> dict[str, int]:
    """Return the seconds left to each key that the server holds."""
    keys = list(keys)
    replies = many(server, (f"mg {key} t".encode() for key in keys))
    return {key: int(reply[4:]) for key, reply in zip(keys, replies, strict=True) if reply.startswith(b"HD t")}


class Town:
    """Sessions of every kind on a ring of nodes."""

    def __init__(self, servers: list[Memcached], sessions: int = 400) -> None:
        self.servers = servers
        self.parts = parts_of(servers)
        store = self.parts.store
        self.left: dict[str, int] = {}
        self.live = {new_key(): number for number in range(sessions)}
        intervals = (INTERVAL, INTERVAL, 60, 40 * 86400, 0)
        for key, number in self.live.items():
            store.create(key, changes(number=b"%d" % number, pad=b"x" * (number % 5000)), intervals[number % 5])
        self._age(key for key, number in self.live.items() if number % 5 < 2)
        self.ended = [self._created(store) for _ in range(sessions // 4)]
        for key in self.ended:
            store.end(loaded(store.load(key)))
        self.moved = {self._created(store): new_key() for _ in range(sessions // 4)}
        for key, target in self.moved.items():
            loaded(move(store, loaded(store.load(key)), target, changes(moved=b"1")))
        self.keys = [*self.live, *self.ended, *self.moved, *self.moved.values()]

    def _created(self, store: Store) -> str:
        key = new_key()
        store.create(key, changes(a=b"1"), INTERVAL)
        return key

    def _age(self, keys: Iterable[str]) -> None:
        """Leave sessions with all kinds of remaining lives."""
        numbers = random.Random(1)
        self.left = {key: numbers.randrange(30, INTERVAL) for key in keys}
        for server in self.servers:
            many(server, (f"mg {key} T{left}".encode() for key, left in self.left.items()))

    def check(self, parts: Parts) -> None:
        """Check that everything can be read as it was."""
        for key, number in self.live.items():
            assert loaded(parts.store.load(key)).record.live["number"] == b"%d" % number
        for key in self.ended:
            assert parts.store.load(key) == Absent(Absence.ENDED)
        for key, target in self.moved.items():
            absent = parts.store.load(key)
            assert isinstance(absent, Absent)
            assert (absent.why, absent.moved_to) == (Absence.MOVED, target)
            assert loaded(parts.store.load(target)).record.live == {"a": b"1", "moved": b"1"}


@pytest.fixture
def town(nodes: list[Memcached], start_memcached: StartMemcached) -> Iterator[Town]:
    """Return sessions of every kind on four nodes."""
    town = Town([*nodes, start_memcached("n4")])
    yield town
    town.parts.close()


def test_after_the_sweep_the_node_can_be_stopped(nodes: list[Memcached], start_memcached: StartMemcached) -> None:
    """Of thousands, without any reader, each has all copies on nodes that stay, with the life that it had left."""
    town = Town([*nodes, start_memcached("n4")], 2000)
    *staying, leaving = town.servers
    before = [lives(server, town.keys) for server in town.servers]
    begun = time.monotonic()
    result = swept(town.servers, "n4")
    assert result == Swept(carried=len(before[3]), gone=0, unreadable=0, failed=0, others=0)
    assert result.problem == ""
    assert result.carried > 1000
    leaving.kill()
    after = [lives(server, town.keys) for server in staying]
    took = int(time.monotonic() - begun) + 1
    parts = parts_of(staying)
    for key in town.keys:
        first, second = parts.cluster.ring.nodes_for(key)[:2]
        for name in (first, second):
            now = after[int(name[1]) - 1][key]
            then = max(life.get(key, 0) for life in before)
            if key in town.live or key in town.moved.values():
                # A life above 30 days is a date to memcached: there its clock and ours may differ by a tick.
                assert then - took - TICKS <= now <= then + (then > 30 * 86400)
            else:  # a mark outlives what it covers
                assert INTERVAL <= now <= INTERVAL + SLACK
    for key, left in town.left.items():
        assert max(life.get(key, 0) for life in after) <= left
    town.check(parts)
    assert "repairs" not in parts.stats.snapshot()
    town.parts.close()
    parts.close()


def test_sweeping_twice_changes_nothing(town: Town) -> None:
    """A second sweep finds everything where it belongs, and writes nothing."""
    first = swept(town.servers, "n4")
    stored = [server.stats()["cmd_set"] for server in town.servers]
    assert swept(town.servers, "n4") == first
    assert [server.stats()["cmd_set"] for server in town.servers] == stored
    town.check(town.parts)


def test_sweeping_what_was_taken_off_the_list(town: Town) -> None:
    """A node that the list does not name any more is swept by its entry."""
    *staying, leaving = town.servers
    result = swept(staying, leaving.node)
    assert (result.problem, result.failed) == ("", 0)
    leaving.kill()
    parts = parts_of(staying)
    town.check(parts)
    assert "repairs" not in parts.stats.snapshot()
    parts.close()


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_the_last_copy_is_carried(nodes: list[Memcached], copies: int) -> None:
    """What only the leaving node still holds is carried too, to as many nodes as there are copies."""
    town = Town(nodes, 40)
    for server in nodes[:2]:
        server.restart()
    held = lives(nodes[2], town.keys)
    begun = time.monotonic()
    assert swept(nodes, "n3", copies=copies).carried == len(held)
    nodes[2].kill()
    parts = parts_of(nodes[:2], copies=copies)
    found = [lives(server, town.keys) for server in nodes[:2]]
    took = int(time.monotonic() - begun) + 1
    for key, left in held.items():
        homes = parts.cluster.ring.nodes_for(key)[:copies]
        assert all(found[int(name[1]) - 1][key] >= left - took - TICKS for name in homes)
    town.parts.close()
    parts.close()


# -- what the leaving node alone knows ---------------------------------------------------------------------------------


@pytest.fixture
def alone(nodes: list[Memcached]) -> Iterator[Callable[[int], Store]]:
    """Return a function that returns a store of one node alone, by its number."""
    opened: list[Parts] = []

    def store(number: int) -> Store:
        opened.append(parts_of([nodes[number - 1]]))
        return opened[-1].store

    yield store
    for parts in opened:
        parts.close()


@pytest.fixture
def everywhere(nodes: list[Memcached]) -> Iterator[Parts]:
    """Return the parts over all three nodes, each with a copy of every session."""
    parts = parts_of(nodes, copies=3)
    yield parts
    parts.close()


@pytest.fixture
def staying(nodes: list[Memcached]) -> Iterator[Parts]:
    """Return the parts over the two nodes that stay."""
    parts = parts_of(nodes[:2])
    yield parts
    parts.close()


Alone = Callable[[int], Store]


def test_a_change_is_merged(nodes: list[Memcached], everywhere: Parts, staying: Parts, alone: Alone) -> None:
    """What was written to the leaving node and what was written to the others meanwhile is both there."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1", b=b"1"), INTERVAL)
    alone(3).commit(loaded(alone(3).load(key)), changes(a=b"2"))
    staying.store.commit(loaded(staying.store.load(key)), changes(b=b"2"))
    assert swept(nodes, "n3").carried == 1
    nodes[2].kill()
    assert loaded(staying.store.load(key)).record.live == {"a": b"2", "b": b"2"}


def test_a_log_out_is_carried(nodes: list[Memcached], everywhere: Parts, staying: Parts, alone: Alone) -> None:
    """A session that has ended on the leaving node alone ends everywhere, for as long as a copy might come back."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    alone(3).end(loaded(alone(3).load(key)))
    nodes[2].command(f"mg {key} T30".encode())
    assert swept(nodes, "n3").carried == 1
    nodes[2].kill()
    assert all(lives(server, [key])[key] > INTERVAL for server in nodes[:2])
    assert staying.store.load(key) == Absent(Absence.ENDED)


def test_what_ended_stays_ended(nodes: list[Memcached], everywhere: Parts, staying: Parts) -> None:
    """A live copy on the leaving node, which had missed the log-out, brings nothing back."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    staying.store.end(loaded(staying.store.load(key)))
    assert swept(nodes, "n3").carried == 1
    assert staying.store.load(key) == Absent(Absence.ENDED)


def test_what_was_written_under_an_old_id_is_carried(
    nodes: list[Memcached], everywhere: Parts, staying: Parts, alone: Alone
) -> None:
    """A change that reached the leaving node under an id given up elsewhere is brought to the new one."""
    # Decided by a node that stays: where it is the leaving one that decides, a move without it overrides it.
    key = next(key for key in iter(new_key, "") if everywhere.cluster.ring.nodes_for(key)[0] != "n3")
    target = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    move(staying.store, loaded(staying.store.load(key)), target, changes())
    alone(3).commit(loaded(alone(3).load(key)), changes(late=b"1"))
    assert swept(nodes, "n3").carried == 1
    nodes[2].kill()
    assert loaded(staying.store.find(key)).record.live == {"a": b"1", "late": b"1"}


def test_the_longer_life_counts(nodes: list[Memcached], everywhere: Parts) -> None:
    """Where only the leaving node's copy was prolonged, the session lives on for that long."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    for server, left in zip(nodes, (100, 200, 900), strict=True):
        server.command(f"mg {key} T{left}".encode())
    assert swept(nodes, "n3").carried == 1
    assert all(900 - TICKS <= lives(server, [key])[key] <= 900 for server in nodes[:2])


def test_a_life_is_never_shortened(nodes: list[Memcached], everywhere: Parts) -> None:
    """Copies that live longer than the leaving node's keep their lives."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    for server, left in zip(nodes, (100, 200, 50), strict=True):
        server.command(f"mg {key} T{left}".encode())
    assert swept(nodes, "n3").carried == 1
    assert [lives(server, [key])[key] // 10 for server in nodes[:2]] in ([10, 20], [9, 19], [9, 20], [10, 19])


# -- what is not carried -----------------------------------------------------------------------------------------------


def test_what_is_not_ours_stays_where_it_is(nodes: list[Memcached], everywhere: Parts) -> None:
    """Keys with another prefix, other programs' and damaged values are skipped, and not one of them is changed."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    good = nodes[2].command(f"mg {key} v".encode()).split(b"\r\n", 1)[1].removesuffix(b"\r\n")
    damaged = [good[:-1] + bytes([good[-1] ^ 1]), good[:40], good, b"", b"SS", b"a:1:{}"]
    foreign = ["sharedsession2:x", "other:%41 b".replace(" ", "%20"), "sharedsession", "\xfcber:1", "p" * 250]
    for name, value in [*((new_key(), value) for value in damaged), *((name, b"1") for name in foreign)]:
        nodes[2].command(b"ms %s %d T77\r\n%s" % (name.encode("latin-1"), len(value), value))
    items = [server.stats()["curr_items"] for server in nodes]
    stored = [server.stats()["cmd_set"] for server in nodes]
    result = swept(nodes, "n3")
    assert result == Swept(carried=1, gone=0, unreadable=len(damaged), failed=0, others=len(foreign))
    assert result.problem == ""
    assert [server.stats()["curr_items"] for server in nodes] == items
    assert [server.stats()["cmd_set"] for server in nodes] == stored


def test_another_prefix_is_untouched(nodes: list[Memcached]) -> None:
    """Another application's sessions on the same nodes are neither read nor moved."""
    other = parts_of(nodes, key_prefix="shop:")
    keys = ["shop:" + new_key()[-64:] for _ in range(20)]
    for key in keys:
        other.store.create(key, changes(a=b"1"), INTERVAL)
    before = [sorted(lives(server, keys)) for server in nodes]
    result = swept(nodes, "n3")
    assert result == Swept(carried=0, gone=0, unreadable=0, failed=0, others=len(before[2]))
    assert "key_prefix" in result.problem
    assert [sorted(lives(server, keys)) for server in nodes] == before
    other.close()


def test_the_wrong_secret_is_noticed(nodes: list[Memcached]) -> None:
    """When nothing can be read, nothing is carried, and the node is not said to be ready to be stopped."""
    town = Town(nodes, 20)
    held = len(lives(nodes[2], town.keys))
    result = swept(nodes, "n3", secret_key=b"another secret, of another application")
    assert result == Swept(carried=0, gone=0, unreadable=held, failed=0, others=0)
    assert "secret_key" in result.problem
    town.parts.close()


def test_a_former_secret_is_read_and_renewed(nodes: list[Memcached]) -> None:
    """Sessions signed with a former key are carried, signed with the present one."""
    town = Town(nodes, 20)
    keys = {"secret_key": b"the key of the new year, 32 bytes", "secret_key_fallbacks": (b"x" * 32,)}
    result = swept(nodes, "n3", **keys)
    assert (result.carried > 0, result.problem) == (True, "")
    town.parts.close()


def test_a_newer_format_is_not_thrown_away(nodes: list[Memcached], everywhere: Parts) -> None:
    """A session that only a newer version of this library can read is reported, not skipped."""
    key = new_key()
    nodes[2].command(b"ms %s 4 T77\r\nSS\x63\x00" % key.encode())
    result = swept(nodes, "n3")
    assert result == Swept(carried=0, gone=0, unreadable=0, failed=1, others=0)
    assert "run this again" in result.problem


def test_what_expires_meanwhile_is_gone(nodes: list[Memcached], everywhere: Parts) -> None:
    """A key whose value is gone when it comes to it is no failure."""
    nodes[2].command(b"ms other 1 T77\r\n1")
    listing = Listing([new_key(), new_key()], 1)
    assert everywhere.membership is not None
    everywhere.membership.retire("n3")
    result = sweep(everywhere.store, everywhere.cluster, "n3", lambda: listing)
    assert result == Swept(carried=0, gone=2, unreadable=0, failed=0, others=1)
    assert result.problem == ""


def test_a_node_too_few_is_noticed(nodes: list[Memcached]) -> None:
    """While a node that should get copies is down, nothing counts as carried that has fewer copies than it should."""
    town = Town(nodes, 20)
    held = len(lives(nodes[2], town.keys))
    nodes[0].kill()
    result = swept(nodes, "n3", connect_timeout=0.5, timeout=0.5)
    assert (result.carried, result.failed) == (0, held)
    assert result.problem == f"{held} sessions could not be carried: run this again before the node is stopped"
    nodes[0].start()
    assert swept(nodes, "n3").carried == held
    town.parts.close()


def test_a_session_too_large_for_the_others_is_noticed(start_memcached: StartMemcached) -> None:
    """A session over the item limit of the nodes that stay is a failure, and the others are carried."""
    small, large = start_memcached("n1"), start_memcached("n2", ("-I", "4m"))
    parts = parts_of([large])
    for size in (10, 2_000_000):
        parts.store.create(new_key(), changes(a=random.Random(1).randbytes(size)), INTERVAL)
    parts.close()
    result = swept([small, large], "n2")
    assert (result.carried, result.failed) == (1, 1)


# -- while requests go on ----------------------------------------------------------------------------------------------


def test_a_sweep_under_load_loses_nothing(nodes: list[Memcached]) -> None:
    """While two applications write, a node is swept, taken off the lists, swept again and stopped: nothing is lost."""
    with Load(listed(nodes)) as load:
        load.all_round()
        for _ in range(3):
            assert swept(nodes, "n3", secret_key=SECRET).problem == ""
        for app in load.apps:
            app.set_nodes(listed(nodes[:2]))
            assert swept(nodes[:2], nodes[2].node, secret_key=SECRET).problem == ""
        load.all_round()
        nodes[2].kill()
        load.all_round()
    load.check()


class Interrupting:
    """A way to the nodes on which others come first: they act before each of the first writes.

    Args:
        transport: the way.
        act: what they do.
        times: how often.
    """

    def __init__(self, transport: Transport, act: Callable[[int], object], times: int) -> None:
        self._transport = transport
        self._act = act
        self._times = times

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Let the others act, then pass the commands on."""
        if self._times and any(isinstance(command, Put) for _, command in requests):
            self._times -= 1
            self._act(self._times)
        return self._transport.ask(requests, enough)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def test_a_session_that_others_keep_changing_is_carried(
    nodes: list[Memcached], everywhere: Parts, staying: Parts, alone: Alone
) -> None:
    """However often somebody else comes first, what counts as carried is the same on all nodes, with every change."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    alone(3).commit(loaded(alone(3).load(key)), changes(b=b"1"))
    others = alone(1)
    sweeper = parts_of(nodes)
    sweeper.cluster.transport = Interrupting(
        sweeper.transport, lambda left: others.commit(loaded(others.load(key)), changes({f"c{left}": b"1"})), 7
    )
    assert sweeper.sweep("n3").carried == 1
    sweeper.close()
    values = [server.command(f"mg {key} v".encode()) for server in nodes[:2]]
    assert values[0] == values[1]
    assert set(loaded(staying.store.load(key)).record.live) == {"a", "b", *(f"c{number}" for number in range(7))}


def test_a_session_that_nobody_can_catch_is_a_failure(nodes: list[Memcached], everywhere: Parts, alone: Alone) -> None:
    """What never comes to rest is not said to be carried."""
    key = new_key()
    everywhere.store.create(key, changes(a=b"1"), INTERVAL)
    alone(3).commit(loaded(alone(3).load(key)), changes(b=b"1"))
    others = alone(1)
    sweeper = parts_of(nodes)
    sweeper.cluster.transport = Interrupting(
        sweeper.transport, lambda left: others.commit(loaded(others.load(key)), changes(c=b"%d" % left)), 1000
    )
    assert sweeper.sweep("n3") == Swept(carried=0, gone=0, unreadable=0, failed=1, others=0)
    sweeper.close()


def test_what_is_written_to_the_node_meanwhile_is_carried_too(nodes: list[Memcached], everywhere: Parts) -> None:
    """A session that was stored there after the keys had been listed comes in the next round."""
    keys = [new_key() for _ in range(3)]
    everywhere.store.create(keys[0], changes(a=b"1"), INTERVAL)
    sweeper = parts_of(nodes)
    assert sweeper.membership is not None
    leaving = sweeper.membership.retire("n3")

    def listing() -> Listing:
        listed_keys = list_keys(leaving, PREFIX, connect_timeout=5)
        new = next(key for key in keys if key not in listed_keys.keys) if keys[2] not in listed_keys.keys else None
        if new:
            everywhere.store.create(new, changes(a=b"1"), INTERVAL)
        return listed_keys

    assert sweep(sweeper.store, sweeper.cluster, "n3", listing).carried == 3
    sweeper.close()


# -- the node ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("n9", "'n9' is none of n1 n2 n3"),
        ("", "'' is none of n1 n2 n3"),
        ("n9:", "'n9:' is not name:host:port"),
        ("n3:127.0.0.1:1", "n3 has another address"),
        ("n8:127.0.0.1:1 n9:127.0.0.1:2", "more than one node"),
        ("dns:localhost:11211", "stands alone"),
    ],
)
def test_a_wrong_node_is_refused(nodes: list[Memcached], node: str, problem: str) -> None:
    """A node that cannot be meant is a ConfigError that says why; nothing is carried anywhere."""
    with pytest.raises(ConfigError, match=problem) as caught:
        swept(nodes, node)
    assert caught.value.option == "nodes"


def test_a_node_is_known_by_its_address(nodes: list[Memcached]) -> None:
    """An entry with another name but the address of a node on the list is that node: it gets no copies."""
    town = Town(nodes, 20)
    held = len(lives(nodes[2], town.keys))
    assert swept(nodes, f"old:127.0.0.1:{nodes[2].port}").carried == held
    nodes[2].kill()
    found = [lives(server, town.keys) for server in nodes[:2]]
    assert len(found[0]) == len(found[1]) == len(town.keys)
    town.parts.close()


def test_nobody_puts_the_node_back_meanwhile(nodes: list[Memcached]) -> None:
    """Where a function tells the nodes, it is not asked any more once the sweep has begun."""
    before = set(asking())
    config = SessionConfig(nodes=lambda: listed(nodes), nodes_interval=3600, secret_key=b"x" * 32)
    parts = assemble(config)
    (asker,) = set(asking()) - before
    assert parts.sweep("n3") == NOTHING
    wait_until(lambda: not asker.is_alive(), "the end of the asking")
    assert [node.name for node in parts.nodes] == ["n1", "n2"]
    parts.close()


def test_too_few_would_be_left(nodes: list[Memcached]) -> None:
    """The last node, or one without which the required copies cannot be had, is not swept."""
    for servers, options in ((nodes[2:], {}), (nodes[1:], {"required_copies": 2})):
        with pytest.raises(ConfigError, match="fewer nodes than required copies"):
            swept(servers, "n3", **options)


def test_the_store_in_this_process_has_nothing_to_sweep() -> None:
    """Without nodes there is a ConfigError."""
    with pytest.raises(ConfigError, match="nothing to sweep"):
        assemble(SessionConfig(secret_key=b"x" * 32)).sweep("n1")


def test_a_node_that_dies_meanwhile_ends_the_sweep(nodes: list[Memcached], everywhere: Parts) -> None:
    """When the leaving node stops answering there is an error, not a sweep that seems complete."""
    assert everywhere.membership is not None
    everywhere.membership.retire("n3")
    nodes[2].kill()
    with pytest.raises(OSError, match="it answers no more"):
        sweep(everywhere.store, everywhere.cluster, "n3", lambda: Listing([new_key()], 0))
    with pytest.raises(OSError, match="refused"):
        swept(nodes, "n3")


# -- the key dump ------------------------------------------------------------------------------------------------------


def keys_of(server: Memcached | ScriptedServer, prefix: str = "", **patience: float) -> Listing:
    """List what a server holds."""
    node = NodeConfig("n1", ("127.0.0.1", server.port))
    return list_keys(node, prefix, connect_timeout=5, **patience)


def test_every_key_is_listed(memcached: Memcached) -> None:
    """Thousands of keys, with any characters that a key may have, are listed once each; none of an empty server."""
    assert keys_of(memcached) == Listing([], 0)
    keys = [f"k{number}" for number in range(5000)] + ["a%b", "%41", "a=b", "key=x", "\xfc", "x" * 250]
    many(memcached, (b"ms %s 0 T100\r\n" % key.encode("latin-1") for key in keys))
    assert sorted(keys_of(memcached).keys) == sorted(keys)
    assert keys_of(memcached, "k1").others == len(keys) - 1111


def test_two_dumps_at_once(memcached: Memcached) -> None:
    """A server that is busy with another dump is asked again until it has time."""
    many(memcached, (b"ms k%d 0 T100\r\n" % number for number in range(20000)))
    with ThreadPoolExecutor(4) as pool:
        listings = list(pool.map(lambda _: keys_of(memcached), range(8)))
    assert [len(set(listing.keys)) for listing in listings] == [20000] * 8


@pytest.fixture
def answering() -> Iterator[Callable[[list[bytes]], ScriptedServer]]:
    """Return a function that starts a server with one answer to each dump asked for, the last one for ever."""
    running: list[ScriptedServer] = []

    def start(answers: list[bytes]) -> ScriptedServer:
        def script(dialog: Dialog) -> None:
            dialog.greet()
            dialog.command()
            dialog.send(answers[min(dialog.number, len(answers)) - 1])
            dialog.wait_for_hang_up()

        running.append(ScriptedServer(script))
        return running[-1]

    yield start
    for server in running:
        server.close()


Answering = Callable[[list[bytes]], ScriptedServer]
BUSY = b"BUSY currently processing crawler request\r\n"


def test_a_busy_server_is_asked_again(answering: Answering) -> None:
    """BUSY is answered by patience, and by a clear error when that ends."""
    server = answering([BUSY, BUSY, b"key=a exp=-1\nkey=b exp=1\nEND\r\n"])
    assert keys_of(server) == Listing(["a", "b"], 0)
    with pytest.raises(ValueError, match="does not tell its keys: BUSY currently processing"):
        keys_of(answering([BUSY]), busy_patience=0.1)


def test_an_old_memcached_lists_its_keys_too(answering: Answering) -> None:
    """Before 1.6.9 there was no walk along the hash table; the one along the LRUs is taken then."""
    server = answering([b"BADCLASS invalid class id\r\n", b"key=a exp=-1\r\nEND\r\n"])
    assert keys_of(server) == Listing(["a"], 0)
    assert server.log[1::2] == [b"lru_crawler metadump hash\r\n", b"lru_crawler metadump all\r\n"]
    with pytest.raises(ValueError, match="BADCLASS"):
        keys_of(answering([b"BADCLASS invalid class id\r\n"]))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"ERROR\r\n", "does not tell its keys: ERROR"),
        (b"CLIENT_ERROR lru crawler disabled\r\n", "lru crawler disabled"),
        (b"key=a exp=1\nkey=", "does not tell its keys in time"),
        (b"key=a exp=1\n" + b"x" * 5000, "endless reply line"),
        (b"key=a exp=1\nSERVER_ERROR out of memory\r\n", "out of memory"),
    ],
)
def test_a_dump_that_is_not_whole_is_an_error(answering: Answering, answer: bytes, problem: str) -> None:
    """Only a dump that has come to its end counts."""
    with pytest.raises((OSError, ValueError), match=problem):
        keys_of(answering([answer]), piece_patience=0.2)


def test_a_dump_that_is_cut_off_is_an_error() -> None:
    """A connection that ends before the dump does is an error."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(b"key=a exp=1\n")

    scripted: Script = script
    server = ScriptedServer(scripted)
    with pytest.raises(EOFError):
        keys_of(server)
    server.close()


def test_a_server_without_a_crawler_says_so(start_memcached: StartMemcached) -> None:
    """A memcached whose LRU crawler is switched off cannot be swept, and that is what the error says."""
    server = start_memcached("n1", ("-o", "no_lru_crawler"))
    with pytest.raises(ValueError, match="lru crawler disabled"):
        keys_of(server)
