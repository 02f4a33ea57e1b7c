"""The store while its nodes fail, one at a time: killed, hung, emptied, stale, damaged. All nodes are real."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from servers import Memcached
from storage import INTERVAL, PREFIX, SECRET, TIMEOUT, Rig, changes, decide, loaded, memcached_rig

from sharedsession.codec import Decoded, RecordCodec
from sharedsession.errors import SessionTooLargeError, StoreUnavailableError
from sharedsession.memcached.commands import Answer, Command, Transport
from sharedsession.memcached.health import ProbedHealth
from sharedsession.memcached.move import move
from sharedsession.memcached.outcomes import UNKNOWN, Absence, Absent, Loaded
from sharedsession.memcached.store import Store
from sharedsession.memcached.transaction import Again, Transaction
from sharedsession.record import SLACK

MakeRig = Callable[..., Rig]
Start = Callable[..., Memcached]

#: A preference list: the copies' home is n1 and n2, n3 stands in.
ORDER = ("n1", "n2", "n3")


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    """Return `memcached_rig`; what it makes is closed when the test ends."""
    made: list[Rig] = []

    def make(*args: object, **options: object) -> Rig:
        made.append(memcached_rig(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for rig in made:
        for server in rig.servers.values():
            if server.running:
                server.resume()
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig, nodes: list[Memcached]) -> Rig:
    """Return a store over three nodes, two copies."""
    return make_rig(nodes)


@pytest.fixture
def key(rig: Rig) -> str:
    """Return the key of a stored session with a = 1, at home on n1 and n2."""
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    assert set(rig.remaining(key)) == {"n1", "n2"}
    return key


def live(rig: Rig, key: str, *, slide: bool = True) -> dict[str, bytes]:
    """Return the attributes of a live session."""
    return loaded(rig.store.load(key, slide=slide)).record.live


def commit(rig: Rig, key: str, **values: bytes) -> Loaded:
    """Load and write as one request does."""
    return loaded(rig.store.commit(loaded(rig.store.load(key)), changes(values)))


def raw(rig: Rig, node: str, key: str) -> bytes:
    """Return the bytes that one node holds, asked by hand; b"" when it holds none."""
    reply = rig.servers[node].command(f"mg {key} v".encode())
    head, _, rest = reply.partition(b"\r\n")
    return rest[:-2] if head.startswith(b"VA") else b""


def put_raw(rig: Rig, node: str, key: str, value: bytes) -> None:
    """Overwrite the bytes that one node holds, by hand."""
    head = f"ms {key} {len(value)} T{INTERVAL}\r\n".encode()
    assert rig.servers[node].command(head + value) == b"HD\r\n"


def held(rig: Rig, node: str, key: str) -> dict[str, bytes] | None:
    """Return the attributes in one node's copy; None when it holds no readable one."""
    value = raw(rig, node, key)
    decoded = rig.codec.decode(key, value) if value else None
    return decoded.record.live if isinstance(decoded, Decoded) else None


def wait_until_up(rig: Rig, *names: str) -> None:
    """Wait until the probe has found the nodes well."""
    deadline = time.monotonic() + 3
    while not all(name not in rig.health.down for name in names):
        assert time.monotonic() < deadline, "the probe has not found the node"
        time.sleep(0.02)


@pytest.mark.parametrize("victims", [["n1"], ["n1", "n2"]])
def test_a_node_that_fails_after_the_load_is_replaced(rig: Rig, key: str, victims: list[str]) -> None:
    """A change counts only when copies have it, also when they were alike and died while they were prolonged."""
    session = loaded(rig.store.load(key))
    for victim in victims:
        rig.servers[victim].kill()
    session.copies.prolong(INTERVAL)
    loaded(rig.store.commit(session, changes(b=b"2")))
    holders = [name for name in ORDER if name not in victims and (held(rig, name, key) or {}).get("b") == b"2"]
    assert len(holders) == len(ORDER) - len(victims)


# -- one node killed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["n1", "n2"])
@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_one_node_away_loses_nothing(rig: Rig, key: str, victim: str, fault: str) -> None:
    """With either copy's node killed or hung, the session is read and written under the same key, on two nodes."""
    getattr(rig.servers[victim], fault)()
    assert live(rig, key) == {"a": b"1"}
    commit(rig, key, b=b"2")
    assert live(rig, key) == {"a": b"1", "b": b"2"}
    for node in {"n1", "n2", "n3"} - {victim}:
        assert held(rig, node, key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("victim", ["n1", "n2"])
@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_a_node_that_dies_between_load_and_commit_loses_nothing(
    make_rig: MakeRig, nodes: list[Memcached], victim: str, fault: str
) -> None:
    """A node that fails in the middle of a request is replaced in the same request, which pays one time-out at most."""
    rig = make_rig(nodes, timeout=0.7)
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    session = loaded(rig.store.load(key))
    getattr(rig.servers[victim], fault)()
    start = time.monotonic()
    loaded(rig.store.commit(session, changes(b=b"2")))
    assert time.monotonic() - start < 1.9 * 0.7
    for node in {"n1", "n2", "n3"} - {victim}:
        assert held(rig, node, key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_sessions_are_created_while_a_node_is_away(rig: Rig, fault: str) -> None:
    """A new session has both copies although its first node has just failed."""
    getattr(rig.servers["n1"], fault)()
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    assert held(rig, "n2", key) == held(rig, "n3", key) == {"a": b"1"}


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_transactions_go_on_while_the_decider_is_away(rig: Rig, key: str, fault: str) -> None:
    """The node that decides is away: another takes over, and counting stays exact."""
    session, attempts = loaded(rig.store.load(key)), Transaction(rig.store, int(rig.clock()))
    getattr(rig.servers["n1"], fault)()
    outcome = attempts.decide(session, changes(a=b"2"))
    if isinstance(outcome, Again):
        outcome = attempts.decide(loaded(outcome.loaded), changes(a=b"2"))
    loaded(outcome)
    for number in (b"3", b"4"):
        loaded(decide(rig, loaded(rig.store.load(key)), changes(a=number)))
    assert live(rig, key) == {"a": b"4"}


@pytest.mark.parametrize("verb", ["end", "move"])
@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_log_out_and_log_in_work_while_a_node_is_away(rig: Rig, key: str, victim: str, verb: str) -> None:
    """Ending and moving are done on the nodes that are there, and hold when the dead one is back, empty."""
    session = loaded(rig.store.load(key))
    rig.servers[victim].kill()
    new_key = rig.key(ORDER)
    if verb == "end":
        rig.store.end(session)
    else:
        loaded(move(rig.store, session, new_key, changes(b=b"2")))
    wanted = Absent(Absence.ENDED) if verb == "end" else Absent(Absence.MOVED, new_key, recently=True)
    assert rig.store.load(key) == wanted
    rig.servers[victim].start()
    wait_until_up(rig, victim)
    assert rig.store.load(key) == wanted
    if verb == "move":
        assert live(rig, new_key) == {"a": b"1", "b": b"2"}


def test_an_unknown_key_is_unknown_while_a_node_is_away(rig: Rig) -> None:
    """One home node's "I have none" is enough to say so; nobody is turned away with a 503."""
    rig.servers["n1"].kill()
    assert rig.store.load(rig.key(ORDER)) == UNKNOWN
    assert rig.store.load(rig.key(("n2", "n1", "n3"))) == UNKNOWN


# -- a node returns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_node_back_empty_is_repaired_by_the_next_load(rig: Rig, key: str, victim: str) -> None:
    """A restarted node holds its copies again as soon as their sessions were read once."""
    rig.servers[victim].restart()
    assert raw(rig, victim, key) == b""
    assert live(rig, key) == {"a": b"1"}
    assert held(rig, victim, key) == {"a": b"1"}
    assert min(rig.remaining(key).values()) >= INTERVAL - 2


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_an_evicted_copy_is_put_back(rig: Rig, key: str, victim: str) -> None:
    """A copy that its node has thrown away is there again after the next load."""
    rig.servers[victim].command(f"md {key}".encode())
    assert live(rig, key) == {"a": b"1"}
    assert held(rig, victim, key) == {"a": b"1"}
    assert rig.stats.snapshot()["repairs"] >= 1


def test_a_load_that_does_not_slide_repairs_too(rig: Rig, key: str) -> None:
    """A poller's load heals a lost copy like any other."""
    rig.servers["n1"].command(f"md {key}".encode())
    assert live(rig, key, slide=False) == {"a": b"1"}
    assert held(rig, "n1", key) == {"a": b"1"}


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_node_back_with_a_stale_copy_never_serves_it(rig: Rig, key: str, victim: str) -> None:
    """A node that slept through a write holds the old value: the new one is served, and the old one replaced."""
    rig.servers[victim].hang()
    commit(rig, key, a=b"2", b=b"new")
    rig.servers[victim].resume()
    wait_until_up(rig, victim)
    assert held(rig, victim, key) == {"a": b"1"}
    assert live(rig, key) == {"a": b"2", "b": b"new"}
    assert held(rig, victim, key) == {"a": b"2", "b": b"new"}


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_live_copy_that_returns_after_a_log_out_stays_dead(rig: Rig, key: str, victim: str) -> None:
    """A node that slept through the log-out still has the session: it stays ended, and that copy is ended too."""
    rig.servers[victim].hang()
    rig.health.mark_down(victim, "known to hang")  # or it would be told, and do so when it wakes up
    rig.store.end(loaded(rig.store.load(key)))
    rig.servers[victim].resume()
    wait_until_up(rig, victim)
    assert held(rig, victim, key) == {"a": b"1"}
    assert rig.store.load(key) == Absent(Absence.ENDED)
    assert held(rig, victim, key) == {}
    assert rig.remaining(key)[victim] >= INTERVAL + SLACK - 2


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_live_copy_that_returns_after_a_move_stays_moved(rig: Rig, key: str, victim: str) -> None:
    """A node that slept through the log-in does not bring the old id back to life."""
    rig.servers[victim].hang()
    new_key = rig.key(ORDER)
    loaded(move(rig.store, loaded(rig.store.load(key)), new_key, changes(user=b"me")))
    rig.servers[victim].resume()
    wait_until_up(rig, victim)
    assert rig.store.load(key) == Absent(Absence.MOVED, new_key, recently=True)
    assert live(rig, new_key) == {"a": b"1", "user": b"me"}
    assert held(rig, victim, new_key) == {"a": b"1", "user": b"me"}


def test_a_write_made_while_home_was_away_is_found_at_home_afterwards(rig: Rig, key: str) -> None:
    """What a stand-in took is brought home by the first load after the return, so the stand-in is no longer needed."""
    rig.servers["n1"].kill()
    commit(rig, key, b=b"2")
    rig.servers["n1"].start()
    wait_until_up(rig, "n1")
    assert live(rig, key) == {"a": b"1", "b": b"2"}
    rig.servers["n2"].kill()
    rig.servers["n3"].kill()
    assert live(rig, key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("lost", [("n1", "n2"), ("n1",), ("n2",)])
def test_what_only_the_stand_in_has_is_found(rig: Rig, key: str, lost: tuple[str, ...]) -> None:
    """Whenever a home node holds no copy, or an older one, the node that stood in is asked as well."""
    stale = {node: raw(rig, node, key) for node in ("n1", "n2")}
    rig.servers["n1"].kill()
    commit(rig, key, b=b"2")
    rig.servers["n1"].start()
    wait_until_up(rig, "n1")
    for node in ("n1", "n2"):
        put_raw(rig, node, key, stale[node])
    for node in lost:
        rig.servers[node].command(f"md {key}".encode())
    assert live(rig, key) == {"a": b"1", "b": b"2"}
    assert held(rig, "n1", key) == held(rig, "n2", key) == {"a": b"1", "b": b"2"}


def test_a_log_out_removes_orphan_copies(rig: Rig, key: str) -> None:
    """A copy left on a node that is not at home to the session is deleted with it."""
    put_raw(rig, "n3", key, raw(rig, "n1", key))
    rig.store.end(loaded(rig.store.load(key)))
    deadline = time.monotonic() + 2
    while raw(rig, "n3", key):  # the deletion is not waited for
        assert time.monotonic() < deadline, "the orphan is still there"
        time.sleep(0.01)


def test_two_faults_one_after_the_other_lose_nothing(rig: Rig, key: str) -> None:
    """Each node in turn is restarted empty; as long as the session is read in between, it survives them all."""
    for round_number in range(2):
        for name in ORDER:
            rig.servers[name].restart()
            commit(rig, key, **{f"{name}{round_number}": b"x"})
    assert len(live(rig, key)) == 7


def test_a_process_that_has_not_noticed_reads_right(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """While one process has a node marked down and another not, both read and write the same session."""
    first, second = make_rig(nodes), make_rig(nodes)
    key = first.key(ORDER)
    first.store.create(key, changes(a=b"1"), INTERVAL)
    assert isinstance(first.health, ProbedHealth)
    first.health.close()  # no probe: the fault lasts
    first.health.mark_down("n1", "only this process could not reach it")
    commit(first, key, b=b"2")
    commit(second, key, c=b"3")
    assert "n1" in first.health.down
    assert live(first, key) == live(second, key) == {"a": b"1", "b": b"2", "c": b"3"}
    second.store.end(loaded(second.store.load(key)))
    assert first.store.load(key) == second.store.load(key) == Absent(Absence.ENDED)


# -- too many away -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_with_both_homes_away_the_store_says_so_in_time(rig: Rig, key: str, fault: str) -> None:
    """Neither home node answers: that is "unavailable", not "no such session", and it takes bounded time."""
    for name in ("n1", "n2"):
        getattr(rig.servers[name], fault)()
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            rig.store.load(key)
        assert time.monotonic() - start < 3.5 * TIMEOUT
    assert "n1" in str(caught.value) or "n2" in str(caught.value)


def test_with_both_homes_away_new_sessions_are_stored_all_the_same(rig: Rig) -> None:
    """A session created meanwhile lies on the node that is left, and is read and written there."""
    for name in ("n1", "n2"):
        rig.servers[name].kill()
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    commit(rig, key, b=b"2")
    assert live(rig, key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_with_all_nodes_away_everything_is_refused_in_time(rig: Rig, key: str, fault: str) -> None:
    """Reading, writing, creating and logging out all say "unavailable"; nothing is acknowledged, nothing waits long."""
    session, other = loaded(rig.store.load(key)), loaded(rig.store.load(key))
    for server in rig.servers.values():
        getattr(server, fault)()
    for verb in (
        lambda: rig.store.commit(session, changes(b=b"2")),
        lambda: rig.store.load(key),
        lambda: rig.store.create(rig.key(), changes(), INTERVAL),
        lambda: rig.store.end(other),
        lambda: rig.store.locate(key),
    ):
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            verb()
        assert time.monotonic() - start < 4.5 * TIMEOUT


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_recovery_needs_no_restart(rig: Rig, key: str, fault: str) -> None:
    """When the nodes answer again, so does the store: with the data where they kept it."""
    for server in rig.servers.values():
        getattr(server, fault)()
    with pytest.raises(StoreUnavailableError):
        rig.store.load(key)
    for server in rig.servers.values():
        server.resume() if fault == "hang" else server.start()
    wait_until_up(rig, *rig.servers)
    if fault == "hang":
        assert live(rig, key) == {"a": b"1"}
    else:
        assert rig.store.load(key) == UNKNOWN
    fresh = rig.key()
    rig.store.create(fresh, changes(b=b"2"), INTERVAL)
    assert live(rig, fresh) == {"b": b"2"}


def test_a_refused_write_is_not_half_acknowledged(make_rig: MakeRig, start_memcached: Start) -> None:
    """With two copies required and one of two nodes dead, writes are refused; reads go on; recovery is automatic."""
    rig = make_rig([start_memcached("n1"), start_memcached("n2")], required=2)
    key = rig.key(("n1", "n2"))
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    session, other = loaded(rig.store.load(key)), loaded(rig.store.load(key))
    rig.servers["n1"].kill()
    for verb in (
        lambda: rig.store.commit(session, changes(b=b"2")),
        lambda: rig.store.create(rig.key(), changes(), INTERVAL),
        lambda: rig.store.end(other),
    ):
        with pytest.raises(StoreUnavailableError, match="1 of 2"):
            verb()


def test_reads_go_on_with_one_of_two_required_copies(make_rig: MakeRig, start_memcached: Start) -> None:
    """`required_copies` is about writing: one copy is enough to read from, and writes work again after the return."""
    rig = make_rig([start_memcached("n1"), start_memcached("n2")], required=2)
    key = rig.key(("n1", "n2"))
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    rig.servers["n1"].kill()
    assert live(rig, key) == {"a": b"1"}
    rig.servers["n1"].start()
    wait_until_up(rig, "n1")
    commit(rig, key, b=b"2")
    assert held(rig, "n1", key) == held(rig, "n2", key) == {"a": b"1", "b": b"2"}


def test_the_third_node_stands_in_where_two_copies_are_required(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """With three nodes, one dead, two required copies are still taken: by the other home node and the stand-in."""
    rig = make_rig(nodes, required=2)
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    session = loaded(rig.store.load(key))
    rig.servers["n1"].kill()
    loaded(rig.store.commit(session, changes(b=b"2")))
    assert held(rig, "n2", key) == held(rig, "n3", key) == {"a": b"1", "b": b"2"}


# -- unreadable copies -------------------------------------------------------------------------------------------------


def flipped(value: bytes) -> bytes:
    """Return the value with one bit of its body turned."""
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


def newer(value: bytes) -> bytes:
    """Return the value as a later format of this library would mark it."""
    return value[:2] + bytes([value[2] + 1]) + value[3:]


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "damaged": flipped,
    "truncated": lambda value: value[:-5],
    "foreign": lambda value: b"{}" + value[2:],
    "empty": lambda value: b"",
}
COUNTED_AS = {"empty": "foreign"}


@pytest.mark.parametrize("victim", ["n1", "n2"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_copy_loses_to_a_good_one(rig: Rig, key: str, victim: str, kind: str) -> None:
    """The good copy is served, the bad one replaced by it, and the kind of damage counted."""
    put_raw(rig, victim, key, UNREADABLE[kind](raw(rig, victim, key)))
    assert live(rig, key) == {"a": b"1"}
    assert held(rig, victim, key) == {"a": b"1"}
    assert rig.stats.snapshot()[f"unreadable_{COUNTED_AS.get(kind, kind)}"] == 1


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_copy_of_another_session_is_refused(rig: Rig, key: str, victim: str) -> None:
    """Bytes copied from another session's key are never served: one session, one client."""
    other = rig.key(ORDER)
    rig.store.create(other, changes(secret=b"of somebody else"), INTERVAL)
    put_raw(rig, victim, key, raw(rig, victim, other))
    assert live(rig, key) == {"a": b"1"}
    assert held(rig, victim, key) == {"a": b"1"}
    assert rig.stats.snapshot()["unreadable_swapped"] == 1


def test_a_swap_on_every_node_is_an_unknown_session(rig: Rig, key: str) -> None:
    """Even when nothing else is left, another session's bytes are not served."""
    other = rig.key(ORDER)
    rig.store.create(other, changes(secret=b"of somebody else"), INTERVAL)
    for node in ("n1", "n2"):
        put_raw(rig, node, key, raw(rig, node, other))
    assert rig.store.load(key) == UNKNOWN


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_session_damaged_everywhere_is_unknown(rig: Rig, key: str, kind: str) -> None:
    """Nothing readable is left: the session is gone, which is an answer and no error."""
    for node in ("n1", "n2"):
        put_raw(rig, node, key, UNREADABLE[kind](raw(rig, node, key)))
    assert rig.store.load(key) == UNKNOWN


def test_damage_met_at_commit_is_replaced(rig: Rig, key: str) -> None:
    """A copy that was damaged after the load does not stop the commit, and is whole afterwards."""
    session = loaded(rig.store.load(key))
    put_raw(rig, "n1", key, b"rubbish")
    loaded(rig.store.commit(session, changes(b=b"2")))
    assert held(rig, "n1", key) == held(rig, "n2", key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_newer_format_is_never_overwritten(rig: Rig, key: str, victim: str) -> None:
    """During a rolling upgrade the old version reads and writes what it can and leaves the newer copy alone."""
    later = newer(raw(rig, victim, key))
    put_raw(rig, victim, key, later)
    commit(rig, key, b=b"2")
    commit(rig, key, c=b"3")
    assert live(rig, key) == {"a": b"1", "b": b"2", "c": b"3"}
    assert raw(rig, victim, key) == later
    assert rig.stats.snapshot()["unreadable_newer"] >= 3
    assert victim not in rig.health.down


def test_a_newer_format_met_at_commit_is_not_overwritten(rig: Rig, key: str) -> None:
    """A copy that a newer version wrote after the load is left alone, and the commit goes elsewhere."""
    session = loaded(rig.store.load(key))
    later = newer(raw(rig, "n1", key))
    put_raw(rig, "n1", key, later)
    loaded(rig.store.commit(session, changes(b=b"2")))
    assert raw(rig, "n1", key) == later
    assert held(rig, "n2", key) == {"a": b"1", "b": b"2"}


def test_nothing_but_newer_formats_is_unavailable(rig: Rig, key: str) -> None:
    """A session that only the newer version can read is no log-out here: 503, and nothing is written."""
    later = {node: newer(raw(rig, node, key)) for node in ("n1", "n2")}
    for node, value in later.items():
        put_raw(rig, node, key, value)
    with pytest.raises(StoreUnavailableError, match="newer format"):
        rig.store.load(key)
    assert {node: raw(rig, node, key) for node in later} == later
    assert raw(rig, "n3", key) == b""


def test_a_newer_copy_next_to_a_damaged_one_is_unavailable(rig: Rig, key: str) -> None:
    """As long as a newer version could read the session, it is not declared gone."""
    put_raw(rig, "n1", key, newer(raw(rig, "n1", key)))
    put_raw(rig, "n2", key, b"rubbish")
    with pytest.raises(StoreUnavailableError):
        rig.store.load(key)


def test_a_former_secret_reads_and_the_record_is_written_anew(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """After a change of secret, sessions are read and every copy is signed with the present one by the first load."""
    old = make_rig(nodes)
    key = old.key(ORDER)
    old.store.create(key, changes(a=b"1"), INTERVAL)
    present = b"the present secret, 32 bytes long"
    new = make_rig(nodes, secrets=(present, SECRET))
    assert live(new, key) == {"a": b"1"}
    only_new = RecordCodec((present,), PREFIX)
    assert all(isinstance(only_new.decode(key, raw(new, node, key)), Decoded) for node in ("n1", "n2"))


# -- refused writes ----------------------------------------------------------------------------------------------------


def test_a_session_too_large_is_refused_and_the_stored_one_stays(rig: Rig, key: str) -> None:
    """Over the item limit: an error that says what to do, every copy as before, every node still up."""
    before = {node: raw(rig, node, key) for node in ("n1", "n2")}
    with pytest.raises(SessionTooLargeError) as caught:
        commit(rig, key, a=os.urandom(1_200_000))
    assert caught.value.size > 1_200_000
    assert caught.value.node in ORDER
    assert {node: raw(rig, node, key) for node in before} == before
    assert live(rig, key) == {"a": b"1"}
    assert all(node not in rig.health.down for node in ORDER)
    commit(rig, key, a=b"2")
    assert live(rig, key) == {"a": b"2"}


def test_a_too_large_new_session_is_refused(rig: Rig) -> None:
    """A session too large from the beginning is not stored, not even in part."""
    key = rig.key(ORDER)
    with pytest.raises(SessionTooLargeError):
        rig.store.create(key, changes(a=os.urandom(1_200_000)), INTERVAL)
    assert rig.remaining(key) == {}


def test_a_transaction_or_move_too_large_changes_nothing(rig: Rig, key: str) -> None:
    """The other verbs that write refuse in the same way."""
    large = changes(b=os.urandom(1_200_000))
    with pytest.raises(SessionTooLargeError):
        decide(rig, loaded(rig.store.load(key)), large)
    with pytest.raises(SessionTooLargeError):
        move(rig.store, loaded(rig.store.load(key)), rig.key(), large)
    assert live(rig, key) == {"a": b"1"}


@pytest.mark.parametrize("small", ["n1", "n2"])
def test_a_session_too_large_for_one_of_its_nodes_stays_as_it_was(
    make_rig: MakeRig, start_memcached: Start, small: str
) -> None:
    """Nodes with different item limits: what one of them refuses stands on neither."""
    large = "n2" if small == "n1" else "n1"
    servers = [start_memcached(small), start_memcached(large, ("-I", "2m"))]
    rig = make_rig(sorted(servers, key=lambda server: server.name), timeout=2)
    key = rig.key(("n1", "n2"))
    rig.store.create(key, changes(a=b"1"), INTERVAL)
    with pytest.raises(SessionTooLargeError):
        commit(rig, key, a=os.urandom(1_200_000))
    assert live(rig, key) == {"a": b"1"}


def fill(server: Memcached) -> None:
    """Fill a server that evicts nothing (-M) until it refuses to store."""
    for number in range(20_000):
        if not server.command(f"ms fill{number} 1000 T1000\r\n".encode() + b"x" * 1000).startswith(b"HD"):
            return
    raise AssertionError("the server never refused")


def test_out_of_memory_destroys_no_session(make_rig: MakeRig, start_memcached: Start) -> None:
    """A node without room refuses a write; what it had stored is still there, and the node is not marked down."""
    rig = make_rig([start_memcached("n1", ("-m", "2", "-M"))], copies=1)
    key = rig.key()
    rig.store.create(key, changes(a=b"y" * 900), INTERVAL)
    fill(rig.servers["n1"])
    with pytest.raises(StoreUnavailableError, match="out of memory"):
        commit(rig, key, a=os.urandom(900))  # of the size that the server is full of
    assert live(rig, key) == {"a": b"y" * 900}
    assert "n1" not in rig.health.down


def test_another_node_stands_in_for_one_without_memory(make_rig: MakeRig, start_memcached: Start) -> None:
    """A node that is full loses no data and no request: the next one takes the copy."""
    full = start_memcached("n1", ("-m", "2", "-M"))
    rig = make_rig([full, start_memcached("n2"), start_memcached("n3")])
    key = rig.key(ORDER)
    rig.store.create(key, changes(a=b"y" * 900), INTERVAL)
    fill(full)
    value = os.urandom(900)  # of the size that the server is full of
    commit(rig, key, a=value)
    assert held(rig, "n2", key) == held(rig, "n3", key) == {"a": value}
    assert live(rig, key) == {"a": value}


# -- under load --------------------------------------------------------------------------------------------------------

THREADS = 6


def run_threads(work: Callable[[int], object], disturb: Callable[[], object]) -> None:
    """Run `work(number)` in threads, and disturb them a moment after they began."""
    problems: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    disturb()
    for thread in threads:
        thread.join(60)
    if problems:
        raise problems[0]


def hang_for_a_while(server: Memcached) -> None:
    """Hang for longer than the time-out."""
    server.hang()
    time.sleep(2 * TIMEOUT)
    server.resume()


DISTURBANCES: dict[str, Callable[[Memcached], object]] = {
    "restarted empty": Memcached.restart,
    "killed": Memcached.kill,
    "hung": hang_for_a_while,
    "flushed": lambda server: server.command(b"flush_all"),
}


@pytest.mark.parametrize("victim", ["n1", "n2"])
@pytest.mark.parametrize("fault", DISTURBANCES)
def test_no_acknowledged_write_is_lost_under_load(rig: Rig, key: str, fault: str, victim: str) -> None:
    """Six threads write, each its own attribute, while a node fails: whatever was acknowledged is there."""
    acknowledged = [0] * THREADS

    def work(number: int) -> None:
        for step in range(1, 60):
            commit(rig, key, **{f"t{number}": b"%d" % step})
            acknowledged[number] = step
            time.sleep(0.002)

    run_threads(work, lambda: DISTURBANCES[fault](rig.servers[victim]))
    assert acknowledged == [59] * THREADS
    assert live(rig, key) == {"a": b"1"} | {f"t{number}": b"59" for number in range(THREADS)}


@pytest.mark.parametrize("fault", DISTURBANCES)
def test_transactions_stay_exact_under_load(rig: Rig, fault: str) -> None:
    """Six threads count while the deciding node fails: every transaction that said it is done counts once.

    One that raised may or may not have happened, and then says that it is unknown.
    """
    key = rig.key(ORDER)
    rig.store.create(key, changes(n=b"0"), INTERVAL)
    done, unknown = [0] * THREADS, [0] * THREADS

    def work(number: int) -> None:
        for _ in range(25):
            certain = count_one(rig, key)
            (done if certain else unknown)[number] += 1
            time.sleep(0.002)

    run_threads(work, lambda: DISTURBANCES[fault](rig.servers["n1"]))
    assert sum(done) <= int(live(rig, key)["n"]) <= sum(done) + sum(unknown)
    if fault == "flushed":
        assert sum(unknown) == 0  # every command was answered


def count_one(rig: Rig, key: str) -> bool:
    """Add 1 to n in a transaction; say whether it is certain that it was done."""
    session, attempts = loaded(rig.store.load(key)), Transaction(rig.store, int(rig.clock()))
    for _ in range(200):
        try:
            outcome = attempts.decide(session, changes(n=b"%d" % (int(session.record.live["n"]) + 1)))
        except StoreUnavailableError as error:
            if "unknown" in str(error):
                return False
            raise
        if isinstance(outcome, Loaded):
            return True
        assert isinstance(outcome, Again)
        session = loaded(outcome.loaded)
    raise AssertionError("200 rounds were not enough")


class Hooked:
    """A transport that calls `before` ahead of every `ask`, with how many there were already."""

    def __init__(self, transport: Transport, before: Callable[[int], object]) -> None:
        self._transport = transport
        self._before = before
        self._asked = 0

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Call the hook, then ask."""
        self._asked += 1
        self._before(self._asked - 1)
        return self._transport.ask(requests)

    def close(self) -> None:
        """Do nothing."""


def hooked(rig: Rig, before: Callable[[int], object]) -> Store:
    """Return the rig's store with a hook ahead of every trip."""
    return Store(replace(rig.store.cluster, transport=Hooked(rig.transport, before)), INTERVAL)


def test_a_new_epoch_does_not_forget_what_was_acknowledged_meanwhile(rig: Rig, key: str) -> None:
    """The decider's copy is evicted right after a decision; a reader repairs while the decision is being spread.

    The reader has seen nothing of it, but what it repairs with does not undo what was acknowledged.
    """
    has_read, has_spread = threading.Event(), threading.Event()

    def before_reader(asked: int) -> None:
        if asked == 1:
            has_read.set()
            assert has_spread.wait(10)

    reader = threading.Thread(target=hooked(rig, before_reader).load, args=(key,), kwargs={"slide": False})

    def before_decider(asked: int) -> None:
        if asked == 1:
            rig.servers["n1"].command(f"md {key}".encode())
            reader.start()
            assert has_read.wait(10)

    session = loaded(rig.store.load(key))
    transaction = Transaction(hooked(rig, before_decider), int(rig.clock()))
    session.copies._cluster = transaction._store.cluster
    outcome = transaction.decide(session, changes(a=b"2"))
    has_spread.set()
    reader.join(10)
    loaded(outcome)
    assert live(rig, key) == {"a": b"2"}


# -- membership --------------------------------------------------------------------------------------------------------


def test_adding_a_node_keeps_every_session(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """Sessions of a ring of two are found in the ring of three, and moved there by being read."""
    before = make_rig(nodes[:2])
    keys = [before.key() for _ in range(40)]
    for key in keys:
        before.store.create(key, changes(a=key.encode()), INTERVAL)
    after = make_rig(nodes)
    assert all(live(after, key) == {"a": key.encode()} for key in keys)
    for key in keys:
        assert set(after.ring.nodes_for(key)[:2]) <= set(after.remaining(key))


def test_removing_a_node_keeps_every_session(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """Every session has a copy on a node that stays, and two again after being read."""
    before = make_rig(nodes)
    keys = [before.key() for _ in range(40)]
    for key in keys:
        before.store.create(key, changes(a=key.encode()), INTERVAL)
    after = make_rig(nodes[1:])
    assert all(live(after, key) == {"a": key.encode()} for key in keys)
    assert all(set(after.remaining(key)) == {"n2", "n3"} for key in keys)


def test_old_and_new_node_list_work_together(make_rig: MakeRig, nodes: list[Memcached]) -> None:
    """During a rolling change of the list, processes with either see each other's writes and log-outs."""
    old, new = make_rig(nodes[:2]), make_rig(nodes)
    for order in (ORDER, ("n3", "n1", "n2"), ("n3", "n2", "n1"), ("n1", "n3", "n2")):
        key = new.key(order)
        old.store.create(key, changes(a=b"1"), INTERVAL)
        commit(new, key, b=b"2")
        commit(old, key, c=b"3")
        assert live(new, key) == live(old, key) == {"a": b"1", "b": b"2", "c": b"3"}, order
        new.store.end(loaded(new.store.load(key)))
        assert old.store.load(key) == new.store.load(key) == Absent(Absence.ENDED), order
