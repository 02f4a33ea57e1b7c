"""Records: merge settles any two versions the same way in any order, and apply is a merge of one request's changes."""

from __future__ import annotations

from functools import reduce
from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule
from strategies import live_records, records

from sharedsession.record import (
    CLEARS,
    DELETED,
    EPOCH,
    FOREVER,
    PAYLOAD,
    RECENT,
    RECENT_FOR,
    SEEN,
    SLACK,
    Changes,
    Entry,
    Record,
    Stamp,
    State,
    apply,
    contains,
    life,
    merge,
    new_epoch,
    remember,
    tombstone,
)

NOW = 1_700_000_000
BLANK = Record(NOW, (1800, 1, 0), 1800)

names = st.sampled_from(["a", "b", "c"])
payloads = st.binary(max_size=2)
# Writers that no drawn record knows: a writer writes once.
stamps = st.builds(Stamp, st.integers(1, 8), st.integers(10, 12))


@st.composite
def some_changes(draw: st.DrawFn, clears: bool = True) -> Changes:
    written = draw(st.dictionaries(names, payloads, max_size=3))
    deleted = draw(st.frozensets(names, max_size=2)) - frozenset(written)
    cleared = clears and draw(st.integers(0, 5)) == 0
    interval = draw(st.none() | st.sampled_from([0, 60, 7200]))
    return Changes(written, deleted, cleared, interval, draw(st.integers(0, 9)) == 0)


def write(record: Record, version: int, writer: int, **values: bytes) -> Record:
    return apply(record, Changes(values), Stamp(version, writer, record.cleared), NOW)


def assert_valid(record: Record) -> None:
    """Assert what every stored record keeps to."""
    if record.state:
        bare = tombstone(record, record.state, record.closed, record.moved_to)
        assert record == bare._replace(cookie_only=record.cookie_only)
    for entry in record.entries.values():
        assert entry[SEEN] == record.cleared
        assert (entry[PAYLOAD] is None) == (entry[DELETED] > 0)
    assert len(record.floor) <= CLEARS
    assert list(record.floor) == sorted(set(record.floor), reverse=True)


# -- merge: laws ---------------------------------------------------------------------------------------------------


@given(records, records)
def test_merge_is_commutative(a: Record, b: Record) -> None:
    """It does not matter which of two copies was read first."""
    assert merge(a, b) == merge(b, a)


@given(records, records, records)
@settings(max_examples=100)
def test_merge_is_associative(a: Record, b: Record, c: Record) -> None:
    """It does not matter which two of three versions meet first."""
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(records, records)
def test_merge_is_idempotent(a: Record, b: Record) -> None:
    """Merging again what is already contained changes nothing."""
    assert merge(a, a) == a
    both = merge(a, b)
    assert merge(both, a) == both == merge(b, both)


@given(st.lists(records, min_size=2, max_size=3))
def test_any_order_of_many_gives_one_record(versions: list[Record]) -> None:
    """However copies and writers meet, all nodes end with the same record."""
    results = [reduce(merge, order) for order in permutations(versions)]
    assert all(result == results[0] for result in results)


@given(records, records)
def test_what_is_merged_is_a_valid_record(a: Record, b: Record) -> None:
    """No merge keeps an attribute that its own last clear forbids, or a tombstone with attributes."""
    assert_valid(merge(a, b))


# -- merge: what wins ----------------------------------------------------------------------------------------------


@given(records, st.integers(1, 9))
def test_ended_beats_everything(other: Record, when: int) -> None:
    """Whatever meets a tombstone, later and with higher stamps or not, is ended and holds no attribute."""
    ended = tombstone(other, State.ENDED, when)
    for both in (merge(other, ended), merge(ended, other)):
        assert (both.state, both.entries, both.moved_to) == (State.ENDED, {}, "")


@given(live_records(), live_records())
def test_moved_beats_live_and_ended_beats_moved(a: Record, b: Record) -> None:
    """A late copy under the old id only leads to the new one; a log-out under either id is final."""
    moved = tombstone(a, State.MOVED, NOW, "key2")
    after = merge(moved, b)
    assert (after.state, after.moved_to, after.entries) == (State.MOVED, "key2", {})
    assert merge(after, tombstone(b, State.ENDED, NOW - 5)).state is State.ENDED


@given(records, records)
def test_a_tombstone_lives_for_the_longest_interval(a: Record, b: Record) -> None:
    """The longest interval is never forgotten, by a merge or an end: it says how long orphan copies may survive."""
    assert merge(a, b).longest == max(a.longest, b.longest)
    assert merge(a, b).created == min(a.created, b.created)
    assert tombstone(a, State.ENDED, NOW).longest == a.longest


def test_the_higher_stamp_wins_attribute_by_attribute() -> None:
    """Of two concurrent writers both attributes survive; in one attribute the higher version, then writer, wins."""
    first = write(BLANK, 2, 1, a=b"1", common=b"1")
    second = write(BLANK, 2, 2, b=b"2", common=b"2")
    assert merge(first, second).live == {"a": b"1", "b": b"2", "common": b"2"}
    assert merge(write(BLANK, 3, 1, x=b"later"), write(BLANK, 2, 9, x=b"earlier")).live == {"x": b"later"}


def test_a_deletion_is_a_write() -> None:
    """A deletion beats older values and loses to newer ones, and does not touch other attributes."""
    base = write(BLANK, 2, 1, a=b"1", b=b"1")
    deleted = apply(base, Changes(deleted=frozenset("a")), Stamp(3, 2), NOW)
    assert merge(base, deleted).live == {"b": b"1"}
    assert merge(deleted, write(base, 4, 3, a=b"2")).live == {"a": b"2", "b": b"1"}
    assert merge(deleted, write(base, 2, 9, a=b"2")).live == {"b": b"1"}


def test_the_interval_is_stamped_like_an_attribute() -> None:
    """Of two max inactive intervals the later set one stands, the longest is remembered."""
    long = apply(BLANK, Changes(interval=86400), Stamp(2, 1), NOW)
    short = apply(long, Changes(interval=60), Stamp(3, 2), NOW)
    for both in (merge(long, short), merge(short, long)):
        assert (both.max_inactive_interval, both.longest) == (60, 86400)


@given(live_records(), live_records())
def test_an_id_bound_to_the_cookie_stays_bound(a: Record, b: Record) -> None:
    """Once the id counts only in a cookie, no merge with a version that had not heard makes it count in URLs again."""
    assert merge(a, b).cookie_only == (a.cookie_only or b.cookie_only)


def test_the_decider_of_the_higher_epoch_stands() -> None:
    """Two views of who decides transactions become one, by the epoch."""
    old, new = BLANK._replace(decider=(1, "n9")), BLANK._replace(decider=(2, "n1"))
    assert merge(old, new).decider == merge(new, old).decider == (2, "n1")


def test_a_later_epoch_is_the_truth() -> None:
    """What only reached copies of a former epoch does not stand beside a later one: its sender brings it in anew."""
    base = write(BLANK, 2, 1, a=b"1")
    late, begun = write(base, 3, 2, b=b"2"), new_epoch(base, "n2", 1)
    assert merge(late, begun).live == {"a": b"1"}
    assert apply(merge(late, begun), Changes({"b": b"2"}), Stamp(3, 2), NOW).live == {"a": b"1", "b": b"2"}


def test_a_later_epochs_memory_is_the_whole_truth() -> None:
    """Transactions that only a former decider took are not remembered as stored; within an epoch all are."""
    one = remember(BLANK._replace(decider=(1, "n1")), 7, NOW)
    two = remember(BLANK._replace(decider=(1, "n1")), 8, NOW)
    assert {writer for writer in (7, 8, 9) if contains(merge(one, two), writer)} == {7, 8}
    later = new_epoch(two, "n2", 5)
    assert later.decider == (6, "n2")
    assert {writer for writer in (7, 8, 9) if contains(merge(one, later), writer)} == {8}


def test_a_new_epoch_outranks_every_older_stamp() -> None:
    """Whoever has seen the new epoch writes above all who have not, however busy they were."""
    busy = write(BLANK, 1_000_000, 1, a=b"1")
    begun = new_epoch(BLANK, "n2", 1)
    assert begun.version == EPOCH > busy.version
    assert merge(write(begun, begun.version + 1, 2, a=b"2"), busy).live == {"a": b"2"}


def test_transactions_are_remembered_for_a_while() -> None:
    """Each transaction is remembered as long as its caller may ask, and the record does not grow without end."""
    record = BLANK
    for number in range(2 * RECENT):
        record = remember(record, number, NOW + number // 100)
        assert contains(record, number)
        assert len(record.recent) <= RECENT
    assert contains(record, 2 * RECENT - 100)
    later = remember(record, 9999, NOW + 2 * RECENT // 100 + RECENT_FOR)
    assert not contains(later, 2 * RECENT - 100)
    assert contains(later, 9999)


def test_a_copy_that_lags_brings_back_no_forgotten_transaction() -> None:
    """Copies of a session with many transactions agree again at once, though one still remembers what is forgotten."""
    record = BLANK
    for number in range(RECENT):
        record = remember(record, number, NOW)
    ahead = remember(record, RECENT, NOW)
    assert merge(ahead, record) == merge(record, ahead) == ahead
    later = remember(record, RECENT, NOW + RECENT_FOR + 1)
    assert merge(later, record) == merge(record, later) == later


def test_a_clock_that_is_behind_does_not_make_a_transaction_forgotten_first() -> None:
    """A transaction stays remembered while others of a node whose clock is minutes ahead follow."""
    ahead = remember(BLANK, 1, NOW + 300)
    behind = remember(ahead, 2, NOW)
    assert contains(remember(behind, 3, NOW + 300 + RECENT_FOR), 2)


# -- clear ---------------------------------------------------------------------------------------------------------


def test_clear_sweeps_what_its_writer_had_not_seen() -> None:
    """A write that loaded before a clear is swept away, whether their copies meet or the write is retried over it."""
    base = write(BLANK, 2, 1, user=b"ann", old=b"1")
    slow = Changes({"user": b"bob"}), Stamp(base.version + 1, 2)
    cleared = apply(base, Changes(cleared=True), Stamp(base.version + 1, 3), NOW)
    late = apply(base, *slow, NOW)
    assert cleared.live == merge(cleared, late).live == merge(late, cleared).live == {}
    assert apply(cleared, *slow, NOW).live == {}
    assert apply(merge(late, cleared), *slow, NOW).live == {}


def test_clear_sweeps_higher_stamps_too() -> None:
    """What others committed after the clearing request had loaded is swept at its commit, whatever their stamps."""
    base = write(BLANK, 2, 1, a=b"1")
    stamp = Stamp(base.version + 1, 2)
    busy = write(write(write(base, 3, 3, a=b"2"), 4, 4, b=b"3"), 900, 5, c=b"4")
    cleared = apply(busy, Changes({"new": b"5"}, cleared=True), stamp, NOW)
    assert cleared.live == {"new": b"5"}
    assert merge(busy, cleared).live == {"new": b"5"}


def test_what_was_written_knowing_the_clear_stays() -> None:
    """A clear forbids nothing to requests that loaded after it."""
    cleared = apply(write(BLANK, 2, 1, a=b"1"), Changes({"b": b"2"}, cleared=True), Stamp(3, 2), NOW)
    after = write(cleared, cleared.version + 1, 3, a=b"3")
    assert after.live == merge(cleared, after).live == {"a": b"3", "b": b"2"}


@given(live_records(), some_changes(), stamps, st.booleans())
def test_after_clear_only_its_own_values_are_there(record: Record, changes: Changes, stamp: Stamp, knew: bool) -> None:
    """A commit with a clear leaves exactly the values set after it; none if another clear came between."""
    stamp = Stamp(stamp.version, stamp.writer, record.cleared if knew else 0)
    cleared = apply(record, changes._replace(cleared=True), stamp, NOW)
    wanted = dict(changes.values) if stamp.seen == record.cleared else {}
    assert cleared.live == wanted
    assert merge(record, cleared).live == wanted
    assert cleared.cleared > record.cleared
    assert_valid(cleared)


def test_a_session_can_be_cleared_often() -> None:
    """However often it is cleared, each clear sweeps, is valid and does not make the record grow without end."""
    record = BLANK
    for number in range(1, 4 * CLEARS):
        late = write(record, record.version + 1, 1000 + number, a=b"1")
        record = apply(record, Changes({"b": b"2"}, cleared=True), Stamp(2, number, record.cleared), NOW)
        assert record.live == merge(late, record).live == {"b": b"2"}
        assert_valid(record)


def test_of_two_clears_only_one_login_stands() -> None:
    """Two requests clear and log in at once: whoever comes second over the first leaves no user of either."""
    base = write(BLANK, 2, 1, user=b"ann")
    first = apply(base, Changes({"user": b"bob"}, cleared=True), Stamp(3, 2), NOW)
    second = apply(first, Changes({"user": b"eve"}, cleared=True), Stamp(3, 3), NOW)
    assert first.live == {"user": b"bob"}
    assert second.live == merge(first, second).live == {}


# -- apply ---------------------------------------------------------------------------------------------------------


@given(live_records(), some_changes(), stamps, st.booleans())
def test_apply_contains_what_stood(record: Record, changes: Changes, stamp: Stamp, knew: bool) -> None:
    """What apply returns already contains the record it was applied to: stamps never go backwards."""
    stamp = Stamp(stamp.version, stamp.writer, record.cleared if knew else 0)
    after = apply(record, changes, stamp, 1)
    assert merge(record, after) == after
    assert_valid(after)


@given(live_records(), live_records(), some_changes(clears=False), stamps, st.booleans())
def test_apply_is_a_merge(a: Record, b: Record, changes: Changes, stamp: Stamp, knew: bool) -> None:
    """Applied to one copy and merged into another of its epoch, or applied to both merged: the same record."""
    b = b._replace(decider=(a.decider[0], b.decider[1]))
    stamp = Stamp(stamp.version, stamp.writer, a.cleared if knew else 0)
    first = merge(apply(a, changes, stamp, 1), b)
    assert first._replace(longest=0) == apply(merge(a, b), changes, stamp, 1)._replace(longest=0)


@given(live_records(), some_changes(), stamps, st.booleans())
def test_a_retry_changes_nothing(record: Record, changes: Changes, stamp: Stamp, knew: bool) -> None:
    """Applying the same changes with the same stamp once more, as after a lost answer, leaves the same attributes."""
    stamp = Stamp(stamp.version, stamp.writer, record.cleared if knew else 0)
    once = apply(record, changes, stamp, 1)
    assert apply(once, changes, stamp, 1).live == once.live


@given(live_records(), some_changes(clears=False), stamps)
def test_apply_never_loses_another_attribute(record: Record, changes: Changes, stamp: Stamp) -> None:
    """Attributes that a request did not touch are exactly what they were, stamps included."""
    after = apply(record, changes, stamp, 1)
    for name, entry in record.entries.items():
        if name not in changes.values and name not in changes.deleted:
            assert after.entries[name] == entry


@given(live_records(), some_changes(), st.integers(1, 3))
def test_a_fresh_stamp_always_takes_effect(record: Record, changes: Changes, writer: int) -> None:
    """With the stamp of a request that has read the record, every change is visible afterwards, and found."""
    stamp = Stamp(record.version + 1, 10 + writer, record.cleared)
    after = apply(record, changes, stamp, 1)
    assert {name: after.live.get(name) for name in changes.values} == dict(changes.values)
    assert not changes.deleted & after.live.keys()
    if changes.interval is not None:
        assert after.max_inactive_interval == changes.interval
    if changes.values or changes.deleted:
        assert contains(after, stamp.writer)
    assert not contains(record, stamp.writer)
    assert after.cookie_only == (record.cookie_only or changes.cookie_only)
    if changes.values or changes.deleted or changes.interval is not None:
        assert after.version > record.version


def test_an_older_stamp_never_replaces_a_newer() -> None:
    """A delayed writer that comes after a newer one, in value, deletion or interval, changes nothing of it."""
    newer = write(BLANK, 7, 2, x=b"new")
    newer = apply(newer, Changes(interval=60), Stamp(7, 2), NOW)
    late = Changes({"x": b"old"}, interval=7200)
    assert apply(newer, late, Stamp(6, 9), NOW) == newer._replace(longest=newer.longest)
    assert apply(newer, Changes(deleted=frozenset("x")), Stamp(6, 9), NOW).live == {"x": b"new"}
    gone = apply(newer, Changes(deleted=frozenset("x")), Stamp(8, 3), NOW)
    assert apply(gone, late, Stamp(7, 9), NOW).live == {}


def test_apply_leaves_its_argument_alone() -> None:
    """The loaded record stays what was read: a refused commit starts from it again."""
    entries: dict[str, Entry] = {"a": (2, 1, b"1", 0, 0)}
    record = BLANK._replace(entries=entries)
    apply(record, Changes({"b": b"2"}, frozenset("a"), cleared=True, interval=5), Stamp(3, 2), NOW)
    assert entries == {"a": (2, 1, b"1", 0, 0)}
    assert record.entries is entries


# -- deletion marks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "longest"),
    [(None, 1800), (86400, 86400), (60, 1800), (0, FOREVER)],
)
def test_a_deletion_mark_is_kept_as_long_as_an_orphan_copy(interval: int | None, longest: int) -> None:
    """A mark is forgotten by a commit only when older than the longest interval plus five minutes."""
    marked = apply(write(BLANK, 2, 1, a=b"1"), Changes(deleted=frozenset("a")), Stamp(3, 1), NOW)
    if interval is not None:
        marked = apply(marked, Changes(interval=interval), Stamp(4, 1), NOW)
    young = apply(marked, Changes({"b": b"2"}), Stamp(5, 2), NOW + longest + SLACK)
    assert young.entries["a"] == (3, 1, None, NOW, 0)
    old = apply(marked, Changes({"b": b"2"}), Stamp(5, 2), NOW + longest + SLACK + 1)
    assert set(old.entries) == {"b"}


def test_only_marks_are_forgotten() -> None:
    """However old, a value is never dropped by a commit of something else."""
    record = write(BLANK, 2, 1, a=b"1")
    assert apply(record, Changes({"b": b"2"}), Stamp(3, 2), NOW + 10 * FOREVER).live == {"a": b"1", "b": b"2"}


# -- small things --------------------------------------------------------------------------------------------------


def test_the_version_counts_everything_that_carries_one() -> None:
    """The next stamp is above every attribute, deletion mark and interval."""
    assert BLANK.version == 1
    assert write(BLANK, 5, 1, a=b"").version == 5
    assert apply(BLANK, Changes(deleted=frozenset("a")), Stamp(6, 1), NOW).version == 6
    assert apply(BLANK, Changes(interval=5), Stamp(7, 1), NOW).version == 7


def test_changes_say_whether_there_are_any() -> None:
    """An empty difference costs no write; an empty value, a clear or an interval of "never" is a difference."""
    assert Changes().empty
    for changes in (
        Changes({"a": b""}),
        Changes(deleted=frozenset("a")),
        Changes(cleared=True),
        Changes(interval=0),
        Changes(cookie_only=True),
    ):
        assert not changes.empty


def test_live_shows_values_only() -> None:
    """Deletion marks are no attributes; an empty payload is one."""
    record = BLANK._replace(entries={"a": (2, 1, b"", 0, 0), "b": (2, 1, None, NOW, 0)})
    assert record.live == {"a": b""}


def test_never_is_long() -> None:
    """An interval of 0 never expires, so it counts as the longest life there is."""
    assert life(0) == FOREVER > 365 * 86400
    assert life(60) == 60
    assert apply(BLANK, Changes(interval=0), Stamp(2, 1), NOW).longest == FOREVER


# -- writers that interleave ---------------------------------------------------------------------------------------


class Writers(RuleBasedStateMachine):
    """Requests that load any version, commit over any other, end and move: copies of one session that drift apart."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.writers = count(1)
        self.now = NOW

    @initialize(target=versions)
    def created(self) -> Record:
        return BLANK

    @rule(target=versions, seen=versions, onto=versions, changes=some_changes(), above=st.sampled_from([1, 1, 1, 2]))
    def commit(self, seen: Record, onto: Record, changes: Changes, above: int) -> Record:
        """A request that had read `seen` commits over that merged with what it meets."""
        base = merge(seen, onto)
        if base.state:
            return base
        self.now += 1
        after = apply(base, changes, Stamp(seen.version + above, next(self.writers), seen.cleared), self.now)
        assert_valid(after)
        assert merge(base, after) == after
        return after

    @rule(target=versions, record=versions, moved=st.booleans())
    def close(self, record: Record, moved: bool) -> Record:
        """The session ends or moves."""
        if record.state:
            return record
        self.now += 1
        return tombstone(record, State.MOVED, self.now, "key2") if moved else tombstone(record, State.ENDED, self.now)

    @rule(target=versions, record=versions, node=st.sampled_from(["n1", "n2"]), step=st.integers(1, 2))
    def take_over(self, record: Record, node: str, step: int) -> Record:
        """Another node begins to decide."""
        return record if record.state else new_epoch(record, node, step)

    @rule(target=versions, a=versions, b=versions)
    def meet(self, a: Record, b: Record) -> Record:
        """Two copies are merged, the same both ways and only once."""
        both = merge(a, b)
        assert both == merge(b, a)
        assert merge(both, a) == merge(b, both) == both
        assert_valid(both)
        return both

    @rule(a=versions, b=versions, c=versions)
    def three(self, a: Record, b: Record, c: Record) -> None:
        """Three copies give one record in every order."""
        results = [merge(merge(x, y), z) for x, y, z in permutations((a, b, c))]
        results += [merge(x, merge(y, z)) for x, y, z in permutations((a, b, c))]
        assert all(result == results[0] for result in results)


TestWriters: Any = Writers.TestCase
TestWriters.settings = settings(max_examples=40, stateful_step_count=25)
