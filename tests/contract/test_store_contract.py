"""What every store promises, run over the embedded one, one memcached, and three with two copies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from servers import Memcached
from storage import INTERVAL, PREFIX, SECRET, Rig, changes, decide, loaded, memcached_rig, memory_rig

from sharedsession.codec import RecordCodec
from sharedsession.dialogue import Request, Requested, Shown
from sharedsession.ids import IdFactory
from sharedsession.life import Life
from sharedsession.manager import Manager
from sharedsession.memcached.commands import Answer, Command, Transport
from sharedsession.memcached.move import move
from sharedsession.memcached.outcomes import UNKNOWN, Absence, Absent, Loaded
from sharedsession.memcached.store import Store
from sharedsession.memcached.transaction import Again
from sharedsession.record import FOREVER, MOVE_GRACE, SLACK
from sharedsession.session import Session
from sharedsession.values import ValueCodec

MakeRig = Callable[..., Rig]
THREADS = 8


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Memcached]]:
    """Return three memcached nodes for the whole file: every test has keys of its own, and none does them harm."""
    running = [Memcached(name) for name in ("n1", "n2", "n3")]
    yield running
    for server in running:
        server.kill()


@pytest.fixture(params=["embedded", "one memcached", "three memcached, two copies"])
def make_rig(request: pytest.FixtureRequest, servers: list[Memcached]) -> Iterator[MakeRig]:
    """Return a function that builds the store in question; takes `interval` and `max_lifetime`."""
    made: list[Rig] = []

    def make(interval: int = INTERVAL, max_lifetime: int | None = None) -> Rig:
        if request.param == "embedded":
            made.append(memory_rig(interval=interval, max_lifetime=max_lifetime))
        else:
            copies = 1 if request.param == "one memcached" else 2
            nodes = servers[:1] if copies == 1 else servers
            made.append(memcached_rig(nodes, copies=copies, timeout=5, interval=interval, max_lifetime=max_lifetime))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """Return the store in question."""
    return make_rig()


def create(rig: Rig, interval: int = INTERVAL, /, **values: bytes) -> str:
    """Store a new session; return its key."""
    key = rig.key()
    rig.store.create(key, changes(values), interval)
    return key


def load(rig: Rig, key: str) -> Loaded:
    """Return a live session."""
    return loaded(rig.store.load(key))


def live(rig: Rig, key: str) -> dict[str, bytes]:
    """Return the attributes of a live session."""
    return load(rig, key).record.live


def lives(rig: Rig, key: str) -> list[int]:
    """Return the remaining life in seconds of each copy; there must be as many as there should be."""
    remaining = rig.remaining(key)
    assert len(remaining) == rig.store.cluster.copies
    return list(remaining.values())


def about(wanted: float) -> object:
    """Return what a number of seconds is compared with, when it may be a little off."""
    return pytest.approx(wanted, abs=2)


# -- load and create ---------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_unknown(rig: Rig) -> None:
    """Nothing stored is an answer, not an error, and creates nothing."""
    key = rig.key()
    assert rig.store.load(key) == Absent(Absence.UNKNOWN)
    assert rig.remaining(key) == {}


def test_what_was_created_is_loaded(rig: Rig) -> None:
    """Attributes come back byte for byte, with the interval and the time of creation."""
    values = {"a": b"1", "empty": b"", "ü\udcff": bytes(range(256)), "large": b"xy" * 50_000}
    key = rig.key()
    rig.store.create(key, changes(values), 77)
    record = load(rig, key).record
    assert record.live == values
    assert record.max_inactive_interval == 77
    assert record.created == about(rig.clock())


def test_an_empty_session_can_be_stored(rig: Rig) -> None:
    """A session without attributes is a session (`ensure_id`)."""
    assert live(rig, create(rig)) == {}


def test_create_returns_what_commit_can_go_on_from(rig: Rig) -> None:
    """What `create` returned is committed to without loading first."""
    key = rig.key()
    session = rig.store.create(key, changes(a=b"1"), INTERVAL)
    session = loaded(rig.store.commit(session, changes(b=b"2")))
    loaded(rig.store.commit(session, changes(c=b"3")))
    assert live(rig, key) == {"a": b"1", "b": b"2", "c": b"3"}


def test_sessions_do_not_touch_each_other(rig: Rig) -> None:
    """Every key has a session of its own."""
    keys = [create(rig, number=b"%d" % number) for number in range(20)]
    rig.store.end(load(rig, keys[0]))
    assert [live(rig, key) for key in keys[1:]] == [{"number": b"%d" % number} for number in range(1, 20)]


class Counting:
    """A transport that counts round trips."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.trips = 0

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Answer]:
        """Pass the commands on."""
        self.trips += 1
        return self._transport.ask(requests)

    def close(self) -> None:
        """Do nothing."""


def test_a_read_is_one_round_trip_and_a_write_one_more(rig: Rig) -> None:
    """Loading, with its sliding expiry, is one trip; so are creating and committing."""
    counting = Counting(rig.transport)
    store = Store(replace(rig.store.cluster, transport=counting), INTERVAL)
    key = rig.key()
    trips = []
    store.create(key, changes(a=b"1"), INTERVAL)
    trips.append(counting.trips)
    session = loaded(store.load(key))
    trips.append(counting.trips)
    store.commit(session, changes(b=b"2"))
    trips.append(counting.trips)
    assert trips == [1, 2, 3]


# -- commit ------------------------------------------------------------------------------------------------------------


def test_changes_to_different_attributes_all_survive(rig: Rig) -> None:
    """Two requests that loaded the same session and set different attributes both find theirs afterwards."""
    key = create(rig, a=b"old")
    first, second = load(rig, key), load(rig, key)
    loaded(rig.store.commit(first, changes(b=b"1")))
    merged = loaded(rig.store.commit(second, changes(c=b"2")))
    assert merged.record.live == live(rig, key) == {"a": b"old", "b": b"1", "c": b"2"}


def test_one_of_two_concurrent_values_wins_everywhere(rig: Rig) -> None:
    """Of two concurrent values of one attribute one stands, and the writers agree with later readers on which."""
    key = create(rig)
    first, second = load(rig, key), load(rig, key)
    rig.store.commit(first, changes(a=b"1"))
    told = loaded(rig.store.commit(second, changes(a=b"2"))).record.live
    assert told in ({"a": b"1"}, {"a": b"2"})
    assert live(rig, key) == live(rig, key) == told


def test_a_later_value_replaces_an_earlier_one(rig: Rig) -> None:
    """Who had seen a value and sets another has the last word."""
    key = create(rig, a=b"0")
    for value in (b"1", b"2", b"3"):
        rig.store.commit(load(rig, key), changes(a=value))
        assert live(rig, key) == {"a": value}


def test_a_deleted_attribute_is_gone_and_the_others_are_not(rig: Rig) -> None:
    """Deleting one attribute leaves a concurrent change of another alone."""
    key = create(rig, a=b"1", b=b"2")
    first, second = load(rig, key), load(rig, key)
    rig.store.commit(first, changes(deleted=["a"]))
    rig.store.commit(second, changes(c=b"3"))
    assert live(rig, key) == {"b": b"2", "c": b"3"}


def test_a_deleted_attribute_can_be_set_again(rig: Rig) -> None:
    """A deletion is no ban."""
    key = create(rig, a=b"1")
    rig.store.commit(load(rig, key), changes(deleted=["a"]))
    rig.store.commit(load(rig, key), changes(a=b"again"))
    assert live(rig, key) == {"a": b"again"}


@pytest.mark.parametrize("writer_first", [True, False])
def test_clear_sweeps_what_was_written_without_knowing_of_it(rig: Rig, writer_first: bool) -> None:
    """After `clear` nothing is left of what a concurrent request writes, whichever of the two comes first."""
    key = create(rig, a=b"1")
    sweeper, writer = load(rig, key), load(rig, key)
    commits = [(sweeper, changes(cleared=True, after=b"set after the clear")), (writer, changes(b=b"2"))]
    for session, made in reversed(commits) if writer_first else commits:
        rig.store.commit(session, made)
    assert live(rig, key) == {"after": b"set after the clear"}


def test_after_a_clear_life_goes_on(rig: Rig) -> None:
    """Who has seen the clear can write."""
    key = create(rig, a=b"1")
    rig.store.commit(load(rig, key), changes(cleared=True))
    rig.store.commit(load(rig, key), changes(a=b"2"))
    assert live(rig, key) == {"a": b"2"}


def test_a_commit_long_after_its_load_still_merges(rig: Rig) -> None:
    """A slow request writes over nothing that was written meanwhile."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    rig.store.commit(load(rig, key), changes(b=b"2"))
    rig.clock.ahead += 61
    rig.store.commit(slow, changes(c=b"3"))
    assert live(rig, key) == {"a": b"1", "b": b"2", "c": b"3"}


def test_a_commit_long_after_its_load_does_not_bring_back_what_is_gone(rig: Rig) -> None:
    """A session that expired while a request ran for more than a minute stays gone."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    rig.forget(key)
    rig.clock.ahead += 61
    assert rig.store.commit(slow, changes(b=b"2")) == UNKNOWN
    assert rig.store.load(key) == UNKNOWN


def test_a_session_evicted_under_a_quick_request_is_stored_again(rig: Rig) -> None:
    """What was loaded a moment ago and lost since is whole again after the commit."""
    key = create(rig, a=b"1")
    session = load(rig, key)
    rig.forget(key)
    loaded(rig.store.commit(session, changes(b=b"2")))
    assert live(rig, key) == {"a": b"1", "b": b"2"}


def test_threads_writing_different_attributes_lose_nothing(rig: Rig) -> None:
    """Eight threads that each write their own attribute ten times over all find their last value."""
    key = create(rig)

    def work(number: int) -> None:
        for step in range(10):
            rig.store.commit(load(rig, key), changes({f"a{number}": b"%d" % step}))

    run_threads(work)
    assert live(rig, key) == {f"a{number}": b"9" for number in range(THREADS)}


def run_threads(work: Callable[[int], object]) -> None:
    """Run `work(number)` in eight threads; fail when one of them raised."""
    problems: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if problems:
        raise problems[0]


# -- end ---------------------------------------------------------------------------------------------------------------


def test_an_ended_session_is_ended(rig: Rig) -> None:
    """After log-out the key says so, and holds none of the data."""
    key = create(rig, a=b"1")
    rig.store.end(load(rig, key))
    assert rig.store.load(key) == Absent(Absence.ENDED)
    assert rig.store.load(key, slide=False) == Absent(Absence.ENDED)


@pytest.mark.parametrize("late", [0, 61])
def test_a_slow_request_does_not_bring_an_ended_session_back(rig: Rig, late: int) -> None:
    """What had loaded the session before the log-out commits nothing after it, a minute later neither."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    rig.store.end(load(rig, key))
    rig.clock.ahead += late
    assert rig.store.commit(slow, changes(b=b"2")) == Absent(Absence.ENDED)
    assert rig.store.load(key) == Absent(Absence.ENDED)


def test_no_way_leads_back_from_the_end(rig: Rig) -> None:
    """Neither a transaction nor a move nor a second end of what was loaded before changes that it has ended."""
    key, new_key = create(rig, a=b"1"), rig.key()
    slow = [load(rig, key) for _ in range(3)]
    rig.store.end(load(rig, key))
    assert decide(rig, slow[0], changes(b=b"2")) == Absent(Absence.ENDED)
    assert move(rig.store, slow[1], new_key, changes(b=b"2")) == Absent(Absence.ENDED)
    rig.store.end(slow[2])
    assert rig.store.load(key) == Absent(Absence.ENDED)
    assert isinstance(rig.store.load(new_key), Absent)


def test_an_end_takes_along_what_was_written_meanwhile(rig: Rig) -> None:
    """A log-out ends the session also when others have written to it since it was loaded."""
    key = create(rig)
    ending = load(rig, key)
    rig.store.commit(load(rig, key), changes(a=b"1"))
    rig.store.end(ending)
    assert rig.store.load(key) == Absent(Absence.ENDED)


def test_ending_what_is_gone_does_nothing(rig: Rig) -> None:
    """A log-out of an expired session is no error."""
    key = create(rig)
    session = load(rig, key)
    rig.forget(key)
    rig.clock.ahead += 61
    rig.store.end(session)
    assert isinstance(rig.store.load(key), Absent)


@pytest.mark.parametrize("interval", [50, INTERVAL, 5000])
def test_a_tombstone_outlives_every_copy(rig: Rig, interval: int) -> None:
    """A tombstone lives the session's longest interval and five minutes more, on every copy, and loads keep it so."""
    key = create(rig, interval, a=b"1")
    session = load(rig, key)
    session = loaded(rig.store.commit(session, changes(interval=20)))
    rig.store.end(session)
    assert lives(rig, key) == [about(interval + SLACK)] * len(lives(rig, key))
    for slide in (True, False, True):
        rig.store.load(key, slide=slide)
        assert min(lives(rig, key)) == about(interval + SLACK)


def test_the_tombstone_of_an_eternal_session_is_nearly_eternal(rig: Rig) -> None:
    """A session that never expired leaves a mark that lives at least as long."""
    key = create(rig, 0)
    rig.store.end(load(rig, key))
    assert min(lives(rig, key)) >= FOREVER


# -- move --------------------------------------------------------------------------------------------------------------


def carried_off(rig: Rig, key: str, **values: bytes) -> str:
    """Move a session; return its new key."""
    new_key = rig.key()
    target = loaded(move(rig.store, load(rig, key), new_key, changes(values)))
    assert target.key == new_key
    return new_key


def test_a_moved_session_is_under_its_new_key_only(rig: Rig) -> None:
    """The data and the mover's changes are under the new key; the old one says where to and that it was just now."""
    key = create(rig, 500, a=b"1")
    created = load(rig, key).record.created
    new_key = carried_off(rig, key, user=b"me")
    assert rig.store.load(key) == Absent(Absence.MOVED, new_key, recently=True)
    session = load(rig, new_key)
    assert session.record.live == {"a": b"1", "user": b"me"}
    assert (session.record.created, session.record.max_inactive_interval) == (created, 500)


def test_the_mark_of_a_move_is_recent_for_half_a_minute(rig: Rig) -> None:
    """After the grace period the old id is just another dead id."""
    key = create(rig)
    new_key = carried_off(rig, key)
    rig.clock.ahead += MOVE_GRACE - 2
    assert rig.store.load(key) == Absent(Absence.MOVED, new_key, recently=True)
    rig.clock.ahead += 3
    assert rig.store.load(key) == Absent(Absence.MOVED, new_key, recently=False)


@pytest.mark.parametrize("late", [0, 61])
def test_a_late_commit_follows_the_move(rig: Rig, late: int) -> None:
    """What a request that had loaded the old key commits afterwards is found under the new one."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    new_key = carried_off(rig, key, user=b"me")
    rig.clock.ahead += late
    outcome = rig.store.commit(slow, changes(b=b"2"))
    assert isinstance(outcome, Absent)
    assert outcome.moved_to == new_key
    assert live(rig, new_key) == {"a": b"1", "b": b"2", "user": b"me"}


@pytest.mark.parametrize("late", [0, 61])
def test_what_the_mover_sets_outranks_late_commits(rig: Rig, late: int) -> None:
    """A log-in's user is not overwritten by a request that was under way with the old id."""
    key = create(rig, user=b"nobody")
    slow, early = load(rig, key), load(rig, key)
    mover = load(rig, key)
    rig.store.commit(early, changes(user=b"early"))
    new_key = rig.key()
    loaded(move(rig.store, mover, new_key, changes(user=b"me")))
    rig.clock.ahead += late
    rig.store.commit(slow, changes(user=b"slow"))
    assert live(rig, new_key) == {"user": b"me"}


def test_a_move_takes_along_what_was_written_since_its_load(rig: Rig) -> None:
    """What others wrote to the old key before the mark is under the new one."""
    key = create(rig)
    mover = load(rig, key)
    rig.store.commit(load(rig, key), changes(a=b"1"))
    target = loaded(move(rig.store, mover, rig.key(), changes(user=b"me")))
    assert live(rig, target.key) == target.record.live == {"a": b"1", "user": b"me"}


def test_what_move_returns_can_be_committed_to(rig: Rig) -> None:
    """The mover goes on with what it was given."""
    target = loaded(move(rig.store, load(rig, create(rig, a=b"1")), rig.key(), changes()))
    rig.store.commit(target, changes(b=b"2"))
    assert live(rig, target.key) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("late", [0, 61])
def test_a_late_end_under_the_old_key_ends_the_session(rig: Rig, late: int) -> None:
    """A log-out that arrives with the old id logs out."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    new_key = carried_off(rig, key)
    rig.clock.ahead += late
    rig.store.end(slow)
    assert rig.store.load(new_key) == Absent(Absence.ENDED)
    assert isinstance(rig.store.load(key), Absent)


def test_of_two_moves_one_wins(rig: Rig) -> None:
    """Two log-ins at once: one new key is live with both one's changes, the other key is no session."""
    key = create(rig, a=b"1")
    first, second = load(rig, key), load(rig, key)
    winner, loser = rig.key(), rig.key()
    loaded(move(rig.store, first, winner, changes(b=b"2")))
    outcome = move(rig.store, second, loser, changes(c=b"3"))
    assert outcome == Absent(Absence.MOVED, winner, recently=True)
    assert live(rig, winner) == {"a": b"1", "b": b"2", "c": b"3"}
    assert isinstance(rig.store.load(loser), Absent)
    assert rig.store.load(key) == outcome


def test_moves_by_threads_leave_one_session(rig: Rig) -> None:
    """Of eight simultaneous moves one wins; what all of them wrote is under its key, and no other key is live."""
    key = create(rig, a=b"1")
    sources = [load(rig, key) for _ in range(THREADS)]
    keys = [rig.key() for _ in range(THREADS)]
    run_threads(lambda number: move(rig.store, sources[number], keys[number], changes({f"b{number}": b"2"})))
    winners = [new_key for new_key in keys if isinstance(rig.store.load(new_key), Loaded)]
    assert len(winners) == 1
    assert live(rig, winners[0]) == {"a": b"1"} | {f"b{number}": b"2" for number in range(THREADS)}
    old = rig.store.load(key)
    assert isinstance(old, Absent)
    assert old.moved_to == winners[0]


def test_commits_by_threads_during_a_move_are_not_lost(rig: Rig) -> None:
    """Every commit that was accepted, before, during or after a move, is under the new key."""
    key, new_key = create(rig), rig.key()
    mover = load(rig, key)
    sources = [load(rig, key) for _ in range(THREADS)]

    def work(number: int) -> None:
        if number == 0:
            move(rig.store, mover, new_key, changes(user=b"me"))
        else:
            rig.store.commit(sources[number], changes({f"a{number}": b"1"}))

    run_threads(work)
    assert live(rig, new_key) == {"user": b"me"} | {f"a{number}": b"1" for number in range(1, THREADS)}


def test_a_session_can_move_many_times(rig: Rig) -> None:
    """A commit from before several moves still finds the session."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    newest = carried_off(rig, carried_off(rig, carried_off(rig, key)))
    rig.store.commit(slow, changes(b=b"2"))
    assert live(rig, newest) == {"a": b"1", "b": b"2"}


def test_a_late_end_finds_the_session_behind_many_moves(rig: Rig) -> None:
    """A log-out with an id from before several moves logs out all the same."""
    key = create(rig, a=b"1")
    slow = load(rig, key)
    newest = carried_off(rig, carried_off(rig, carried_off(rig, key)))
    rig.store.end(slow)
    assert rig.store.load(newest) == Absent(Absence.ENDED)


# -- decide ------------------------------------------------------------------------------------------------------------


def test_a_decision_on_what_was_read_stands(rig: Rig) -> None:
    """Nobody came between: the changes are stored, and can be gone on from."""
    key = create(rig, n=b"1")
    session = loaded(decide(rig, load(rig, key), changes(n=b"2")))
    assert session.record.live == {"n": b"2"}
    session = loaded(decide(rig, session, changes(n=b"3")))
    rig.store.commit(session, changes(b=b"1"))
    assert live(rig, key) == {"n": b"3", "b": b"1"}


@pytest.mark.parametrize("decided", [True, False])
def test_a_decision_on_what_is_no_longer_so_is_refused(rig: Rig, decided: bool) -> None:
    """Somebody came between, by transaction or plain write: nothing is stored, and what stands comes back."""
    key = create(rig, n=b"1")
    first, second = load(rig, key), load(rig, key)
    if decided:
        decide(rig, first, changes(n=b"2"))
    else:
        rig.store.commit(first, changes(n=b"2"))
    again = decide(rig, second, changes(n=b"lost update"))
    assert isinstance(again, Again)
    fresh = loaded(again.loaded)
    assert fresh.record.live == live(rig, key) == {"n": b"2"}
    loaded(decide(rig, fresh, changes(n=b"3")))
    assert live(rig, key) == {"n": b"3"}


def test_a_decision_on_a_moved_session_is_made_anew_where_it_is(rig: Rig) -> None:
    """A transaction on an old key does nothing there, and goes on under the newest one."""
    key = create(rig, n=b"1")
    slow = load(rig, key)
    new_key = carried_off(rig, carried_off(rig, key))
    again = decide(rig, slow, changes(n=b"2"))
    assert isinstance(again, Again)
    assert loaded(again.loaded).key == new_key
    assert live(rig, new_key) == {"n": b"1"}


def sessions(rig: Rig) -> tuple[Manager, str]:
    """Return a manager over the store, and the id of a session with n = 0."""
    ids = IdFactory((SECRET,), PREFIX, "")
    manager = Manager(rig.store, ids, ValueCodec(), rig.stats, rig.clock, default_interval=INTERVAL)
    session = Session(Life(manager, Request()))
    session["n"] = 0
    session.commit()
    assert session.id is not None
    return manager, session.id


def opened(manager: Manager, text: str) -> Session:
    """Return the session as one more request sees it."""
    return Session(Life(manager, Shown([Requested(text, "cookie")])))


def increment(session: Session) -> int:
    """Add 1 to n; return the new value."""
    session["n"] += 1
    number: int = session["n"]
    return number


def test_transactions_count_exactly(rig: Rig) -> None:
    """Eight threads that add 1 twenty-five times make 200: every transaction takes effect exactly once."""
    manager, text = sessions(rig)
    results: list[int] = []

    def work(_: int) -> None:
        for _ in range(25):
            results.append(opened(manager, text).transaction(increment))

    run_threads(work)
    assert opened(manager, text)["n"] == 200
    assert sorted(results) == list(range(1, 201))


def test_transactions_count_exactly_among_plain_writes(rig: Rig) -> None:
    """Plain writes to other attributes at the same time change nothing in that, nor are they lost."""
    manager, text = sessions(rig)

    def work(number: int) -> None:
        for step in range(10):
            session = opened(manager, text)
            if number % 2:
                session.transaction(increment)
            else:
                session[f"a{number}"] = step
                session.commit()

    run_threads(work)
    assert dict(opened(manager, text)) == {"n": 40} | {f"a{number}": 9 for number in (0, 2, 4, 6)}


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [50, INTERVAL, 5000, 40 * 86400])
def test_a_session_lives_its_own_interval(rig: Rig, interval: int) -> None:
    """Every copy lives the session's interval from its creation, its load and its commit on."""
    key = create(rig, interval, a=b"1")
    for step in ("created", "loaded", "committed"):
        if step != "created":
            rig.age(key, 30)
            session = load(rig, key)
            if step == "committed":
                rig.age(key, 30)
                rig.store.commit(session, changes(b=b"2"))
        assert lives(rig, key) == [about(interval)] * len(lives(rig, key)), step


def test_a_changed_interval_holds_from_then_on(rig: Rig) -> None:
    """A new interval counts from the commit that sets it, and for every later load."""
    key = create(rig)
    for interval in (77, 7777, 0, 100):
        rig.store.commit(load(rig, key), changes(interval=interval))
        wanted = about(interval or FOREVER)
        assert lives(rig, key) == [wanted] * len(lives(rig, key))
        assert load(rig, key).record.max_inactive_interval == interval
        assert lives(rig, key) == [wanted] * len(lives(rig, key))


def test_a_store_whose_sessions_never_expire(make_rig: MakeRig) -> None:
    """With the default interval "never", sessions live as long as can be said, and load as usual."""
    rig = make_rig(interval=0)
    key = create(rig, 0, a=b"1")
    assert live(rig, key) == {"a": b"1"}
    assert min(lives(rig, key)) == about(FOREVER)
    assert load(rig, key).last_accessed == about(rig.clock())


def test_a_load_that_does_not_slide_prolongs_nothing(rig: Rig) -> None:
    """A poller's load leaves the idle time running, on every copy."""
    key = create(rig, a=b"1")
    rig.age(key, 400)
    session = loaded(rig.store.load(key, slide=False))
    assert session.record.live == {"a": b"1"}
    assert lives(rig, key) == [about(400)] * len(lives(rig, key))
    rig.store.load(key)
    assert lives(rig, key) == [about(INTERVAL)] * len(lives(rig, key))


@pytest.mark.parametrize("slide", [True, False])
@pytest.mark.parametrize("interval", [INTERVAL, 5000])
def test_the_last_access_is_told_by_the_life_left(rig: Rig, slide: bool, interval: int) -> None:
    """Without a write for it, a load tells when the session was last used before."""
    rig.clock.ahead = -900
    key = create(rig, interval)
    rig.clock.ahead = 0
    rig.age(key, interval - 600)
    assert loaded(rig.store.load(key, slide=slide)).last_accessed == about(rig.clock() - 600)
    assert loaded(rig.store.load(key)).last_accessed == about(rig.clock() - (0 if slide else 600))


def test_the_last_access_lies_between_creation_and_now(rig: Rig) -> None:
    """A new session was last used when it was created, never before and never in the future."""
    key = rig.key()
    session = rig.store.create(key, changes(), INTERVAL)
    assert session.last_accessed == about(rig.clock())
    rig.age(key, 10)
    assert load(rig, key).last_accessed == load(rig, key).record.created


def test_a_session_ends_with_its_longest_lifetime(make_rig: MakeRig) -> None:
    """However active, a session is gone `max_lifetime` after its creation, and its copies with it."""
    rig = make_rig(max_lifetime=1500)
    key = create(rig, a=b"1")
    rig.clock.ahead += 900
    assert live(rig, key) == {"a": b"1"}
    assert lives(rig, key) == [about(600)] * len(lives(rig, key))
    rig.clock.ahead += 590
    rig.store.commit(load(rig, key), changes(b=b"2"))
    assert max(lives(rig, key)) <= 12
    rig.clock.ahead += 12
    assert rig.store.load(key) == UNKNOWN


def test_the_last_access_is_right_near_the_end_of_the_longest_lifetime(make_rig: MakeRig) -> None:
    """A life cut short by `max_lifetime` does not make the last access look earlier than it was."""
    rig = make_rig(max_lifetime=1500)
    key = create(rig, a=b"1")
    rig.clock.ahead += 900
    load(rig, key)
    assert load(rig, key).last_accessed == about(rig.clock())


def test_a_session_of_another_secret_is_unknown(rig: Rig) -> None:
    """A record signed with a key that is not ours is no session."""
    key = create(rig, a=b"1")
    stranger = replace(rig.store.cluster, codec=RecordCodec((b"another secret, 32 bytes long...",), PREFIX))
    assert Store(stranger, INTERVAL).load(key) == UNKNOWN


def test_locate_names_the_nodes_that_hold_it(rig: Rig) -> None:
    """The nodes named are the ones where the copies are."""
    key = create(rig, a=b"1")
    location = rig.store.locate(key)
    assert set(location.copies) == set(rig.remaining(key))
    assert location.copies == rig.ring.nodes_for(key)[: rig.store.cluster.copies]
    assert 0 <= location.point < 1
